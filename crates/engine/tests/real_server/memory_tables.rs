//! Listing of MEMORY tables that have rows.

use std::time::Duration;

use crate::server::Server;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn only_memory_tables_with_rows_are_listed() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    assert_eq!(admin.memory_tables(LONG).await.unwrap(), Some(Vec::new()));
    for sql in [
        "CREATE SCHEMA app",
        "CREATE SCHEMA `it's`",
        "CREATE TABLE app.cache (a INT) ENGINE=MEMORY",
        "CREATE TABLE app.empty (a INT) ENGINE=MEMORY",
        "CREATE TABLE app.kept (a INT) ENGINE=InnoDB",
        "CREATE TABLE `it's`.`a\\b` (a INT) ENGINE=MEMORY PARTITION BY HASH (a) PARTITIONS 2",
        "CREATE TEMPORARY TABLE app.own (a INT) ENGINE=MEMORY",
        "INSERT INTO app.cache VALUES (1), (2)",
        "INSERT INTO app.kept VALUES (1)",
        "INSERT INTO app.own VALUES (1)",
        "INSERT INTO `it's`.`a\\b` VALUES (1)",
    ] {
        admin.query(sql).await.unwrap();
    }
    let mut named = admin.memory_tables(LONG).await.unwrap().unwrap();
    named.sort();
    assert_eq!(named, ["app.cache", "it's.a\\b"]);
    admin.query("DELETE FROM app.cache").await.unwrap();
    admin.query("DROP SCHEMA `it's`").await.unwrap();
    assert_eq!(admin.memory_tables(LONG).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn a_listing_over_its_limit_is_aborted_and_the_connection_stays_usable() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    admin.query("CREATE SCHEMA app").await.unwrap();
    for n in 0..500 {
        let sql = format!("CREATE TABLE app.t{n} (a INT) ENGINE=MEMORY");
        admin.query(&sql).await.unwrap();
    }
    let short = Duration::from_millis(1);
    assert_eq!(admin.memory_tables(short).await.unwrap(), None);
    admin.query("INSERT INTO app.t7 VALUES (1)").await.unwrap();
    let named = admin.memory_tables(LONG).await.unwrap();
    assert_eq!(named, Some(vec!["app.t7".to_owned()]));
}
