//! mysql_async with its defaults: prepared statements, and a reset of connections returned to the pool.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a client that fails ends with an error"
)]

use std::env::var;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use mysql_async::prelude::Queryable;
use mysql_async::{
    Conn, Error as Failure, Opts, OptsBuilder, Params, Pool, Row, SslOpts, TxOpts, Value, params,
};

/// A row of every type.
type Types = (
    i32,
    Option<i64>,
    Option<f64>,
    Option<String>,
    Option<Vec<u8>>,
);
type Outcome = Result<(), Box<dyn Error>>;

const BIG_ROWS: u64 = 200_000;
const SETTINGS: &str =
    "@@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, DATABASE()";

fn env(name: &str) -> String {
    var(name).unwrap_or_default()
}

fn opts() -> Opts {
    let opts = OptsBuilder::default()
        .ip_or_hostname(env("HOST"))
        .tcp_port(env("PORT").parse().unwrap())
        .user(Some(env("USER_NAME")))
        .pass(Some(env("PASSWORD")))
        .db_name(Some(env("SCHEMA")));
    match env("MODE").as_str() {
        "tls" => opts.ssl_opts(tls()).into(),
        "socket" => opts.socket(Some(env("SOCKET"))).into(),
        _ => opts.into(),
    }
}

/// Verifies the server's certificate against itself as the root, if CERTIFICATE is set.
fn tls() -> SslOpts {
    match env("CERTIFICATE") {
        path if path.is_empty() => SslOpts::default().with_danger_accept_invalid_certs(true),
        path => SslOpts::default()
            .with_root_certs(vec![PathBuf::from(path).into()])
            .with_disable_built_in_roots(true),
    }
}

fn nap(kind: &str) {
    let status = Command::new(env("NAP")).arg(kind).status().unwrap();
    assert!(status.success(), "nap {kind}");
}

async fn simple(db: &mut Conn) -> Outcome {
    let row: Option<(u8, String, Option<u8>)> =
        db.query_first("SELECT 1+1, 'grüße 🐭', NULL").await?;
    assert_eq!(row, Some((2, "grüße 🐭".to_owned(), None)));
    match db.query_drop("SELECT * FROM no_such_table").await {
        Err(Failure::Server(error)) => assert_eq!((error.code, &*error.state), (1146, "42S02")),
        other => panic!("a missing table: {other:?}"),
    }
    db.ping().await?;
    let cipher: Option<(String, String)> = db.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await?;
    if env("NAPS").is_empty() {
        // through Dormouse this shows its own connection to the server
        assert_eq!(!cipher.unwrap().1.is_empty(), env("MODE") == "tls");
    }
    Ok(())
}

async fn prepared(db: &mut Conn) -> Outcome {
    db.query_drop(
        "CREATE OR REPLACE TABLE rust_types (id INT PRIMARY KEY, n BIGINT, d DOUBLE, s LONGTEXT, b LONGBLOB)",
    )
    .await?;
    let table = [
        (1, None, None, None, None),
        (
            2,
            Some(i64::MIN),
            Some(-2.5),
            Some("grüße 🐭".to_owned()),
            Some(vec![0, 255, 1]),
        ),
        (
            3,
            Some(i64::MAX),
            Some(1e300),
            Some("ü".repeat(1 << 20)),
            Some(vec![0xa5; 2 << 20]),
        ),
    ];
    let insert = db
        .prep("INSERT INTO rust_types VALUES (?, ?, ?, ?, ?)")
        .await?;
    db.exec_batch(&insert, table.iter()).await?;
    for row in &table {
        let select = "SELECT * FROM rust_types WHERE id = :id";
        let got: Option<Types> = db.exec_first(select, params! { "id" => row.0 }).await?;
        assert!(got.as_ref() == Some(row), "row {} of all types", row.0);
    }
    let echo = db.prep("SELECT ?").await?;
    let big = Value::Bytes(vec![b'x'; 100_000]);
    for value in [Value::Int(1), Value::NULL, Value::Double(2.5), big] {
        let got: Option<Row> = db
            .exec_first(&echo, Params::Positional(vec![value.clone()]))
            .await?;
        assert!(
            got.unwrap().unwrap() == [value],
            "a parameter of a new type"
        );
    }
    db.close(echo).await?;
    db.query_drop("DROP TABLE rust_types").await?;
    Ok(())
}

