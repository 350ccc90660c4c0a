//! Statements that run in an owner's place, on a real server.

use dormouse_engine::Admin;
use dormouse_tenant::{Caller, Outcome, parse};

use super::server::Server;

/// Names and passwords that would end their quotes, or mean something else, if they were not quoted right.
const NASTY: [&str; 17] = [
    "plain",
    "it's",
    "''",
    "'",
    "\\",
    "\\'",
    "\\\\'",
    "a\\",
    "`",
    "``x`",
    "\"",
    "x' OR '1'='1",
    "x'@'%' IDENTIFIED BY 'y",
    "'; DROP USER 'victim'@'%'; -- ",
    "/*!50000 x */",
    "-- x",
    "ü\u{4e00}\u{a0}'\u{301}",
];

async fn owner(server: &Server) -> Admin {
    let mut admin = server.admin().await;
    let flag = "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.dormouse', 'owner') WHERE User = 'admin'";
    admin.query(flag).await.unwrap();
    admin.query("CREATE USER victim").await.unwrap();
    admin
}

async fn run(admin: &mut Admin, text: &str) -> Outcome {
    let statement = parse(text.as_bytes(), dormouse_session::lexer::Mode::default());
    let statement = statement.unwrap().unwrap();
    let caller = Caller {
        user: "admin".to_owned(),
        host: "%".to_owned(),
    };
    admin.accounts().run(&statement, &caller).await.unwrap()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn no_name_and_no_password_ends_its_quotes() {
    let server = Server::start().await;
    let mut admin = owner(&server).await;
    for (n, nasty) in NASTY.into_iter().enumerate() {
        let user = format!("{nasty}{n}");
        let (name, password) = (literal(&user), literal(nasty));
        let text = format!("CREATE USER {name} IDENTIFIED BY {password} ACCOUNT LOCK");
        assert_eq!(
            run(&mut admin, &text).await,
            Outcome::Done(Vec::new()),
            "{text}"
        );
        let sql = format!(
            "SELECT COUNT(*) FROM mysql.global_priv WHERE User = X'{}' AND Host = '%' \
             AND JSON_VALUE(Priv, '$.authentication_string') = PASSWORD(X'{}') \
             AND JSON_VALUE(Priv, '$.account_locked')",
            hex(&user),
            hex(nasty)
        );
        let rows = admin.query(&sql).await.unwrap();
        assert_eq!(rows.text(0, 0), "1", "{text}");
        let schema = format!("`{}`", nasty.replace('`', "``"));
        if !nasty.ends_with(' ') {
            let text = format!("GRANT SELECT ON {schema}.t{n} TO {name}");
            // there is no such table
            assert!(
                matches!(
                    run(&mut admin, &text).await,
                    Outcome::Failed { code: 1146, .. }
                ),
                "{text}"
            );
            let text = format!("GRANT SELECT ON {schema}.* TO {name}");
            assert_eq!(
                run(&mut admin, &text).await,
                Outcome::Done(Vec::new()),
                "{text}"
            );
        }
        let text = format!("DROP USER {name}");
        assert_eq!(
            run(&mut admin, &text).await,
            Outcome::Done(Vec::new()),
            "{text}"
        );
    }
    let left = admin
        .query(
            "SELECT GROUP_CONCAT(User ORDER BY User) FROM mysql.global_priv WHERE User <> 'PUBLIC'",
        )
        .await
        .unwrap();
    assert_eq!(left.text(0, 0), "admin,dormouse,mariadb.sys,victim");
}

#[tokio::test]
async fn shadow_rows_are_made_once_and_come_back() {
    let server = Server::start().await;
    let mut admin = owner(&server).await;
    let count = "SELECT COUNT(*) FROM mysql.db WHERE User = 'victim' AND Db IN ('mysql', 'sys') \
                 AND Insert_priv = 'N'";
    assert!(admin.accounts().protect("victim", "%").await.unwrap());
    assert!(!admin.accounts().protect("victim", "%").await.unwrap());
    assert_eq!(admin.query(count).await.unwrap().text(0, 0), "2");
    admin
        .query("UPDATE mysql.db SET Update_priv = 'Y' WHERE User = 'victim' AND Db = 'mysql'")
        .await
        .unwrap();
    assert!(admin.accounts().protect("victim", "%").await.unwrap());
    let done = run(
        &mut admin,
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM victim",
    )
    .await;
    assert_eq!(done, Outcome::Done(Vec::new()));
    assert_eq!(admin.query(count).await.unwrap().text(0, 0), "2");
    let done = run(&mut admin, "CREATE OR REPLACE USER victim").await;
    assert_eq!(done, Outcome::Done(Vec::new()));
    assert_eq!(admin.query(count).await.unwrap().text(0, 0), "2");
}

#[tokio::test]
async fn only_those_with_the_flag_manage() {
    let server = Server::start().await;
    let mut admin = owner(&server).await;
    admin
        .query("UPDATE mysql.global_priv SET Priv = JSON_REMOVE(Priv, '$.dormouse')")
        .await
        .unwrap();
    assert_eq!(run(&mut admin, "CREATE USER x").await, Outcome::NotAManager);
}
