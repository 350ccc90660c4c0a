//! What is shown of an account, and which wrong passwords count.

use std::path::PathBuf;

use dormouse_testkit::{Client, Dormouse, Reply};
use dormouse_wire::command::Command;

use super::{log_in, one, user};

#[test]
fn accounts_are_shown_without_the_credential_that_dormouse_adds() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    admin.query("CREATE USER eve IDENTIFIED BY 'e'").ok();
    let mut eve = user(&dormouse, "shop.eve", "e");
    // now the account has it
    assert_eq!(eve.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
    // SELECT PASSWORD('e')
    const HASH: &str = "*33E0B212CC71ADACB7017A3790B8D662986E504B";
    let grants = format!("GRANT USAGE ON *.* TO `eve`@`%` IDENTIFIED BY PASSWORD '{HASH}'");
    let account = format!("CREATE USER `eve`@`%` IDENTIFIED BY PASSWORD '{HASH}'");
    for text in [
        "SHOW GRANTS",
        "/* a */ show grants for CURRENT_USER()",
        "SHOW GRANTS FOR eve",
        "EXECUTE IMMEDIATE 'SHOW GRANTS'",
    ] {
        assert_eq!(eve.query(text).rows(), [[Some(grants.clone())]], "{text}");
    }
    for text in ["SHOW CREATE USER", "SHOW CREATE USER eve"] {
        assert_eq!(eve.query(text).value(), account, "{text}");
    }
    for text in ["SHOW GRANTS FOR eve", "SHOW CREATE USER eve"] {
        let shown = admin.query(text).value();
        assert!(shown == grants || shown == account, "{shown}");
    }
    let id = eve.prepare("SHOW GRANTS");
    eve.command(
        Command::StmtExecute,
        &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat(),
    );
    let rows = eve.binary_reply();
    let shown = |row: &Vec<u8>| String::from_utf8_lossy(row).ends_with(&grants);
    assert!(rows.iter().any(shown), "{rows:?}");
}

/// The bytes of a reply without zeros, so that a text in UTF-16 reads like one in UTF-8.
fn bytes(client: &mut Client, text: &str) -> String {
    let reply = client.exchange_whole(Command::Query, text.as_bytes());
    let mut reply = reply.unwrap();
    reply.retain(|byte| *byte != 0);
    String::from_utf8_lossy(&reply).into_owned()
}

/// What Dormouse has added to an account.
fn added(platform: &mut Client, user: &str) -> String {
    let stored = format!(
        "SELECT JSON_VALUE(Priv, '$.auth_or[1].authentication_string') FROM mysql.global_priv WHERE User = '{user}'"
    );
    platform.query(&stored).value()
}

