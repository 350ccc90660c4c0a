//! Schemas and users that are made when a login names them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// A Dormouse whose database sleeps only on order.
fn shop(limits: &str) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[limits]\n{limits}\n"
    ));
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

/// Adds a template for users of these names; returns its password.
fn template(dormouse: &Dormouse, pattern: &str) -> String {
    let added = dormouse.json(&["user", "add", "shop", "template", "--on-demand", pattern]);
    added["password"].as_str().unwrap().to_owned()
}

fn login(dormouse: &Dormouse, user: &str, password: &str, schema: Option<&str>) -> (Client, Reply) {
    let mut client = Client::tcp(dormouse.address());
    let reply = client.login(&format!("shop.{user}"), password, schema);
    (client, reply)
}

fn enter(dormouse: &Dormouse, user: &str, password: &str) -> Client {
    let (client, reply) = login(dormouse, user, password, None);
    reply.ok();
    client
}

fn refused(dormouse: &Dormouse, user: &str, password: &str) -> (u16, String) {
    let error = login(dormouse, user, password, None).1.err();
    (error.code, error.message)
}

fn users(dormouse: &Dormouse) -> Vec<String> {
    let all = dormouse.json(&["user", "ls", "shop"]);
    { all.as_array().unwrap().iter() }
        .map(|user| user["user"].as_str().unwrap().to_owned())
        .collect()
}

/// How often the ledger has this text.
fn noted(dormouse: &Dormouse, what: &str) -> usize {
    let (done, said) = output_of(&mut dormouse.command(&["--json", "events", "shop"]));
    assert!(done, "{said}");
    said.matches(what).count()
}

fn has_schema(owner: &mut Client, schema: &str) -> bool {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE BINARY SCHEMA_NAME = '{schema}'"
    );
    owner.query(&sql).value() == "1"
}

#[test]
fn a_user_is_made_with_a_schema_of_its_own_and_nothing_else() {
    let (dormouse, who) = shop("");
    // off by default
    assert_eq!(refused(&dormouse, "app_one", &who.password).0, 1045);
    let password = template(&dormouse, "app_%");
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE other").ok();
    owner.query("CREATE TABLE other.t (i INT)").ok();
    let began = Instant::now();
    let mut one = enter(&dormouse, "app_one", &password);
    println!("awake, the login that makes a user: {:?}", began.elapsed());
    let began = Instant::now();
    let _again = enter(&dormouse, "app_one", &password);
    println!("awake, a login: {:?}", began.elapsed());
    one.query("CREATE TABLE app_one.t (i INT)").ok();
    one.query("INSERT INTO app_one.t VALUES (7)").ok();
    one.query("CREATE VIEW app_one.v AS SELECT * FROM app_one.t")
        .ok();
    let mut two = enter(&dormouse, "app_two", &password);
    for sql in [
        "SELECT * FROM app_one.t",
        "SELECT * FROM other.t",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.user",
        "CREATE DATABASE app_three",
        "CREATE TABLE appxtwo.t (i INT)",
        "CREATE USER x",
        "GRANT SELECT ON app_two.* TO app_one",
        "SET GLOBAL sql_mode = ''",
        "DROP DATABASE other",
    ] {
        two.query(sql).err();
    }
    assert_eq!(two.query("SELECT CURRENT_USER()").value(), "app_two@%");
    // the template has no rights, and the password of a user is its own from now on
    let mut of_template = enter(&dormouse, "template", &password);
    of_template.query("SELECT * FROM app_one.t").err();
    one.query("SET PASSWORD = PASSWORD('mine')").ok();
    assert_eq!(refused(&dormouse, "app_one", &password).0, 1045);
    let mut one = enter(&dormouse, "app_one", "mine");
    assert_eq!(one.query("SELECT i FROM app_one.t").value(), "7");
    // other names and other passwords make nobody
    for (user, guess) in [("bob", &*password), ("app_x", "wrong"), ("app_x", "")] {
        assert_eq!(refused(&dormouse, user, guess).0, 1045, "{user}");
    }
    assert_eq!(
        users(&dormouse),
        ["admin", "app_one", "app_two", "template"]
    );
    assert!(!has_schema(&mut owner, "app_x"));
    assert_eq!(noted(&dormouse, "were made on demand"), 2);
    let shown = dormouse.show("shop");
    assert_eq!(shown["on_demand"]["users"][0]["pattern"], "app_%");
    // a dropped template makes nobody, nor does an account of its name
    let _ = dormouse.json(&["user", "drop", "shop", "template"]);
    assert_eq!(refused(&dormouse, "app_x", &password).0, 1045);
    owner
        .query(&format!("CREATE USER template IDENTIFIED BY '{password}'"))
        .ok();
    assert_eq!(refused(&dormouse, "app_x", &password).0, 1045);
    assert_eq!(
        dormouse.show("shop")["on_demand"]["users"][0]["pattern"],
        serde_json::Value::Null
    );
}

