use std::convert::Infallible;

use bytes::Bytes;

use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let mut all = HeaderMap::new();
    for value in values {
        all.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    all
}

#[test]
fn a_token_is_read_from_one_header_of_the_scheme_bearer() {
    let token = |values: &[&str]| bearer(&headers(values)).map(|t| t.map(str::to_owned));
    assert_eq!(token(&[]).unwrap(), None);
    for good in ["Bearer x", "bearer x", "BEARER  x "] {
        assert_eq!(token(&[good]).unwrap().as_deref(), Some("x"), "{good}");
    }
    let long = format!("Bearer {}", "x".repeat(AUTHORIZATION_MOST));
    for bad in [
        ["Basic x"].as_slice(),
        &["Bearer"],
        &["x"],
        &[""],
        &[long.as_str()],
        &["Bearer x", "Bearer x"],
    ] {
        let refused = token(bad).unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_or_is_too_long_is_refused() {
    let never = futures_util::stream::pending::<Result<Bytes, Infallible>>();
    let long = vec![Ok::<_, Infallible>(Bytes::from(vec![0; MAX_BODY / 2 + 1])); 2];
    let mut said = HeaderMap::new();
    said.insert(CONTENT_LENGTH, HeaderValue::from(MAX_BODY + 1));
    for (headers, body, status) in [
        (HeaderMap::new(), Body::from_stream(never), 408),
        (
            HeaderMap::new(),
            Body::from_stream(futures_util::stream::iter(long)),
            413,
        ),
        (said, Body::empty(), 413),
    ] {
        let refused = whole(&headers, body).await.unwrap_err().into_response();
        assert_eq!(refused.status().as_u16(), status);
    }
    let whole_body = Body::from(vec![0_u8; MAX_BODY]);
    assert!(whole(&HeaderMap::new(), whole_body).await.is_ok());
}
