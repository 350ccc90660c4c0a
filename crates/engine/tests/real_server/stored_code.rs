//! Finding stored code that changes sessions in ways that no reply reports.

use crate::server::Server;

#[tokio::test]
async fn stored_code_that_hides_what_it_does_is_found() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (i INT)",
        "CREATE SEQUENCE s.q",
        "CREATE DEFINER = root@localhost FUNCTION s.harmless() RETURNS INT RETURN @@sql_auto_is_null",
        "CREATE PROCEDURE s.harmless() BEGIN DECLARE a INT; SELECT 1 INTO a; END",
        "CREATE TRIGGER s.harmless BEFORE INSERT ON s.t FOR EACH ROW SET NEW.i = 1",
        "CREATE VIEW s.harmless AS SELECT * FROM s.t",
    ] {
        admin.query(sql).await.unwrap();
    }
    // the schema sys has such code, but no user can add any
    assert!(!admin.settings().hides_changes().await.unwrap());
    for (what, body) in [
        ("FUNCTION s.f", "() RETURNS INT RETURN get_lock('a', 0)"),
        (
            "FUNCTION s.f",
            "() RETURNS INT BEGIN SELECT 1 INTO @`a`; RETURN 1; END",
        ),
        ("FUNCTION s.f", "() RETURNS INT RETURN NEXT VALUE FOR s.q"),
        (
            "FUNCTION s.f",
            "() RETURNS INT RETURN NEXT/**/VALUE FOR s.q",
        ),
        ("PROCEDURE s.p", "() DO Release_All_Locks()"),
        (
            "TRIGGER s.r",
            " BEFORE UPDATE ON s.t FOR EACH ROW SET NEW.i = (@a := 5)",
        ),
        ("VIEW s.v", " AS SELECT SETVAL(s.q, 5)"),
        ("VIEW s.v", " AS SELECT LAST_INSERT_ID(7)"),
    ] {
        admin.query(&format!("CREATE {what}{body}")).await.unwrap();
        let found = admin.settings().hides_changes().await.unwrap();
        assert!(found, "{what}{body}");
        admin.query(&format!("DROP {what}")).await.unwrap();
        let found = admin.settings().hides_changes().await.unwrap();
        assert!(!found, "{what}{body} is gone");
    }
}