#[test]
fn a_guess_wakes_nothing_and_the_right_password_wakes_a_sleeping_database() {
    let (dormouse, who) = shop("");
    dormouse
        .connect(&who)
        .query("CREATE DATABASE app_taken")
        .ok();
    let password = template(&dormouse, "app_%");
    let _ = dormouse.json(&["park", "shop"]);
    for (user, guess, code) in [
        ("app_one", "wrong", 1045),
        ("app_one", "", 1045),
        ("bob", &*password, 1045),
        ("mysql", &*password, 1045),
        ("app_taken", &*password, 1396),
    ] {
        assert_eq!(refused(&dormouse, user, guess).0, code, "{user}");
        assert_eq!(dormouse.state("shop"), "parked", "{user} {guess}");
    }
    let began = Instant::now();
    let mut one = enter(&dormouse, "app_one", &password);
    println!("parked, the login that makes a user: {:?}", began.elapsed());
    one.query("CREATE TABLE app_one.t (i INT)").ok();
    let _ = dormouse.json(&["suspend", "shop"]);
    enter(&dormouse, "app_two", &password)
        .query("CREATE TABLE app_two.t (i INT)")
        .ok();
    // known users wake nothing
    let _ = dormouse.json(&["park", "shop"]);
    let _one = enter(&dormouse, "app_one", &password);
    assert_eq!(dormouse.state("shop"), "parked");
}

/// The data directory of the only database's server.
fn files(dir: &Path) -> Option<PathBuf> {
    if dir.join("mysql").join("global_priv.frm").exists() && dir.join("ibdata1").exists() {
        return Some(dir.to_owned());
    }
    let entries = std::fs::read_dir(dir).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.ends_with("template") && !path.ends_with("templates"))
        .find_map(|path| files(&path))
}

#[test]
fn a_user_without_its_schema_gets_it_at_the_next_login() {
    let mut dormouse = Dormouse::prepare(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    );
    dormouse.up();
    let who = dormouse.create("shop", &[]);
    let password = template(&dormouse, "app_%");
    // the server cannot make the schema's directory, so the making ends after the account
    let in_the_way = files(&dormouse.data_dir().join("instances"))
        .unwrap()
        .join("app_one");
    std::os::unix::fs::symlink("/nonexistent", &in_the_way).unwrap();
    let (_, said) = refused(&dormouse, "app_one", &password);
    assert!(users(&dormouse).contains(&"app_one".to_owned()), "{said}");
    dormouse.kill();
    std::fs::remove_file(&in_the_way).unwrap();
    dormouse.up();
    assert_eq!(refused(&dormouse, "app_one", "wrong").0, 1045);
    let mut one = enter(&dormouse, "app_one", &password);
    one.query("CREATE TABLE app_one.t (i INT)").ok();
    let mut owner = dormouse.connect(&who);
    assert!(has_schema(&mut owner, "app_one"));
    assert_eq!(noted(&dormouse, "was completed"), 1);
    // it is complete: a later login does not make the schema again
    owner.query("DROP DATABASE app_one").ok();
    let mut one = enter(&dormouse, "app_one", &password);
    one.query("SELECT * FROM app_one.t").err();
    assert!(!has_schema(&mut owner, "app_one"));
    // the template is still known
    enter(&dormouse, "app_two", &password);
}

