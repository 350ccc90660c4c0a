//! `dormouse user`: users of a database that are managed from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dormouse};

fn shop() -> (Dormouse, Created) {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    for sql in [
        "CREATE DATABASE my_app",
        "CREATE DATABASE myxapp",
        "CREATE TABLE my_app.t (i INT)",
        "CREATE TABLE myxapp.t (i INT)",
        "INSERT INTO my_app.t VALUES (1)",
    ] {
        owner.query(sql).ok();
    }
    (dormouse, who)
}

fn add(dormouse: &Dormouse, user: &str, arguments: &[&str]) -> Created {
    let added = dormouse.json(&[&["user", "add", "shop", user], arguments].concat());
    Created {
        user: added["login"].as_str().unwrap().to_owned(),
        password: added["password"].as_str().unwrap().to_owned(),
    }
}

fn refusal(dormouse: &Dormouse, arguments: &[&str]) -> String {
    let (done, said) = output_of(&mut dormouse.command(arguments));
    assert!(!done, "{arguments:?}: {said}");
    said
}

#[test]
fn a_user_has_the_rights_of_its_role_in_its_schemas_only() {
    let (dormouse, _) = shop();
    let reader = add(&dormouse, "reader", &["--schema", "my_app"]);
    let mut client = dormouse.connect(&reader);
    assert_eq!(client.query("SELECT i FROM my_app.t").value(), "1");
    for sql in [
        "INSERT INTO my_app.t VALUES (2)",
        "SELECT * FROM myxapp.t",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.user",
        "CREATE USER x",
        "GRANT SELECT ON my_app.* TO admin",
        "SET GLOBAL sql_mode = ''",
    ] {
        client.query(sql).err();
    }
    let writer = add(&dormouse, "writer", &["--role", "writer"]);
    let mut client = dormouse.connect(&writer);
    client.query("INSERT INTO myxapp.t VALUES (2)").ok();
    client.query("DROP TABLE myxapp.t").err();
    client
        .query("INSERT INTO mysql.db (Host, Db, User) VALUES ('%', 'x', 'y')")
        .err();
    client.query("SELECT * FROM mysql.global_priv").err();
    let owner = add(
        &dormouse,
        "boss",
        &["--role", "owner", "--schema", "my_app"],
    );
    let mut client = dormouse.connect(&owner);
    client.query("CREATE TABLE my_app.u (i INT)").ok();
    client.query("CREATE TABLE myxapp.u (i INT)").err();
    let second = add(&dormouse, "second", &["--role", "owner"]);
    let mut client = dormouse.connect(&second);
    client.query("CREATE DATABASE third").ok();
    client.query("SELECT COUNT(*) FROM mysql.user").value();
    client.query("SELECT * FROM mysql.global_priv").err();
}

#[test]
fn passwords_are_rotated_and_users_dropped_while_the_database_sleeps() {
    let (dormouse, who) = shop();
    let app = add(&dormouse, "app", &["--schema", "my_app"]);
    let _ = dormouse.json(&["park", "shop"]);
    let users = dormouse.json(&["user", "ls", "shop"]);
    let named: Vec<_> = { users.as_array().unwrap().iter() }
        .map(|u| u["user"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["admin", "app"]);
    assert_eq!(dormouse.state("shop"), "parked", "listing wakes nothing");
    let rotated = dormouse.json(&["user", "rotate", "shop", "app"]);
    assert_eq!(dormouse.state("shop"), "active");
    let now = Created {
        user: app.user.clone(),
        password: rotated["password"].as_str().unwrap().to_owned(),
    };
    assert_ne!(now.password, app.password);
    dormouse
        .connect(&now)
        .query("SELECT i FROM my_app.t")
        .value();
    let _ = dormouse.json(&["user", "drop", "shop", "app"]);
    let said = refusal(&dormouse, &["user", "rotate", "shop", "app"]);
    assert!(said.contains("there is no user 'app'@'%'"), "{said}");
    // the owner's own password
    let rotated = dormouse.json(&["user", "rotate", "shop", "admin"]);
    let owner = Created {
        user: who.user.clone(),
        password: rotated["password"].as_str().unwrap().to_owned(),
    };
    dormouse.connect(&owner).query("SELECT 1").value();
}

#[test]
fn limits_of_a_user_hold_behind_the_pool() {
    let (dormouse, _) = shop();
    let few = add(
        &dormouse,
        "few",
        &["--schema", "my_app", "--max-connections", "1"],
    );
    let first = dormouse.connect(&few);
    let mut second = dormouse_testkit::Client::tcp(dormouse.address());
    second.login(&few.user, &few.password, None).err();
    drop(first);
    let slow = add(
        &dormouse,
        "slow",
        &["--schema", "my_app", "--max-queries-per-hour", "3"],
    );
    let mut client = dormouse.connect(&slow);
    let refused = (0..20).any(|_| {
        matches!(
            client.query("SELECT i FROM my_app.t"),
            dormouse_testkit::Reply::Err(e) if e.code == 1226
        )
    });
    assert!(refused, "20 statements of 3");
}

#[test]
fn impossible_users_are_refused() {
    let (dormouse, _) = shop();
    for (arguments, why) in [
        (vec!["dormouse"], "belong to Dormouse"),
        (
            vec!["Dormouse", "--host", "localhost"],
            "belong to Dormouse",
        ),
        (vec!["mariadb.sys"], "belong to Dormouse"),
        (vec!["admin"], "already"),
        (vec!["PUBLIC"], "cannot name an account"),
        (vec!["current_user"], "cannot name an account"),
        (vec!["x\u{1f600}"], "basic plane"),
        (vec!["app", "--host", "web.example.com"], "do not look up"),
        (vec!["app", "--schema", "mysql"], "belongs to the server"),
        (vec!["app", "--schema", "sys"], "belongs to the server"),
        (vec!["app", "--schema", "a\u{1f600}"], "basic plane"),
    ] {
        let all = [&["user", "add", "shop"], arguments.as_slice()].concat();
        let said = refusal(&dormouse, &all);
        assert!(said.contains(why), "{all:?}: {said}");
    }
    let said = refusal(&dormouse, &["user", "drop", "shop", "admin"]);
    assert!(said.contains("cannot be dropped"), "{said}");
    let said = refusal(
        &dormouse,
        &["user", "drop", "shop", "", "--host", "localhost"],
    );
    assert!(said.contains("there is no user"), "{said}");
    let said = refusal(&dormouse, &["user", "ls", "nothing"]);
    assert!(said.contains("no database"), "{said}");
    // quotes and wildcards in names are no SQL
    let odd = add(&dormouse, "o'b\\r", &["--schema", "a`b%_"]);
    dormouse.connect(&odd).query("SELECT 1").value();
}
