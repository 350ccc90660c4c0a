use std::convert::Infallible;

use bytes::Bytes;

use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let all = values
        .iter()
        .map(|value| (AUTHORIZATION, value.parse().unwrap()));
    all.collect()
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
        &[&long],
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
    let said = [(CONTENT_LENGTH, (MAX_BODY as u64 + 1).into())];
    for (headers, body, status) in [
        (HeaderMap::new(), Body::from_stream(never), 408),
        (
            HeaderMap::new(),
            Body::from_stream(futures_util::stream::iter(long)),
            413,
        ),
        (said.into_iter().collect(), Body::empty(), 413),
    ] {
        let refused = whole(&headers, body).await.unwrap_err().into_response();
        assert_eq!(refused.status().as_u16(), status);
    }
    let whole_body = Body::from(vec![0; MAX_BODY]);
    assert!(whole(&HeaderMap::new(), whole_body).await.is_ok());
}
