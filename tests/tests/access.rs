//! The API over TLS with tokens: each role tries each verb on a real Dormouse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dormouse_testkit::{Dormouse, process, program, tls};
use rustls::StreamOwned;
use serde_json::Value;

const CONFIG: &str = "[api]\nlisten = '127.0.0.1:0'\nfailed_tokens_per_minute = 1000\n\
                      [defaults]\nidle_suspend = 'never'\nidle_park = 'never'\n";

/// Runs a command with the API's address and a token, as on another machine.
fn remote(dormouse: &Dormouse, token: &Path, arguments: &[&str]) -> Output {
    let port = dormouse.api_address().rsplit(':').next().unwrap();
    Command::new(program())
        .args(["--json", "--api", &format!("https://localhost:{port}")])
        .arg("--api-ca")
        .arg(dormouse.data_dir().join("tls/ca.crt"))
        .arg("--token-file")
        .arg(token)
        .args(arguments)
        .env_remove("DORMOUSE_DATA_DIR")
        .output()
        .unwrap()
}

/// The code of the error, or `ok`.
fn outcome(output: &Output) -> String {
    if output.status.success() {
        return "ok".to_owned();
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{stderr}"));
    error["error"]["code"].as_str().unwrap().to_owned()
}

/// A token, and a file with it.
struct Token {
    id: String,
    text: String,
    file: PathBuf,
}

fn token(dormouse: &Dormouse, arguments: &[&str]) -> Token {
    let made = dormouse.json(&[&["token", "add"], arguments].concat());
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    let (id, text) = (text("id"), text("token"));
    let file = dormouse.data_dir().join(format!("{id}.token"));
    std::fs::write(&file, &text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Token { id, text, file }
}

/// One HTTP request over TLS; the status.
fn raw(dormouse: &Dormouse, text: &str) -> u16 {
    let stream = TcpStream::connect(dormouse.api_address()).unwrap();
    let mut stream = StreamOwned::new(tls::to("localhost"), stream);
    let _sent = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).map(str::parse);
    code.unwrap_or_else(|| panic!("no response: {answer}"))
        .unwrap()
}

#[test]
fn each_role_tries_each_verb() {
    let dormouse = Dormouse::start_with(CONFIG);
    for name in ["shop", "other"] {
        let _ = dormouse.create(name, &[]);
    }
    // what each of these gets, in the order admin, operator, viewer, owner of shop
    let verbs: [(&[&str], [&str; 4]); 23] = [
        (&["ls"], ["ok", "ok", "ok", "ok"]),
        (&["show", "shop"], ["ok", "ok", "ok", "ok"]),
        (&["show", "other"], ["ok", "ok", "ok", "not_found"]),
        (
            &["show", "nobody"],
            ["not_found", "not_found", "not_found", "not_found"],
        ),
        (&["pool", "shop"], ["ok", "ok", "ok", "ok"]),
        (&["sessions", "other"], ["ok", "ok", "ok", "not_found"]),
        (&["metrics"], ["ok", "ok", "ok", "forbidden"]),
        (&["usage"], ["ok", "ok", "ok", "ok"]),
        (&["usage", "other"], ["ok", "ok", "ok", "not_found"]),
        (&["events"], ["ok", "ok", "ok", "ok"]),
        (&["events", "other"], ["ok", "ok", "ok", "not_found"]),
        (&["suspend", "shop"], ["ok", "ok", "forbidden", "ok"]),
        (&["wake", "shop"], ["ok", "ok", "forbidden", "ok"]),
        (&["wake", "other"], ["ok", "ok", "forbidden", "not_found"]),
        (&["park", "shop"], ["ok", "ok", "forbidden", "ok"]),
        (
            &["park", "shop", "--force"],
            ["ok", "forbidden", "forbidden", "ok"],
        ),
        (
            &["set", "shop", "--idle-park", "never"],
            ["ok", "ok", "forbidden", "ok"],
        ),
        (
            &["set", "other", "--idle-park", "never"],
            ["ok", "ok", "forbidden", "not_found"],
        ),
        (
            &["create", "shop"],
            ["exists", "forbidden", "forbidden", "forbidden"],
        ),
        (
            &["token", "ls"],
            ["ok", "forbidden", "forbidden", "forbidden"],
        ),
        (
            &["token", "rm", "abcdefghij01"],
            ["not_found", "forbidden", "forbidden", "forbidden"],
        ),
        (
            &["token", "add", "--role", "admin"],
            ["ok", "forbidden", "forbidden", "forbidden"],
        ),
        (
            &["drop", "other", "--yes"],
            ["", "forbidden", "forbidden", "not_found"],
        ),
    ];
    let roles: [&[&str]; 4] = [
        &["--role", "admin"],
        &["--role", "operator"],
        &["--role", "viewer"],
        &["--role", "owner", "--database", "shop"],
    ];
    let mut wrong = Vec::new();
    for (place, role) in roles.iter().enumerate() {
        let token = token(&dormouse, role);
        for (arguments, expected) in verbs.iter().filter(|(_, e)| !e[place].is_empty()) {
            let output = remote(&dormouse, &token.file, arguments);
            let got = outcome(&output);
            if got != expected[place] {
                wrong.push(format!(
                    "{role:?} {arguments:?}: {got}, not {}",
                    expected[place]
                ));
            }
            let all = [output.stdout.as_slice(), &output.stderr].concat();
            let all = String::from_utf8_lossy(&all).into_owned();
            assert!(!all.contains(&token.text), "{arguments:?} shows the token");
            if place == 3 && arguments.iter().all(|a| *a != "other") {
                assert!(
                    !all.contains("\"other\""),
                    "{arguments:?} shows another database: {all}"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(dormouse.json(&["ls"]).as_array().unwrap().len(), 2);
    assert!(!dormouse.log().contains("dm_"), "a token is in the log");
}

#[test]
fn the_ledger_names_who_changed_what() {
    let dormouse = Dormouse::start_with(CONFIG);
    let who = dormouse.create("shop", &[]);
    let operator = token(&dormouse, &["--role", "operator", "--name", "ci"]);
    for arguments in [
        ["park", "shop"].as_slice(),
        &["set", "shop", "--idle-park", "2h"],
    ] {
        assert_eq!(outcome(&remote(&dormouse, &operator.file, arguments)), "ok");
    }
    let mut client = dormouse.connect(&who);
    client
        .query("SELECT COUNT(*) FROM information_schema.schemata")
        .value();
    let _ = dormouse.json(&["token", "rm", &operator.id]);

    let events = dormouse.json(&["events"]);
    let told: Vec<String> = { events.as_array().unwrap().iter() }
        .filter(|event| event["event"] != "noted")
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("event"), text("database"), text("actor"))
        })
        .collect();
    let uid = std::fs::metadata(dormouse.data_dir().join("api.sock"));
    let local = format!(
        "local:uid={}",
        std::os::unix::fs::MetadataExt::uid(&uid.unwrap())
    );
    let ci = format!("token:ci ({})", operator.id);
    let expected = [
        format!("created shop {local}"),
        format!("token - {local}"),
        format!("changed shop {ci}"),
        format!("set shop {ci}"),
        "changed shop client:admin@shop".to_owned(),
        format!("token - {local}"),
    ];
    assert_eq!(told, expected);
    let text = dormouse.command(&["events"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains(&format!("[operator by {ci}] idle_park: never → 2h")),
        "{text}"
    );
}

#[test]
fn a_removed_token_and_a_dropped_databases_owner_are_refused_at_once() {
    let dormouse = Dormouse::start_with(CONFIG);
    let _ = dormouse.create("shop", &[]);
    let viewer = token(&dormouse, &["--role", "viewer"]);
    let owner = token(&dormouse, &["--role", "owner", "--database", "shop"]);
    let ls = |token: &Token| outcome(&remote(&dormouse, &token.file, &["ls"]));
    assert_eq!((ls(&viewer).as_str(), ls(&owner).as_str()), ("ok", "ok"));
    let _ = dormouse.json(&["token", "rm", &viewer.id]);
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    let _ = dormouse.create("shop", &[]);
    assert_eq!(ls(&viewer), "unauthorized");
    assert_eq!(ls(&owner), "unauthorized");
    let rotated = token(&dormouse, &["--role", "viewer", "--expires", "never"]);
    let new = dormouse.json(&["token", "rotate", &rotated.id, "--grace", "0"]);
    assert_eq!(ls(&rotated), "unauthorized");
    std::fs::write(&rotated.file, new["token"].as_str().unwrap()).unwrap();
    assert_eq!(ls(&rotated), "ok");
}

#[test]
fn tokens_survive_a_kill_and_their_secrets_are_in_no_file() {
    let mut dormouse = Dormouse::start_with(CONFIG);
    let admin = token(&dormouse, &["--role", "admin"]);
    dormouse.kill();
    dormouse.up();
    assert_eq!(
        outcome(&remote(&dormouse, &admin.file, &["token", "ls"])),
        "ok"
    );
    std::fs::remove_file(&admin.file).unwrap();
    let secret = admin.text.rsplit('_').next().unwrap().as_bytes().to_owned();
    let mut files = 0;
    for entry in std::fs::read_dir(dormouse.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|at| at == secret);
            assert!(!found, "the secret is in {}", path.display());
        }
    }
    assert!(files > 1);
}

#[test]
fn strangers_get_nothing_and_do_not_grow_the_process() {
    let dormouse = Dormouse::start_with(CONFIG);
    let _ = dormouse.create("shop", &[]);
    let pid = dormouse.pid();
    let get = |head: &str| format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    let mut before = None;
    for _ in 0..3 {
        for line in [
            "GET /v1/databases/shop",
            "GET /v1/tokens",
            "DELETE /v1/databases/shop",
            "GET /",
        ] {
            assert_eq!(raw(&dormouse, &format!("{}\r\n", get(line))), 401, "{line}");
            let guessed = format!(
                "Authorization: Bearer dm_{}_{}",
                "a".repeat(12),
                "b".repeat(43)
            );
            assert_eq!(
                raw(&dormouse, &format!("{}{guessed}\r\n\r\n", get(line))),
                401,
                "{line}"
            );
        }
        // connections that never finish a handshake or a request
        let idle: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(dormouse.api_address()).unwrap())
            .collect();
        drop(idle);
        process::until("their descriptors are closed", || {
            let now = process::descriptors(pid);
            *before.get_or_insert(now) + 2 >= now
        });
    }
    assert_eq!(dormouse.state("shop"), "active");
}

