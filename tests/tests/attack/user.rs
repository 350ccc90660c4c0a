//! A user whom the owner gave few rights.

use dormouse_testkit::{Created, Reply};

use crate::suite::{Attempt, Must, World, refused};

const ACCOUNTS: &str = "accounts are managed by the owner";
const OTHERS: &str = "the schema is not granted";

const ATTEMPTS: [Attempt; 24] = [
    refused(ACCOUNTS, &["CREATE USER mine"]),
    refused(ACCOUNTS, &["DROP USER admin@'%'"]),
    refused(ACCOUNTS, &["ALTER USER admin@'%' IDENTIFIED BY 'x'"]),
    refused(ACCOUNTS, &["SET PASSWORD FOR admin@'%' = PASSWORD('x')"]),
    refused(ACCOUNTS, &["RENAME USER admin@'%' TO mine"]),
    refused(ACCOUNTS, &["GRANT ALL ON *.* TO weak"]),
    refused(ACCOUNTS, &["GRANT SELECT ON app.* TO weak"]),
    refused(ACCOUNTS, &["GRANT INSERT ON open.* TO weak"]),
    refused(
        ACCOUNTS,
        &["REVOKE ALL PRIVILEGES, GRANT OPTION FROM admin@'%'"],
    ),
    refused(ACCOUNTS, &["CREATE ROLE mine"]),
    refused(ACCOUNTS, &["DROP USER dormouse@localhost"]),
    refused(ACCOUNTS, &["SET GLOBAL sql_mode = ''"]),
    refused(ACCOUNTS, &["SHOW GRANTS FOR admin@'%'"]),
    refused(ACCOUNTS, &["SHOW CREATE USER admin@'%'"]),
    refused(OTHERS, &["SELECT * FROM app.t"]),
    refused(OTHERS, &["SELECT * FROM mysql.global_priv"]),
    refused(OTHERS, &["SELECT * FROM mysql.user"]),
    refused(OTHERS, &["INSERT INTO open.t VALUES ('x')"]),
    refused(OTHERS, &["CREATE DATABASE mine"]),
    refused(OTHERS, &["DROP DATABASE open"]),
    refused(OTHERS, &["CREATE PROCEDURE open.p() SELECT 1"]),
    refused(OTHERS, &["FLUSH TABLES WITH READ LOCK"]),
    Attempt {
        why: "the statements of others are not shown",
        statements: &["SHOW FULL PROCESSLIST"],
        must: Must::Hide(&["owner-statement", "dormouse"]),
    },
    Attempt {
        why: OTHERS,
        statements: &["SHOW DATABASES"],
        must: Must::Hide(&["app", "mysql"]),
    },
];

pub(crate) fn count() -> usize {
    ATTEMPTS.len() + 2
}

#[test]
fn a_user_cannot_do_more_than_granted() {
    let world = World::new();
    let mut owner = world.dormouse.connect(&world.owner);
    for statement in [
        "CREATE DATABASE open",
        "CREATE TABLE open.t (s VARCHAR(64))",
        "CREATE USER weak IDENTIFIED BY 'a long password'",
        "GRANT SELECT ON open.* TO weak",
        "SET @a = 'owner-statement'",
    ] {
        owner.query(statement).ok();
    }
    let weak = Created {
        user: "shop.weak".to_owned(),
        password: "a long password".to_owned(),
    };
    world.try_all(&weak, &ATTEMPTS);
    // ends neither the owner's session nor its statement
    let mut client = world.dormouse.connect(&weak);
    for verb in ["KILL", "KILL QUERY"] {
        let reply = client.query(&format!("{verb} {}", owner.id()));
        assert!(matches!(reply, Reply::Err(_)), "{verb}: {reply:?}");
    }
    assert_eq!(owner.query("SELECT 1").value(), "1");
}