#[test]
fn the_credential_that_dormouse_adds_is_shown_by_no_statement() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    for text in [
        "CREATE SCHEMA s",
        "CREATE USER eve IDENTIFIED VIA mysql_native_password USING PASSWORD('e')",
        "GRANT EXECUTE ON s.* TO eve",
        "CREATE PROCEDURE s.shows() SQL SECURITY INVOKER SHOW GRANTS",
        "CREATE PROCEDURE s.executes() SQL SECURITY INVOKER EXECUTE IMMEDIATE CONCAT('SHOW CREATE', ' USER')",
        "CREATE PROCEDURE s.many() SQL SECURITY INVOKER BEGIN SELECT 1; SHOW GRANTS; SELECT seq FROM seq_1_to_9999; \
         SHOW CREATE USER; SHOW GRANTS; END",
    ] {
        admin.query(text).ok();
    }
    let mut eve = user(&dormouse, "shop.eve", "e");
    assert_eq!(eve.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
    let secret = added(&mut dormouse.platform("shop"), "eve");
    assert!(secret.len() == 41 && secret.starts_with('*'), "{secret}");
    for text in ["SET @t = 'SHOW GRANTS'", "PREPARE p FROM @t"] {
        eve.query(text).ok();
    }
    let all = [
        "SHOW GRANTS",
        "SELECT 1; SHOW GRANTS",
        "SELECT 1; SET @x = 1; SET timestamp = DEFAULT; SHOW CREATE USER",
        "SHOW STATUS LIKE 'Ssl_cipher'; SHOW CREATE USER; SELECT 2",
        "BEGIN NOT ATOMIC SHOW GRANTS; END",
        "IF 1 THEN SHOW GRANTS; END IF",
        "SET STATEMENT max_statement_time = 9 FOR SHOW GRANTS",
        "/*!50000 SHOW */ GRANTS",
        "EXECUTE p",
        "EXECUTE IMMEDIATE CONCAT('SHOW CREATE', ' USER')",
        "CALL s.shows()",
        "CALL s.executes()",
        "CALL s.many()",
    ];
    let look = |eve: &mut Client, when: &str| {
        for text in all {
            let shown = bytes(eve, text);
            assert!(
                shown.contains("PASSWORD '*33E0B212CC"),
                "{text} {when}: {shown}"
            );
            assert!(!shown.contains(&secret), "{text} {when}: {shown}");
            assert!(!shown.contains("`sys`"), "{text} {when}: {shown}");
        }
    };
    look(&mut eve, "in UTF-8");
    for charset in ["utf16", "utf16le", "utf32", "latin1"] {
        eve.query(&format!("SET character_set_results = {charset}"))
            .ok();
        look(&mut eve, charset);
    }
    // a cursor is asked for, which this statement never has
    let id = eve.prepare("SHOW GRANTS");
    for flags in [0, 1] {
        let execute = [&id.to_le_bytes()[..], &[flags, 1, 0, 0, 0]].concat();
        let reply = eve.exchange_whole(Command::StmtExecute, &execute).unwrap();
        let shown = String::from_utf8_lossy(&reply);
        assert!(shown.contains("PASSWORD '*33E0B212CC"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
}

#[test]
fn a_renamed_account_is_shown_as_it_was() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    let mut platform = dormouse.platform("shop");
    for name in ["a", "b"] {
        let create = format!("CREATE USER {name} IDENTIFIED BY '{name}'");
        admin.query(&create).ok();
    }
    let shown = |admin: &mut Client, name: &str| {
        let account = admin.query(&format!("SHOW CREATE USER {name}")).value();
        let grants = admin.query(&format!("SHOW GRANTS FOR {name}")).value();
        [account, grants].map(|text| text.replace(&format!("`{name}`"), "`?`"))
    };
    let mut before = ["a", "b"].map(|name| shown(&mut admin, name));
    let log_in = |name: &str, password: &str| {
        let mut client = user(&dormouse, &format!("shop.{name}"), password);
        assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
        client
    };
    let mut passwords = ["a", "b"];
    for text in [
        "RENAME USER a TO c, b TO a, c TO b",
        "EXECUTE IMMEDIATE 'RENAME USER a TO c, b TO a, c TO b'",
    ] {
        let sessions = [log_in("a", passwords[0]), log_in("b", passwords[1])];
        assert_eq!(["a", "b"].map(|name| shown(&mut admin, name)), before);
        admin.query(text).ok();
        passwords.swap(0, 1);
        before.swap(0, 1);
        assert_eq!(
            ["a", "b"].map(|name| shown(&mut admin, name)),
            before,
            "{text}"
        );
        drop(sessions);
        let _sessions = [log_in("a", passwords[0]), log_in("b", passwords[1])];
        assert_eq!(
            ["a", "b"].map(|name| shown(&mut admin, name)),
            before,
            "{text}"
        );
    }
    // only one of the two exists: a part of it happens
    let reply = admin.query("RENAME USER a TO d, nobody TO e");
    assert_eq!(reply.err().code, 1396);
    assert_eq!(shown(&mut admin, "d"), before[0]);
    let _session = log_in("d", passwords[0]);
    assert_eq!(shown(&mut admin, "d"), before[0]);
    // none is left over
    for name in ["b", "d"] {
        let methods = format!(
            "SELECT JSON_LENGTH(Priv, '$.auth_or') FROM mysql.global_priv WHERE User = '{name}'"
        );
        assert_eq!(platform.query(&methods).value(), "2", "{name}");
    }
    // a session of an account that is renamed
    let mut session = log_in("d", passwords[0]);
    let secret = added(&mut platform, "d");
    admin.query("RENAME USER d TO f").ok();
    for text in [
        "SHOW GRANTS",
        "SHOW CREATE USER",
        "SHOW GRANTS FOR f",
        "SHOW CREATE USER f",
    ] {
        if let Ok(reply) = session.exchange_whole(Command::Query, text.as_bytes()) {
            let reply = String::from_utf8_lossy(&reply).into_owned();
            assert!(!reply.contains(&secret), "{text}: {reply}");
        }
    }
}

#[test]
fn max_password_errors_blocks_an_account_until_privileges_are_flushed() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    for text in [
        "CREATE USER guess IDENTIFIED BY 'right'",
        "CREATE USER other IDENTIFIED BY 'right'",
        "SET GLOBAL max_password_errors = 2",
    ] {
        admin.query(text).ok();
    }
    let code = |user: &str, password: &str| match log_in(&dormouse, user, password).1 {
        Reply::Err(error) => error.code,
        _ => 0,
    };
    let wrong = || code("shop.guess", "wrong");
    let right = || code("shop.guess", "right");
    assert_eq!((wrong(), right(), wrong(), wrong()), (1045, 0, 1045, 1045));
    assert_eq!((right(), wrong()), (4150, 4150));
    assert_eq!(code("shop.other", "right"), 0);
    // also while it sleeps
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(right(), 4150);
    admin.query("FLUSH PRIVILEGES").ok();
    assert_eq!((right(), wrong(), wrong(), right()), (0, 1045, 1045, 4150));
    admin.query("ALTER USER guess IDENTIFIED BY 'right'").ok();
    assert_eq!(right(), 0);
}

/// The accounts of the next two tests; those whose plugin a server lacks are not made.
const ACCOUNTS: [(&str, &str); 11] = [
    ("plain", "IDENTIFIED BY 'r'"),
    ("without", ""),
    ("locked", "IDENTIFIED BY 'r' ACCOUNT LOCK"),
    ("expired", "IDENTIFIED BY 'r' PASSWORD EXPIRE"),
    (
        "nobody",
        "IDENTIFIED VIA mysql_native_password USING 'invalid'",
    ),
    (
        "two",
        "IDENTIFIED VIA mysql_native_password USING PASSWORD('r') OR mysql_native_password USING PASSWORD('q')",
    ),
    (
        "socket_first",
        "IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('r')",
    ),
    ("edward", "IDENTIFIED VIA ed25519 USING PASSWORD('r')"),
    (
        "ed_first",
        "IDENTIFIED VIA ed25519 USING PASSWORD('q') OR mysql_native_password USING PASSWORD('r')",
    ),
    (
        "ed_last",
        "IDENTIFIED VIA mysql_native_password USING PASSWORD('r') OR ed25519 USING PASSWORD('q')",
    ),
    (
        "parsec_last",
        "IDENTIFIED VIA mysql_native_password USING PASSWORD('r') OR parsec USING PASSWORD('q')",
    ),
];

/// A database with these accounts, none of which has logged in, and two wrong passwords allowed; its owner, and its server's
/// socket.
fn guessed() -> (Dormouse, Client, PathBuf, Vec<&'static str>) {
    let (dormouse, who) = one("[limits]\nfailed_logins_per_minute = 1000000\n");
    let mut admin = dormouse.connect(&who);
    let made = ACCOUNTS.into_iter().filter(|(name, identified)| {
        match admin.query(&format!("CREATE USER {name} {identified}")) {
            Reply::Err(error) => {
                println!("skipped: {name}: {}", error.message);
                false
            }
            _ => true,
        }
    });
    let made: Vec<_> = made.map(|(name, _)| name).collect();
    assert!(made.len() >= 7, "{made:?}");
    admin.query("SET GLOBAL max_password_errors = 2").ok();
    let socket = dormouse.instance("shop").join("mysqld.sock");
    (dormouse, admin, socket, made)
}

fn code_of(reply: Reply) -> u16 {
    match reply {
        Reply::Err(error) => error.code,
        _ => 0,
    }
}

#[test]
fn wrong_passwords_are_counted_as_the_server_counts_them() {
    let (dormouse, mut admin, socket, made) = guessed();
    let on_server = |user: &str, password: &str| {
        let mut client = Client::unix(&socket);
        code_of(client.login(user, password, None))
    };
    let through = |user: &str, password: &str| {
        code_of(log_in(&dormouse, &format!("shop.{user}"), password).1)
    };
    for user in made {
        for passwords in [
            "w w w r q",
            "- - - r",
            "w - w r q",
            "w r w r",
            "w - w -",
            "w q w q w w q r",
            "w w - q w",
            "- w w r r",
        ] {
            admin.query("FLUSH LOCAL PRIVILEGES").ok();
            let of = |log_in: &dyn Fn(&str, &str) -> u16| {
                let words = passwords.split(' ').map(|word| word.trim_matches('-'));
                words
                    .map(|password| log_in(user, password))
                    .collect::<Vec<_>>()
            };
            // without the password, a server says 1045 or 1698, depending on the method that it asked last
            let one = |code: u16| if code == 1698 { 1045 } else { code };
            let expected: Vec<_> = of(&on_server).into_iter().map(one).collect();
            let found: Vec<_> = of(&through).into_iter().map(one).collect();
            assert_eq!(found, expected, "{user}: {passwords}");
        }
    }
}

#[test]
fn statements_unblock_the_accounts_that_the_server_would_unblock() {
    let (dormouse, mut admin, socket, _) = guessed();
    let mut platform = dormouse.platform("shop");
    for text in [
        "CREATE USER other IDENTIFIED BY 'r'",
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (i INT)",
        "CREATE PROCEDURE s.p() SELECT 1",
        "CREATE ROLE boss",
    ] {
        admin.query(text).ok();
    }
    let on_server =
        |user: &str, password: &str| code_of(Client::unix(&socket).login(user, password, None));
    let through = |user: &str, password: &str| {
        code_of(log_in(&dormouse, &format!("shop.{user}"), password).1)
    };
    for text in [
        "GRANT SELECT ON s.* TO plain",
        "REVOKE SELECT ON s.* FROM plain",
        "GRANT SELECT ON s.t TO plain",
        "GRANT SELECT (i) ON s.t TO plain",
        "GRANT EXECUTE ON PROCEDURE s.p TO plain",
        "GRANT PROCESS ON *.* TO plain",
        "GRANT SELECT ON s.* TO other",
        "GRANT SELECT ON s.* TO boss",
        "GRANT SELECT ON s.* TO other, plain",
        "REVOKE ALL, GRANT OPTION FROM plain",
        "GRANT boss TO plain",
        "SET DEFAULT ROLE NONE FOR plain",
        "REVOKE boss FROM plain",
        "ALTER USER plain ACCOUNT UNLOCK",
        "ALTER USER other ACCOUNT UNLOCK",
        "SET PASSWORD FOR plain = PASSWORD('r')",
        "CREATE USER IF NOT EXISTS plain IDENTIFIED BY 'r'",
        "CREATE OR REPLACE USER plain IDENTIFIED BY 'r'",
        "RENAME USER plain TO moved",
        "RENAME USER moved TO plain",
        "FLUSH TABLES",
        "SELECT 1; FLUSH PRIVILEGES",
        "FLUSH LOCAL STATUS, PRIVILEGES",
        "EXECUTE IMMEDIATE 'FLUSH PRIVILEGES'",
        "BEGIN NOT ATOMIC FLUSH PRIVILEGES; END",
    ] {
        let name = |other: &str| text.split(' ').any(|word| word == other);
        let (before, after) = match text {
            "RENAME USER plain TO moved" => ("plain", "moved"),
            "RENAME USER moved TO plain" => ("moved", "plain"),
            _ => ("plain", "plain"),
        };
        let (mut codes, mut done) = (Vec::new(), 0);
        for (client, log_in) in [
            (&mut platform, &on_server as &dyn Fn(&str, &str) -> u16),
            (&mut admin, &through),
        ] {
            if text.starts_with("REVOKE SELECT") {
                client
                    .query(&text.replace("REVOKE", "GRANT").replace("FROM", "TO"))
                    .ok();
            }
            client.query("FLUSH LOCAL PRIVILEGES").ok();
            let blocked = ["w", "w", "r"].map(|password| log_in(before, password));
            assert_eq!(blocked, [1045, 1045, 4150], "{text}");
            done = code_of(client.query(text));
            codes.push((log_in(after, "r"), log_in("other", "r")));
            if name("RENAME") && codes.len() == 1 {
                let back = format!("RENAME USER {after} TO {before}");
                client.query(&back).ok();
            }
        }
        // the platform itself may not grant a role, which would change nothing
        assert_eq!((done, codes[1]), (0, codes[0]), "{text}");
    }
}