async fn big_result(db: &mut Conn) -> Outcome {
    let text = "SELECT seq, CONCAT('row ', seq, REPEAT('x', seq % 50)) FROM seq_1_to_200000";
    let check = |count: u64, (number, text): (u64, String)| {
        let fill = "x".repeat(usize::try_from(number % 50).unwrap());
        assert_eq!((number, text), (count + 1, format!("row {number}{fill}")));
        count + 1
    };
    assert_eq!(db.query_fold(text, 0, check).await?, BIG_ROWS);
    assert_eq!(db.exec_fold(text, (), 0, check).await?, BIG_ROWS);
    Ok(())
}

async fn transactions(db: &mut Conn) -> Outcome {
    db.query_drop("CREATE OR REPLACE TABLE rust_t (i INT PRIMARY KEY)")
        .await?;
    for commit in [false, true] {
        let mut transaction = db.start_transaction(TxOpts::default()).await?;
        transaction
            .exec_drop("INSERT INTO rust_t VALUES (?)", (1,))
            .await?;
        if commit {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        let count: Option<u8> = db.query_first("SELECT COUNT(*) FROM rust_t").await?;
        assert_eq!(count, Some(u8::from(commit)));
    }
    db.query_drop("DROP TABLE rust_t").await?;
    Ok(())
}

async fn several_statements(db: &mut Conn) -> Outcome {
    let mut result = db.query_iter("SELECT 1; DO 0; SELECT 3").await?;
    assert_eq!(result.collect::<u8>().await?, [1]);
    assert!(result.collect::<u8>().await?.is_empty());
    assert_eq!(result.collect::<u8>().await?, [3]);
    result.drop_result().await?;
    Ok(())
}

async fn naps() -> Outcome {
    let mut db = Conn::new(opts()).await?;
    db.query_drop("SET sql_mode='ANSI_QUOTES,STRICT_ALL_TABLES', time_zone='+03:00'")
        .await?;
    db.query_drop("SET NAMES utf8mb4 COLLATE utf8mb4_german2_ci")
        .await?;
    db.query_drop(format!("USE {}", env("SCHEMA_2"))).await?;
    let select = db.prep(format!("SELECT ?, {SETTINGS}")).await?;
    for kind in ["none", "suspend", "park", "kill"] {
        if kind != "none" {
            nap(kind);
        }
        let got: Option<(String, String, String, String, String, String)> =
            db.exec_first(&select, (kind,)).await?;
        let kept = [
            "ANSI_QUOTES,STRICT_ALL_TABLES",
            "+03:00",
            "utf8mb4",
            "utf8mb4_german2_ci",
        ];
        let [mode, zone, charset, collation] = kept.map(str::to_owned);
        assert_eq!(
            got,
            Some((
                kind.to_owned(),
                mode,
                zone,
                charset,
                collation,
                env("SCHEMA_2")
            ))
        );
    }
    db.disconnect().await?;
    Ok(())
}

async fn nap_in_transaction() -> Outcome {
    let mut db = Conn::new(opts()).await?;
    db.query_drop("CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB")
        .await?;
    db.query_drop("SET @v = 5").await?;
    let mut transaction = db.start_transaction(TxOpts::default()).await?;
    transaction.query_drop("INSERT INTO t VALUES (1)").await?;
    nap("suspend");
    let got: Option<(u8, u8)> = transaction
        .query_first("SELECT COUNT(*), @v FROM t")
        .await?;
    assert_eq!(got, Some((1, 5)));
    transaction.rollback().await?;
    assert_eq!(
        db.query_first::<u8, _>("SELECT COUNT(*) FROM t").await?,
        Some(0)
    );
    db.disconnect().await?;
    Ok(())
}

/// A connection returned to the pool is reset; its next user has none of the old state.
async fn pooled() -> Outcome {
    let pool = Pool::new(opts());
    let mut db = pool.get_conn().await?;
    db.query_drop("SET time_zone='+05:00', @v = 5").await?;
    drop(db);
    nap("park");
    let mut db = pool.get_conn().await?;
    let fresh = "SELECT @@time_zone = @@global.time_zone, @v IS NULL, DATABASE()";
    let got: Option<(u8, u8, String)> = db.query_first(fresh).await?;
    assert_eq!(got, Some((1, 1, env("SCHEMA"))));
    drop(db);
    pool.disconnect().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut db = Conn::new(opts()).await?;
    simple(&mut db).await?;
    prepared(&mut db).await?;
    big_result(&mut db).await?;
    transactions(&mut db).await?;
    several_statements(&mut db).await?;
    db.disconnect().await?;
    naps().await?;
    nap_in_transaction().await?;
    pooled().await
}
