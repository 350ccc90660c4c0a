//! Who may do what, over TLS and on the Unix socket.

use std::sync::Arc;

use dormouse_api::access::{Field, RULES, Verb, field};
use dormouse_api::client::ClientError;
use dormouse_api::model::{EventQuery, NewToken, Role, RotateRequest, TokenRequest, UsageQuery};
use dormouse_api::{Client, ErrorBody};
use dormouse_types::Delay;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{Tls, World};
use crate::{name, refusal, request};

/// A raw request over TLS: the status, the head and the body of the response.
async fn raw(tls: &Tls, token: Option<&str>, line: &str, body: &str) -> (u16, String, String) {
    let token = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let text = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(tls, &text).await
}

async fn exchange(tls: &Tls, text: &str) -> (u16, String, String) {
    let mut roots = RootCertStore::empty();
    roots.add(tls.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(tls.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    // the server may close before it has read a refused request to its end
    let _sent = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head
        .split(' ')
        .nth(1)
        .map_or(0, |code| code.parse().unwrap());
    (code, head.to_owned(), body.to_owned())
}

async fn token(world: &World, role: Role) -> NewToken {
    let request = TokenRequest {
        role,
        database: (role == Role::Owner).then(|| name("shop")),
        name: None,
        expires: None,
    };
    world.client().add_token(&request).await.unwrap()
}

async fn world() -> (World, Tls) {
    let (world, tls) = World::start_with_tls().await;
    for database in ["shop", "other"] {
        world.client().create(&request(database)).await.unwrap();
    }
    (world, tls)
}

/// A request for each rule, about this database, which changes nothing that the others need.
fn line(method: &str, path: &str, database: &str) -> (String, &'static str) {
    let path = path
        .replace("{name}", database)
        .replace("{id}", "abcdefghij01");
    let body = match (method, path.as_str()) {
        ("PATCH", _) => r#"{"idle_park":"1h"}"#,
        ("POST", "/v1/databases") => r#"{"name":"shop"}"#,
        ("POST", "/v1/tokens") => r#"{"role":"owner","database":"nobody"}"#,
        (_, path) if path.ends_with("/rotate") => "{}",
        _ => "",
    };
    (format!("{method} {path}"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_gets_for_each_route_what_the_table_says() {
    let (world, tls) = world().await;
    for role in Role::ALL {
        let token = token(&world, role).await;
        // drops come last: what they drop is needed before
        let (drops, rest): (Vec<_>, Vec<_>) = RULES
            .into_iter()
            .partition(|(_, _, verb)| *verb == Verb::Drop);
        for (method, path, verb) in rest.into_iter().chain(drops) {
            let foreign = role == Role::Owner && path.contains("{name}");
            if foreign {
                let (head, text) = line(method, path, "other");
                let (other, _, of_other) = raw(&tls, Some(&token.token), &head, text).await;
                let (head, text) = line(method, path, "third");
                let (third, _, of_third) = raw(&tls, Some(&token.token), &head, text).await;
                assert_eq!((other, third), (404, 404), "{head}");
                assert_eq!(of_other.replace("other", "third"), of_third, "{head}");
            }
            let (head, text) = line(method, path, "shop");
            let (code, _, body) = raw(&tls, Some(&token.token), &head, text).await;
            let allowed = field(role, verb) != Field::No;
            let said = format!("{role}: {head}: {code} {body}");
            if allowed {
                assert!(![401, 403, 405, 500].contains(&code), "{said}");
            } else {
                assert_eq!(code, 403, "{said}");
                assert!(body.contains(&format!("the role {role} may not")), "{said}");
            }
        }
        let gone = world.client().database(&name("shop")).await.is_err();
        assert_eq!(gone, [Role::Admin, Role::Owner].contains(&role), "{role}");
        if gone {
            world.client().create(&request("shop")).await.unwrap();
        }
    }
    assert!(world.client().database(&name("other")).await.is_ok());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_rows_needs_more_than_parking() {
    let (world, tls) = world().await;
    for (role, plain, force) in [
        (Role::Viewer, 403, 403),
        (Role::Operator, 200, 403),
        (Role::Owner, 200, 200),
        (Role::Admin, 200, 200),
    ] {
        let token = token(&world, role).await.token;
        let park = "POST /v1/databases/shop/park";
        let answered = raw(&tls, Some(&token), park, "").await.0;
        assert_eq!(answered, plain, "{role}");
        for query in ["force=true", "force=true&force=true", "%66orce=true"] {
            let answered = raw(&tls, Some(&token), &format!("{park}?{query}"), "")
                .await
                .0;
            assert!(
                answered == force || answered == 400,
                "{role} {query}: {answered}"
            );
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_every_path_is_answered_alike() {
    let (world, tls) = world().await;
    let good = token(&world, Role::Admin).await;
    let mut bad = good.token.clone();
    bad.pop();
    bad.push('!');
    for line in [
        "GET /v1/databases/shop",
        "GET /v1/databases/none",
        "GET /no",
        "PUT /v1/databases",
    ] {
        let (code, head, body) = raw(&tls, None, line, "").await;
        assert_eq!(code, 401, "{line}");
        assert!(
            head.to_lowercase().contains("www-authenticate: bearer"),
            "{head}"
        );
        let expected = raw(&tls, None, "GET /v1/databases", "").await.2;
        assert_eq!(body, expected, "{line}");
        let (code, head, body) = raw(&tls, Some(&bad), line, "").await;
        assert_eq!(code, 401, "{line}");
        assert!(!format!("{head}{body}").contains(&bad), "{body}");
    }
    for header in [
        "Authorization: Basic YTpi\r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", "x".repeat(5000)),
        format!(
            "Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\n",
            good.token
        ),
        format!("X-Forwarded-User: root\r\nCookie: token={}\r\n", good.token),
    ] {
        let text =
            format!("GET /v1/databases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
        assert_eq!(exchange(&tls, &text).await.0, 401, "{header}");
    }
    let in_url = format!("GET /v1/databases?token={}", good.token);
    assert_eq!(raw(&tls, None, &in_url, "").await.0, 401);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_invalid_tokens_from_an_address_are_refused_unread() {
    let (world, tls) = World::start_with_tls().await;
    let good = token(&world, Role::Admin).await.token;
    let bad = format!("dm_{}_{}", "a".repeat(12), "b".repeat(43));
    for _ in 0..World::FAILED_TOKENS {
        assert_eq!(raw(&tls, Some(&bad), "GET /v1/status", "").await.0, 401);
    }
    let (code, head, body) = raw(&tls, Some(&good), "GET /v1/status", "").await;
    assert_eq!(code, 429, "{body}");
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    assert!(body.contains("failed_tokens_per_minute"), "{body}");
    // the local admin is not concerned
    world.client().status().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_nothing_of_others_nor_of_an_earlier_database_of_its_name() {
    let (world, tls) = world().await;
    let local = world.client();
    local.drop_database(&name("shop")).await.unwrap();
    local.create(&request("shop")).await.unwrap();
    let owner = tls
        .client()
        .with_token(&token(&world, Role::Owner).await.token)
        .unwrap();
    let listed = owner.databases().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, name("shop"));
    let events = owner.events(&EventQuery::default()).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|e| e.event.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"created"));
    assert!(
        !kinds.contains(&"dropped") && !kinds.contains(&"token"),
        "{kinds:?}"
    );
    assert!(events.iter().all(|e| e.database == Some(name("shop"))));
    let used = owner.usage(None, UsageQuery::default()).await.unwrap();
    let of: Vec<_> = used
        .rows
        .iter()
        .map(|row| (&row.database, row.dropped))
        .collect();
    assert_eq!(of, [(&name("shop"), None)]);
    let query = EventQuery {
        database: Some(name("other")),
        follow: true,
        ..EventQuery::default()
    };
    assert_eq!(refusal(owner.follow(&query).await).0, "not_found");
    assert_eq!(refusal(owner.events(&query).await).0, "not_found");
    assert_eq!(refusal(owner.metrics().await).0, "forbidden");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_token_ends_a_stream_and_an_open_connection_is_asked_again() {
    let (world, tls) = world().await;
    let viewer = token(&world, Role::Viewer).await;
    let client = tls.client().with_token(&viewer.token).unwrap();
    let query = EventQuery {
        after: Some(0),
        follow: true,
        ..EventQuery::default()
    };
    let mut stream = client.follow(&query).await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
    let seen = world.client().events(&EventQuery::default()).await.unwrap();
    for _ in 1..seen.len() {
        stream.next().await.unwrap();
    }
    world.client().remove_token(&viewer.about.id).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(refusal(client.status().await).0, "unauthorized");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_and_its_former_secret_are_told_apart() {
    let (world, tls) = world().await;
    let first = token(&world, Role::Viewer).await;
    let at_once = RotateRequest {
        grace: Some("0".parse().unwrap()),
        expires: Some(Delay::Never),
    };
    let second = world
        .client()
        .rotate_token(&first.about.id, &at_once)
        .await
        .unwrap();
    assert_eq!(second.about.expires, None);
    let client = |token: &NewToken| tls.client().with_token(&token.token).unwrap();
    assert_eq!(refusal(client(&first).status().await).0, "unauthorized");
    client(&second).status().await.unwrap();
    let listed = world.client().tokens().await.unwrap();
    assert!(listed[0].used.is_some() || listed[0].created <= second.about.created);
    let forever = RotateRequest {
        grace: Some(Delay::Never),
        expires: None,
    };
    let refused = world.client().rotate_token(&first.about.id, &forever).await;
    assert_eq!(refusal(refused).0, "invalid");
    let mut at_end = TokenRequest {
        role: Role::Viewer,
        database: None,
        name: None,
        expires: Some("0".parse().unwrap()),
    };
    assert_eq!(
        refusal(world.client().add_token(&at_end).await).0,
        "invalid"
    );
    at_end.expires = Some("40000d".parse().unwrap());
    assert_eq!(
        refusal(world.client().add_token(&at_end).await).0,
        "invalid"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_unix_socket_a_given_token_decides_and_the_ledger_names_it() {
    let (world, _tls) = world().await;
    let local = |token: &str| world.client().with_token(token).unwrap();
    let viewer = token(&world, Role::Viewer).await;
    let operator = token(&world, Role::Operator).await;
    let park = local(&viewer.token).park(&name("shop")).await;
    assert_eq!(refusal(park).0, "forbidden");
    assert_eq!(refusal(local("dm_x_y").status().await).0, "unauthorized");
    local(&operator.token).park(&name("shop")).await.unwrap();
    let events = world.client().events(&EventQuery::default()).await.unwrap();
    let last = events.last().unwrap();
    let by = format!("token:operator ({})", operator.about.id);
    assert_eq!(
        (last.event.as_str(), last.actor.as_deref()),
        ("changed", Some(by.as_str()))
    );
    let uid = rustix::process::geteuid().as_raw();
    let created = events.iter().find(|e| e.event == "created").unwrap();
    assert_eq!(created.actor, Some(format!("local:uid={uid}")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_not_trusted_gets_no_token() {
    let (world, tls) = world().await;
    let other = Tls::generate();
    let client = Client::over_tls(&tls.url(), Some(&other.file())).unwrap();
    let error = client
        .with_token("dm_x_y")
        .unwrap()
        .status()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NotTrusted { .. }), "{error:?}");
    let url = tls.url().replace("localhost", "127.0.0.1");
    let wrong_name = Client::over_tls(&url, Some(&tls.file())).unwrap();
    let error = wrong_name.status().await.unwrap_err();
    assert_eq!(error.body().code, "not_trusted");
    let without_tls: Result<_, ErrorBody> = Client::over_tls("http://localhost:1", None);
    assert_eq!(without_tls.unwrap_err().code, "invalid");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_tls_or_beyond_the_limits_are_refused() {
    let (world, tls) = world().await;
    let mut plain = TcpStream::connect(tls.address).await.unwrap();
    plain
        .write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _closed = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "answered without TLS");

    let good = token(&world, Role::Admin).await.token;
    let fields = "X: y\r\n".repeat(100);
    let text = format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    assert_eq!(exchange(&tls, &text).await.0, 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 << 10));
    assert!([414, 431].contains(&exchange(&tls, &long).await.0));
    let big = "x".repeat(dormouse_api::routes::MAX_BODY + 1);
    let (code, _, body) = raw(&tls, Some(&good), "POST /v1/databases", &big).await;
    assert_eq!(code, 413, "{body}");
    let text = format!(
        "POST /v1/databases HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {good}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n0\r\n\r\n",
        big.len()
    );
    assert_eq!(exchange(&tls, &text).await.0, 413);
    // the body of a stranger is not read
    assert_eq!(raw(&tls, None, "POST /v1/databases", &big).await.0, 401);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_are_limited_and_the_local_admin_is_not_concerned() {
    let (world, tls) = World::start_with_tls().await;
    let mut idle = Vec::new();
    for _ in 0..World::PER_ADDRESS {
        idle.push(TcpStream::connect(tls.address).await.unwrap());
    }
    let mut further = TcpStream::connect(tls.address).await.unwrap();
    assert_eq!(
        further.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "it was not closed"
    );
    world.client().status().await.unwrap();
    drop(idle);
    world.stop().await;
}
