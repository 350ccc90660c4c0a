//! Tests of client and server together: a real plane and a real socket, with a test double of the machine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says so by failing"
)]

mod access;
mod world;

use std::os::unix::fs::PermissionsExt;

use dormouse_api::client::ClientError;
use dormouse_api::model::{By, CreateRequest, EventQuery, SettingsPatch, UsageQuery};
use dormouse_types::{DatabaseName, Delay, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use world::World;

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

fn request(text: &str) -> CreateRequest {
    CreateRequest {
        name: name(text),
        root: None,
        version: None,
        settings: SettingsPatch::default(),
    }
}

/// Sends a raw request and reads the status line's code and the body.
async fn raw(world: &World, head: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = UnixStream::connect(world.socket()).await.unwrap();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // the server may not read a refused body to its end: errors of the write are ignored
    let _sent = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, serde_json::from_str(body).unwrap_or_default())
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (String, String) {
    match answer {
        Err(ClientError::Refused(body)) => (body.code, body.hint.unwrap_or_default()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_created_listed_ordered_and_dropped() {
    let world = World::start().await;
    let client = world.client();
    assert_eq!(client.databases().await.unwrap(), []);

    let created = client.create(&request("shop")).await.unwrap();
    assert_eq!(created.user, "shop.admin");
    assert_eq!(
        (created.host.as_deref(), created.port),
        (Some("127.0.0.1"), Some(3306))
    );
    assert!(!created.password.is_empty());
    assert!(
        created
            .command
            .ends_with(&format!("-ushop.admin -p{}", created.password))
    );

    client.create(&request("a-first")).await.unwrap();
    let names: Vec<_> = client
        .databases()
        .await
        .unwrap()
        .into_iter()
        .map(|d| d.name)
        .collect();
    assert_eq!(names, [name("a-first"), name("shop")]);

    let shop = name("shop");
    assert_eq!(client.database(&shop).await.unwrap().state, State::Active);
    assert_eq!(client.suspend(&shop).await.unwrap().state, State::Suspended);
    assert_eq!(client.wake(&shop).await.unwrap().state, State::Active);
    let parked = client.park(&shop).await.unwrap();
    assert_eq!((parked.state, parked.pid), (State::Parked, None));
    assert_eq!(parked.memory_tables, Some(Vec::new()));
    assert_eq!(client.wake(&shop).await.unwrap().state, State::Active);
    let parked = client.park_and_lose(&shop).await.unwrap();
    assert_eq!(parked.state, State::Parked);

    let status = client.status().await.unwrap();
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.databases.get("parked"), Some(&1));
    assert_eq!(status.databases.get("active"), Some(&1));

    client.drop_database(&shop).await.unwrap();
    assert_eq!(refusal(client.database(&shop).await).0, "not_found");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_settings_take_effect_at_once() {
    let world = World::start().await;
    let shop = name("shop");
    world.client().create(&request("shop")).await.unwrap();
    let settings = SettingsPatch {
        units: Some("2..8".parse().unwrap()),
        storage_quota: Some("20GiB".parse().unwrap()),
        spend_limit: Some("12.50".parse().unwrap()),
        keep_awake: Some("mon-fri 08:00-18:00".parse().unwrap()),
        ..SettingsPatch::default()
    };
    let before = world.client().database(&shop).await.unwrap();
    let told = world.client().set(&shop, &settings).await.unwrap();
    assert_eq!(told.units_range.to_string(), "2..8");
    assert_eq!(told.storage_quota.map(|b| b.0), Some(20 << 30));
    assert_eq!(told.keep_awake.to_string(), "mon-fri 08:00-18:00");
    assert_eq!(told.idle_park, before.idle_park);
    let nothing = SettingsPatch {
        spend_limit: Some("none".parse().unwrap()),
        ..SettingsPatch::default()
    };
    let told = world.client().set(&shop, &nothing).await.unwrap();
    assert_eq!((told.spend_limit, told.prewake), (None, false));
    let (code, _) = raw(&world, "PATCH /v1/databases/shop", r#"{"unit": "1..2"}"#).await;
    assert_eq!(code, 400);
    let missing = world.client().set(&name("nobody"), &nothing).await;
    assert_eq!(refusal(missing).0, "not_found");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_name_a_place_and_a_version_that_there_are() {
    let world = World::start().await;
    for (body, expected) in [
        (
            r#"{"name":"shop","root":"/nowhere"}"#,
            "/nowhere is none of the data directories",
        ),
        (
            r#"{"name":"shop","version":"11"}"#,
            "'11' is not a version of a server",
        ),
        (
            r#"{"name":"shop","rooot":"/nowhere"}"#,
            "unknown field `rooot`",
        ),
    ] {
        let (status, answer) = raw(&world, "POST /v1/databases", body).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let (status, _) = raw(
        &world,
        "POST /v1/databases",
        r#"{"name":"shop","root":null}"#,
    )
    .await;
    assert_eq!(status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_request_override_the_defaults() {
    let world = World::start().await;
    let asked = CreateRequest {
        settings: SettingsPatch {
            idle_park: Some("1h".parse().unwrap()),
            units: Some("2..4".parse().unwrap()),
            ..SettingsPatch::default()
        },
        ..request("shop")
    };
    world.client().create(&asked).await.unwrap();
    let shop = world.client().database(&name("shop")).await.unwrap();
    assert_eq!(shop.idle_suspend, Delay::Never);
    assert_eq!(
        (shop.idle_park.to_string(), shop.units_range.to_string()),
        ("1h".into(), "2..4".into())
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_a_code_a_message_and_a_hint() {
    let world = World::start().await;
    let client = world.client();
    client.create(&request("shop")).await.unwrap();
    let (code, hint) = refusal(client.create(&request("shop")).await);
    assert_eq!(code, "exists");
    assert!(hint.contains("drop shop"), "{hint}");
    assert_eq!(refusal(client.wake(&name("nobody")).await).0, "not_found");
    assert_eq!(
        refusal(client.drop_database(&name("nobody")).await).0,
        "not_found"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_request_gets_an_error_of_the_same_form() {
    let world = World::start().await;
    let long = format!(
        "{{\"name\":\"{}\"}}",
        "x".repeat(dormouse_api::routes::MAX_BODY)
    );
    for (head, body, status, code) in [
        ("GET /", "", 404, "not_found"),
        ("GET /v1/databases/nobody", "", 404, "not_found"),
        ("GET /v1/databases/No..pe", "", 400, "invalid"),
        ("PATCH /v1/databases", "", 405, "method_not_allowed"),
        ("POST /v1/databases", "", 400, "invalid"),
        (
            "POST /v1/databases",
            "{\"name\":\"shop\",\"colour\":\"red\"}",
            400,
            "invalid",
        ),
        ("POST /v1/databases", "{\"name\":\"Shop\"}", 400, "invalid"),
        (
            "POST /v1/databases",
            "{\"name\":\"shop\",\"idle_park\":\"5\"}",
            400,
            "invalid",
        ),
        ("POST /v1/databases", &long, 413, "too_large"),
        (
            "POST /v1/databases/shop/park?forse=true",
            "",
            400,
            "invalid",
        ),
        ("GET /v1/events?limit=many", "", 400, "invalid"),
        ("GET /v1/events?colour=red", "", 400, "invalid"),
    ] {
        let (answered, body) = raw(&world, head, body).await;
        assert_eq!(
            (answered, &body["error"]["code"]),
            (status, &code.into()),
            "{head}: {body}"
        );
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|m| !m.is_empty()),
            "{head}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_in_order_and_from_a_given_id() {
    let world = World::start().await;
    let client = world.client();
    client.create(&request("shop")).await.unwrap();
    client.create(&request("other")).await.unwrap();
    client.park(&name("shop")).await.unwrap();

    let all = client.events(&EventQuery::default()).await.unwrap();
    assert!(all.is_sorted_by_key(|e| e.id) && !all.is_empty(), "{all:?}");
    let query = EventQuery {
        database: Some(name("shop")),
        ..EventQuery::default()
    };
    let shops = client.events(&query).await.unwrap();
    assert!(shops.iter().all(|e| e.database == Some(name("shop"))));
    let last = shops.last().unwrap();
    assert_eq!(
        (last.to, last.cause.as_str()),
        (Some(State::Parked), "operator")
    );

    let first = EventQuery {
        after: Some(shops[0].id),
        limit: Some(1),
        ..query
    };
    assert_eq!(client.events(&first).await.unwrap(), shops[1..2]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_past_and_new_events_without_a_gap() {
    let world = World::start().await;
    let client = world.client();
    client.create(&request("shop")).await.unwrap();
    client.create(&request("other")).await.unwrap();
    let query = EventQuery {
        database: Some(name("shop")),
        after: Some(0),
        limit: Some(1),
        follow: true,
    };
    let mut stream = client.follow(&query).await.unwrap();
    let mut seen = vec![stream.next().await.unwrap().unwrap()];
    client.suspend(&name("shop")).await.unwrap();
    client.wake(&name("other")).await.unwrap();
    client.wake(&name("shop")).await.unwrap();
    let query = EventQuery {
        database: Some(name("shop")),
        ..EventQuery::default()
    };
    let listed = client.events(&query).await.unwrap();
    while seen.len() < listed.len() {
        seen.push(stream.next().await.unwrap().unwrap());
    }
    assert_eq!(seen, listed);
    world.stop().await;
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_belongs_to_its_owner_and_is_removed_with_the_server() {
    let world = World::start().await;
    let meta = std::fs::metadata(world.socket()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let client = world.client();
    let socket = world.socket();
    let _dir = world.stop().await;
    assert!(!socket.exists());
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error:?}");
    let body = error.body();
    assert_eq!(body.code, "not_running");
    assert!(body.hint.unwrap().contains("dormouse up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_left_behind_by_a_dead_server_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = dormouse_api::Client::new(&path).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error:?}");
    let world = World::start_in(dir).await;
    world.client().status().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_backends_are_shown_and_counted() {
    let world = World::start().await;
    let client = world.client();
    client.create(&request("shop")).await.unwrap();
    assert_eq!(client.sessions(&name("shop")).await.unwrap(), []);
    assert_eq!(client.pool(&name("shop")).await.unwrap().leases, 0);
    let nobody = client.pool(&name("nobody")).await;
    assert_eq!(refusal(nobody).0, "not_found");
    let text = client.metrics().await.unwrap();
    for line in [
        "dormouse_awake{database=\"shop\"} 1",
        "dormouse_leases_total{database=\"shop\"} 0",
        "dormouse_databases{state=\"active\"} 1",
        "# TYPE dormouse_lease_seconds counter",
        "dormouse_cpu_seconds_total{database=\"shop\"} 0.0",
        "# TYPE dormouse_memory_byte_seconds counter",
        "dormouse_moves_total 0",
        "dormouse_moves_failed_total 0",
        "dormouse_failovers_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let has = |what: &str| text.contains(what);
    assert!(!has("dormouse_replicas_wanted{"), "it has none: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_reported_for_all_or_one_and_invalid_queries_are_refused() {
    let world = World::start().await;
    let client = world.client();
    client.create(&request("shop")).await.unwrap();
    let by_day = UsageQuery {
        by: By::Day,
        ..UsageQuery::default()
    };
    let all = client.usage(None, UsageQuery::default()).await.unwrap();
    assert_eq!(all.rows[0].database, name("shop"));
    assert_eq!((all.cost, all.rows[0].from), (None, None));
    client.usage(Some(&name("shop")), by_day).await.unwrap();
    let then = UsageQuery {
        month: Some("2020-02".parse().unwrap()),
        by: By::Day,
    };
    assert_eq!(client.usage(None, then).await.unwrap().rows, []);
    let nobody = client.usage(Some(&name("nobody")), by_day).await;
    assert_eq!(refusal(nobody).0, "not_found");
    for wrong in ["month=2026-13", "by=minute", "by=year", "mouth=2026-01"] {
        let (code, _) = raw(&world, &format!("GET /v1/usage?{wrong}"), "").await;
        assert_eq!(code, 400, "{wrong}");
    }
    world.stop().await;
}
