//! A lost catalog, clients that do not read, and servers that belong to nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dormouse, Reply, process};
use dormouse_wire::command::Command;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

fn one() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

#[test]
fn a_database_survives_the_loss_of_the_catalog_awake_and_parked() {
    let (mut dormouse, who) = one();
    let blog = dormouse.create("blog", &["--idle-park", "77s"]);
    for who in [&who, &blog] {
        let mut client = dormouse.connect(who);
        client.query("CREATE SCHEMA s").ok();
        client.query("CREATE TABLE s.t SELECT 7 AS i").ok();
    }
    let _ = dormouse.json(&["park", "blog"]);
    let server = dormouse.server("shop");
    dormouse.stop();
    for entry in fs::read_dir(dormouse.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("catalog.sqlite") {
            fs::remove_file(path).unwrap();
        }
    }
    dormouse.up();
    assert_eq!(dormouse.server("shop"), server, "its server has run on");
    assert_eq!(dormouse.show("blog")["idle_park"], "77s");
    for who in [&who, &blog] {
        let mut client = dormouse.connect(who);
        assert_eq!(client.query("SELECT i FROM s.t").value(), "7");
    }
    let (created, said) = output_of(&mut dormouse.command(&["create", "shop"]));
    assert!(!created && said.contains("already"), "{said}");
}

#[test]
fn who_does_not_read_is_named_and_ended_by_force() {
    let (dormouse, who) = one();
    let mut other = dormouse.connect(&who);
    other.query("CREATE SCHEMA s").ok();
    let mut client = dormouse.connect(&who);
    // more than sockets hold
    client.command(
        Command::Query,
        b"SELECT REPEAT('x', 1000000) FROM s.seq_1_to_100",
    );
    let sending =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%s.seq_1_to_100'";
    process::until("it runs", || other.query(sending).value() == "1");
    let (parked, said) = output_of(&mut dormouse.command(&["park", "shop"]));
    let named = format!("session {} of 'admin' at 127.0.0.1:", client.id());
    assert!(!parked && said.contains(&named), "{said}");
    let _ = dormouse.json(&["park", "shop", "--force"]);
    assert_eq!(dormouse.state("shop"), "parked");
    process::until("its connection is closed", || {
        let mut room = [0; 65_536];
        !matches!(client.read(&mut room), Ok(1..))
    });
    assert_eq!(other.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
}

#[test]
fn warm_servers_end_with_dormouse_and_others_do_not() {
    let mut dormouse = Dormouse::start_with(&format!("{AWAKE}[warm_pool]\nsize = 2\n"));
    let _ = dormouse.create("shop", &[]);
    process::until("the pool is full", || dormouse.servers().len() == 3);
    let server = dormouse.server("shop");
    dormouse.stop();
    assert_eq!(dormouse.servers(), [server]);
    dormouse.up();
    assert_eq!(dormouse.server("shop"), server);
}

#[test]
fn a_disk_that_a_client_has_filled_leaves_a_way_back() {
    let config = format!("{AWAKE}[warm_pool]\nsize = 0\n[limits]\ndisk_reserve = \"0B\"\n");
    let Some((_disk, mut dormouse)) = Dormouse::prepare_on_small_disk(&config, 400) else {
        return;
    };
    dormouse.up();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE SCHEMA s").ok();
    client.query("CREATE TABLE s.t (b LONGBLOB)").ok();
    let insert = "INSERT INTO s.t VALUES (REPEAT('x', 2000000))";
    process::until("the disk is full", || match client.query(insert) {
        Reply::Err(error) => error.code == 1290,
        _ => false,
    });
    process::kill(dormouse.server("shop"));
    client.query("TRUNCATE s.t").ok();
    process::until("it may grow again", || {
        matches!(client.query(insert), Reply::Ok(_))
    });
}