#[test]
fn no_login_takes_a_reserved_name_a_schema_or_a_user_that_exists() {
    let (dormouse, who) = shop("failed_logins_per_minute = 1000000\n");
    let password = template(&dormouse, "%");
    let mut owner = dormouse.connect(&who);
    for sql in [
        "CREATE DATABASE secrets",
        "CREATE TABLE secrets.t (i INT)",
        "CREATE USER bob@'10.0.0.%' IDENTIFIED BY 'bobs'",
        "CREATE ROLE staff",
    ] {
        owner.query(sql).ok();
    }
    let before = users(&dormouse);
    let long = "x".repeat(65);
    for user in [
        "mysql",
        "MySQL",
        "sys",
        "information_schema",
        "performance_schema",
        "dormouse",
        "mariadb.sys",
        "root",
        "PUBLIC",
        "a'b",
        "a\"b",
        "a`b",
        "a\\",
        "a b",
        "a%",
        "x'@'%",
        "'; DROP USER admin; --",
        "ä",
        "",
        &long,
    ] {
        assert_eq!(refused(&dormouse, user, &password).0, 1045, "{user:?}");
    }
    let (code, said) = refused(&dormouse, "secrets", &password);
    assert!(code == 1396 && said.contains("exists already"), "{said}");
    let (code, said) = refused(&dormouse, "bob", &password);
    assert!(
        code == 1396 && said.contains("another user or role"),
        "{said}"
    );
    let (code, said) = refused(&dormouse, "staff", &password);
    assert!(
        code == 1396 && said.contains("another user or role"),
        "{said}"
    );
    assert_eq!(refused(&dormouse, "admin", &password).0, 1045);
    owner.query("ALTER USER template ACCOUNT LOCK").ok();
    assert_eq!(refused(&dormouse, "late", &password).0, 4151);
    assert_eq!(users(&dormouse), before);
    owner.query("ALTER USER template ACCOUNT UNLOCK").ok();
    enter(&dormouse, "late", &password)
        .query("SELECT * FROM secrets.t")
        .err();
    for (arguments, why) in [
        (vec!["--on-demand", "a'b"], "pattern of names"),
        (vec!["--on-demand", "off"], "pattern of names"),
        (
            vec!["--on-demand", "x%", "--schema", "s"],
            "cannot be used with",
        ),
        (
            vec!["--on-demand", "x%", "--role", "owner"],
            "cannot be used with",
        ),
    ] {
        let all = [&["user", "add", "shop", "t2"], arguments.as_slice()].concat();
        let (done, said) = output_of(&mut dormouse.command(&all));
        assert!(!done && said.contains(why), "{all:?}: {said}");
    }
}

#[test]
fn logins_at_once_make_one_user() {
    let (dormouse, who) = shop("");
    let password = template(&dormouse, "app_%");
    let _ = dormouse.json(&["park", "shop"]);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (dormouse, password) = (&dormouse, &password);
            scope.spawn(move || {
                let mut client = enter(dormouse, "app_one", password);
                let sql = format!("CREATE TABLE app_one.t{n} (i INT)");
                client.query(&sql).ok();
            });
        }
    });
    assert!(has_schema(&mut dormouse.connect(&who), "app_one"));
    assert_eq!(noted(&dormouse, "were made on demand"), 1);
}

