//! A caller of the API: without a token, with a wrong one, or with one of few rights.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_testkit::{Dormouse, tls};
use rustls::StreamOwned;

/// Whose token a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Viewer,
    Operator,
    /// The owner of `shop`.
    Owner,
}

use Who::{Nobody, Operator, Owner, Viewer};

/// A request that must get one of these statuses: 401 without a valid token, 403 without the right, 404 for what
/// the caller must not know of, 400, 405, 414 or 431 for what is no request.
struct Attempt {
    who: Who,
    method: &'static str,
    path: &'static str,
    /// More lines of its head.
    more: &'static str,
    status: &'static [u16],
    why: &'static str,
}

const fn attempt(
    who: Who,
    method: &'static str,
    path: &'static str,
    status: &'static [u16],
    why: &'static str,
) -> Attempt {
    Attempt {
        who,
        method,
        path,
        more: "",
        status,
        why,
    }
}

const fn with(who: Who, path: &'static str, more: &'static str, why: &'static str) -> Attempt {
    Attempt {
        who,
        method: "GET",
        path,
        more,
        status: &[400, 401, 403, 404],
        why,
    }
}

const NO_TOKEN: &str = "a request without a token is a stranger's";
const READS: &str = "a viewer changes nothing";
const OPERATES: &str = "an operator neither loses data nor hands out rights";
const OTHERS: &str = "another database does not exist for an owner";
const ALL: &str = "it is about all databases";

const ATTEMPTS: [Attempt; 43] = [
    attempt(Nobody, "GET", "/v1/databases", &[401], NO_TOKEN),
    attempt(Nobody, "GET", "/v1/databases/shop", &[401], NO_TOKEN),
    attempt(Nobody, "DELETE", "/v1/databases/shop", &[401], NO_TOKEN),
    attempt(Nobody, "POST", "/v1/databases/shop/park", &[401], NO_TOKEN),
    attempt(Nobody, "GET", "/v1/tokens", &[401], NO_TOKEN),
    attempt(Nobody, "GET", "/v1/keys", &[401], NO_TOKEN),
    attempt(Nobody, "GET", "/metrics", &[401], NO_TOKEN),
    attempt(Nobody, "GET", "/nowhere", &[401], NO_TOKEN),
    with(
        Nobody,
        "/v1/databases?token=dm_a_b",
        "",
        "a token is not read from the address",
    ),
    with(
        Nobody,
        "/v1/databases",
        "Cookie: token=dm_a_b\r\n",
        "a token is not read from a cookie",
    ),
    with(
        Nobody,
        "/v1/databases",
        "Authorization: Bearer dm_aaaaaaaaaaaa_AAAA\r\n",
        "the token is not known",
    ),
    with(
        Nobody,
        "/v1/databases",
        "Authorization: Basic YWRtaW46YWRtaW4=\r\n",
        "this is no token",
    ),
    with(
        Nobody,
        "/v1/databases",
        "X-Forwarded-User: root\r\nX-Forwarded-For: 127.0.0.1\r\n",
        "a header is not believed",
    ),
    with(
        Nobody,
        "/v1/databases",
        "X-HTTP-Method-Override: DELETE\r\n",
        "a header is not believed",
    ),
    attempt(Viewer, "POST", "/v1/databases", &[403], READS),
    attempt(Viewer, "PATCH", "/v1/databases/shop", &[403], READS),
    attempt(Viewer, "DELETE", "/v1/databases/shop", &[403], READS),
    attempt(Viewer, "POST", "/v1/databases/shop/wake", &[403], READS),
    attempt(Viewer, "POST", "/v1/databases/shop/park", &[403], READS),
    attempt(Viewer, "POST", "/v1/databases/shop/users", &[403], READS),
    attempt(
        Viewer,
        "POST",
        "/v1/databases/shop/rotate-key",
        &[403],
        READS,
    ),
    attempt(Viewer, "GET", "/v1/tokens", &[403], READS),
    attempt(Viewer, "POST", "/v1/tokens", &[403], READS),
    attempt(Operator, "POST", "/v1/databases", &[403], OPERATES),
    attempt(Operator, "DELETE", "/v1/databases/shop", &[403], OPERATES),
    attempt(
        Operator,
        "POST",
        "/v1/databases/shop/park?force=true",
        &[403],
        OPERATES,
    ),
    attempt(
        Operator,
        "POST",
        "/v1/databases/shop/park?%66orce=true",
        &[400, 403],
        OPERATES,
    ),
    attempt(
        Operator,
        "POST",
        "/v1/databases/shop/users",
        &[403],
        OPERATES,
    ),
    attempt(
        Operator,
        "POST",
        "/v1/databases/shop/users/rotate",
        &[403],
        OPERATES,
    ),
    attempt(Operator, "POST", "/v1/keys/rotate-master", &[403], OPERATES),
    attempt(Operator, "POST", "/v1/tokens", &[403], OPERATES),
    attempt(Owner, "GET", "/v1/databases/blog", &[404], OTHERS),
    attempt(Owner, "GET", "/v1/databases/%62log", &[404], OTHERS),
    attempt(
        Owner,
        "GET",
        "/v1/databases/shop/../blog",
        &[400, 404],
        OTHERS,
    ),
    attempt(Owner, "DELETE", "/v1/databases/blog", &[404], OTHERS),
    attempt(Owner, "POST", "/v1/databases/blog/wake", &[404], OTHERS),
    attempt(Owner, "GET", "/v1/databases/blog/sessions", &[404], OTHERS),
    attempt(Owner, "GET", "/v1/databases/blog/users", &[404], OTHERS),
    attempt(
        Owner,
        "POST",
        "/v1/databases/blog/users/rotate",
        &[404],
        OTHERS,
    ),
    attempt(Owner, "GET", "/v1/events?database=blog", &[404], OTHERS),
    attempt(Owner, "GET", "/metrics", &[403], ALL),
    attempt(Owner, "GET", "/v1/keys", &[403], ALL),
    attempt(
        Owner,
        "POST",
        "/v1/tokens",
        &[403],
        "an owner hands out no tokens",
    ),
];

