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

const KIN: &str = "the server gives an account the rights on schemas of all accounts of its name";

/// Of a user who may manage accounts (`CREATE USER`), but is no owner.
const OF_A_MANAGER: [Attempt; 10] = [
    refused(KIN, &["CREATE USER admin@'127.0.0.1' IDENTIFIED BY 'x'"]),
    refused(
        KIN,
        &["CREATE USER mine", "RENAME USER mine TO admin@localhost"],
    ),
    refused(KIN, &["CREATE OR REPLACE USER admin@'127.%'"]),
    refused(
        KIN,
        &["GRANT USAGE ON *.* TO admin@'127.%' IDENTIFIED BY 'x'"],
    ),
    refused(
        "it would take the place of all others",
        &["CREATE USER ''@localhost"],
    ),
    refused(
        "it would take the place of all others",
        &["CREATE USER ''@'local%'"],
    ),
    refused(ACCOUNTS, &["ALTER USER admin@'%' IDENTIFIED BY 'x'"]),
    refused(ACCOUNTS, &["GRANT SELECT ON app.* TO hr"]),
    refused(ACCOUNTS, &["SET GLOBAL long_query_time = 1"]),
    refused(OTHERS, &["SELECT * FROM app.t"]),
];

pub(crate) fn count() -> usize {
    ATTEMPTS.len() + OF_A_MANAGER.len() + 2
}

#[test]
fn a_manager_of_accounts_makes_none_that_is_stronger() {
    let world = World::new();
    let mut owner = world.dormouse.connect(&world.owner);
    for statement in [
        "CREATE USER hr IDENTIFIED BY 'a long password'",
        "GRANT CREATE USER ON *.* TO hr",
    ] {
        owner.query(statement).ok();
    }
    let hr = Created {
        user: "shop.hr".to_owned(),
        password: "a long password".to_owned(),
    };
    world.try_all(&hr, &OF_A_MANAGER);
    // no account has taken the owner's place
    let mut again = world.dormouse.connect(&world.owner);
    assert_eq!(again.query("SELECT CURRENT_USER()").value(), "admin@%");
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