#[test]
fn another_local_user_needs_a_token_even_if_the_socket_is_open_to_all() {
    let dormouse = Dormouse::start_with(CONFIG);
    let socket = dormouse.data_dir().join("api.sock");
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&socket).unwrap()) != 0 {
        // only root can become another user
        return;
    }
    let viewer = token(&dormouse, &["--role", "viewer"]);
    // in a place that any user reaches
    let place = tempfile::Builder::new()
        .prefix("dm")
        .tempdir_in("/tmp")
        .unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.path(), open.clone()).unwrap();
    let (binary, link) = (place.path().join("dormouse"), place.path().join("api.sock"));
    std::fs::copy(program(), &binary).unwrap();
    let nobody = |token: Option<&str>, verb: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(["--json", "--data-dir"])
            .arg(place.path())
            .args(verb);
        command.envs(token.map(|token| ("DORMOUSE_TOKEN", token)));
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        outcome(&command.output().unwrap())
    };
    std::fs::hard_link(&socket, &link).unwrap();
    assert_eq!(nobody(None, &["ls"]), "no_permission");
    std::fs::set_permissions(&socket, open).unwrap();
    assert_eq!(nobody(None, &["ls"]), "unauthorized");
    assert_eq!(nobody(Some("dm_x"), &["ls"]), "unauthorized");
    assert_eq!(nobody(Some(&viewer.text), &["ls"]), "ok");
    assert_eq!(nobody(Some(&viewer.text), &["token", "ls"]), "forbidden");
}