pub(crate) fn count() -> usize {
    ATTEMPTS.len()
}

/// The status of a request over TLS.
fn status(dormouse: &Dormouse, request: &str) -> u16 {
    let stream = TcpStream::connect(dormouse.api_address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut stream = StreamOwned::new(tls::to("localhost"), stream);
    let _sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no response to {request}: {answer}"))
}

#[test]
fn a_caller_does_nothing_beyond_its_token() {
    let dormouse = Dormouse::start_with(
        "[api]\nlisten = '127.0.0.1:0'\nfailed_tokens_per_minute = 1000\n\
         [defaults]\nidle_suspend = 'never'\nidle_park = 'never'\n",
    );
    for name in ["shop", "blog"] {
        let _ = dormouse.create(name, &[]);
    }
    let token = |arguments: &[&str]| {
        let made = dormouse.json(&[&["token", "add", "--role"], arguments].concat());
        made["token"].as_str().unwrap().to_owned()
    };
    let tokens = [
        (Viewer, token(&["viewer"])),
        (Operator, token(&["operator"])),
        (Owner, token(&["owner", "--database", "shop"])),
    ];
    let mut succeeded = Vec::new();
    for Attempt {
        who,
        method,
        path,
        more,
        status: expected,
        why,
    } in ATTEMPTS
    {
        let own = tokens.iter().find(|(of, _)| *of == who);
        let own = own.map_or(String::new(), |(_, token)| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{own}{more}Content-Length: 2\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n{{}}"
        );
        let got = status(&dormouse, &request);
        if !expected.contains(&got) {
            succeeded.push(format!(
                "- {who:?} {method} {path}: {got}; it must fail: {why}"
            ));
        }
    }
    assert!(succeeded.is_empty(), "succeeded:\n{}", succeeded.join("\n"));
    println!("{} attempts, 0 successes", ATTEMPTS.len());
    // nothing was changed
    for name in ["shop", "blog"] {
        assert_eq!(dormouse.state(name), "active");
    }
    assert_eq!(dormouse.json(&["token", "ls"]).as_array().unwrap().len(), 3);
}