#[test]
fn limits_on_what_logins_make_are_named() {
    let (dormouse, _) = shop("on_demand_per_minute = 2\n");
    let password = template(&dormouse, "app_%");
    enter(&dormouse, "app_one", &password);
    enter(&dormouse, "app_two", &password);
    let (code, said) = refused(&dormouse, "app_three", &password);
    assert!(
        code == 1226 && said.contains("on_demand_per_minute = 2"),
        "{said}"
    );
    enter(&dormouse, "app_one", &password);
    drop(dormouse);
    let (dormouse, who) = shop("on_demand_in_all = 3\n");
    let password = template(&dormouse, "app_%");
    let _ = dormouse.json(&["set", "shop", "--on-demand-schemas", "s%"]);
    enter(&dormouse, "app_one", &password);
    let (code, said) = refused(&dormouse, "app_two", &password);
    assert!(
        code == 1396 && said.contains("on_demand_in_all = 3"),
        "{said}"
    );
    let mut owner = dormouse.connect(&who);
    owner.query("DROP USER app_one").ok();
    enter(&dormouse, "app_two", &password);
    login(&dormouse, "admin", &who.password, Some("s3")).1.ok();
    let error = login(&dormouse, "admin", &who.password, Some("s4")).1.err();
    assert!(error.message.contains("on_demand_in_all = 3"), "{error:?}");
    assert!(!has_schema(&mut owner, "s4"));
}

#[test]
fn a_login_makes_the_schema_that_it_names_if_its_account_may() {
    let (dormouse, who) = shop("");
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE USER reader IDENTIFIED BY 'r'").ok();
    owner.query("GRANT SELECT ON *.* TO reader").ok();
    let named = |user: &str, password: &str, schema: &str| {
        let (mut client, reply) = login(&dormouse, user, password, Some(schema));
        match reply {
            Reply::Err(error) => Err(error.code),
            _ => Ok(client.query("SELECT DATABASE()").value()),
        }
    };
    let of_owner = |schema: &str| named("admin", &who.password, schema);
    // off by default
    assert_eq!(of_owner("shop_one"), Err(1049));
    let _ = dormouse.json(&["set", "shop", "--on-demand-schemas", "shop_%"]);
    let began = Instant::now();
    assert_eq!(of_owner("shop_one"), Ok("shop_one".to_owned()));
    println!(
        "awake, the login that makes a schema: {:?}",
        began.elapsed()
    );
    assert_eq!(of_owner("shop_one"), Ok("shop_one".to_owned()));
    assert_eq!(noted(&dormouse, "schema shop_one was made"), 1);
    for schema in ["other", "mysql_x", "shop_`x", "shop_'", "shop_ä", "shop_ x"] {
        assert_eq!(of_owner(schema), Err(1049), "{schema}");
    }
    // only who may create it
    assert!(named("reader", "r", "shop_two").is_err());
    assert!(!has_schema(&mut owner, "shop_two"));
    // asleep
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(of_owner("other"), Err(1049));
    assert!(named("admin", "wrong", "shop_three").is_err());
    assert_eq!(dormouse.state("shop"), "parked");
    let began = Instant::now();
    assert_eq!(of_owner("shop_three"), Ok("shop_three".to_owned()));
    println!(
        "parked, the login that makes a schema: {:?}",
        began.elapsed()
    );
    let _ = dormouse.json(&["suspend", "shop"]);
    assert!(named("reader", "r", "shop_two").is_err());
    assert!(!has_schema(&mut owner, "shop_two"));
    // at once
    let _ = dormouse.json(&["park", "shop"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(of_owner("shop_four"), Ok("shop_four".to_owned())));
        }
    });
    assert_eq!(noted(&dormouse, "schema shop_four was made"), 1);
    // the policy ends
    let _ = dormouse.json(&["set", "shop", "--on-demand-schemas", "off"]);
    assert_eq!(of_owner("shop_five"), Err(1049));
    for pattern in ["a'b", "", "a b"] {
        let all = ["set", "shop", "--on-demand-schemas", pattern];
        let (done, said) = output_of(&mut dormouse.command(&all));
        assert!(
            !done && said.contains("pattern of names"),
            "{pattern}: {said}"
        );
    }
}
