//! Every kind of account logs in through Dormouse as on its server, awake and asleep; logins that the
//! server would refuse are refused. On MariaDB 10.11, and on 11.8 if available.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::PathBuf;

use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_wire::caps::Capabilities;

/// A Dormouse whose databases sleep only on order, on one version of the server.
struct World {
    dormouse: Dormouse,
    owner: Created,
    has_ed25519: bool,
    has_parsec: bool,
}

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
    Unix,
}

impl World {
    /// Runs a test on each version of the server.
    fn each(test: fn(&World)) {
        test(&Self::on(None));
        match std::env::var_os("DORMOUSE_TEST_MARIADBD_118") {
            Some(server)
                if std::env::var_os("DORMOUSE_TEST_MARIADBD").as_ref() != Some(&server) =>
            {
                test(&Self::on(Some(server.into())));
            }
            Some(_) => {}
            None => println!("skipped: no MariaDB 11.8"),
        }
    }

    fn on(server: Option<PathBuf>) -> Self {
        let config = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
                      [limits]\nfailed_logins_per_minute = 1000000\n";
        let dormouse = match server {
            None => Dormouse::start_with(config),
            Some(path) => {
                let config = format!("engine.mariadbd = '{}'\n{config}", path.display());
                let program = dormouse_testkit::program();
                let mut dormouse = Dormouse::prepare_program(program, &config, "debug");
                dormouse.up();
                dormouse
            }
        };
        let owner = dormouse.create("shop", &[]);
        let mut admin = dormouse.connect(&owner);
        let mut has = |plugin| {
            let sql = "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = ";
            admin.query(&format!("{sql}'{plugin}'")).value() == "1"
        };
        let (has_ed25519, has_parsec) = (has("ed25519"), has("parsec"));
        if !has_ed25519 {
            println!("skipped: this server has no auth_ed25519");
        }
        Self {
            dormouse,
            owner,
            has_ed25519,
            has_parsec,
        }
    }

    /// Runs statements as the owner.
    fn run(&self, statements: &[&str]) {
        let mut admin = self.dormouse.connect(&self.owner);
        for statement in statements {
            admin.query(statement).ok();
        }
    }

    fn client(&self, way: Way) -> Client {
        match way {
            Way::Plain => Client::tcp(self.dormouse.address()),
            Way::Tls => Client::tls(self.dormouse.address()),
            Way::Unix => Client::unix(self.dormouse.socket()),
        }
    }

    fn login(&self, way: Way, user: &str, password: &str) -> (Client, Reply) {
        let mut client = self.client(way);
        let reply = client.login(&format!("shop.{user}"), password, None);
        (client, reply)
    }

    /// As [`login`](Self::login), with a client that begins with `caching_sha2_password`, as MySQL's do.
    fn mysql_login(&self, way: Way, user: &str, password: &str) -> (Client, Reply) {
        let mut client = self.client(way);
        let reply = client.login_mysql(&format!("shop.{user}"), password);
        (client, reply)
    }

    fn park(&self) {
        let _ = self.dormouse.json(&["park", "shop"]);
    }

    fn is_parked(&self) -> bool {
        self.dormouse.state("shop") == "parked"
    }

    /// Logs in while the database sleeps, which does not wake it, and then runs a statement, which does.
    fn works_asleep(&self, way: Way, user: &str, password: &str) {
        self.park();
        let what = format!("{user} by {way:?}");
        let (_, refused) = self.login(way, user, "not this one");
        assert!(matches!(refused, Reply::Err(_)), "{what}: {refused:?}");
        let (mut client, reply) = self.login(way, user, password);
        assert!(matches!(reply, Reply::Ok(_)), "{what}: {reply:?}");
        assert!(self.is_parked(), "{what} woke the database");
        let me = client.query("SELECT CURRENT_USER()").value();
        assert_eq!(me, format!("{user}@%"));
    }

    fn works(&self, way: Way, user: &str, password: &str) {
        let (mut client, reply) = self.login(way, user, password);
        assert!(
            matches!(reply, Reply::Ok(_)),
            "{user} by {way:?}: {reply:?}"
        );
        let me = client.query("SELECT CURRENT_USER()").value();
        assert_eq!(me, format!("{user}@%"));
    }

    fn refusal(&self, way: Way, user: &str, password: &str) -> (u16, String) {
        let error = self.login(way, user, password).1.err();
        (error.code, error.message)
    }
}

#[test]
fn each_kind_of_account_logs_in_awake_and_asleep() {
    World::each(|world| {
        let mut accounts = vec![
            ("native", "secret", "IDENTIFIED BY 'secret'"),
            ("empty", "", ""),
        ];
        if world.has_ed25519 {
            accounts.extend([
                (
                    "ed",
                    "secret",
                    "IDENTIFIED VIA ed25519 USING PASSWORD('secret')",
                ),
                (
                    "either",
                    "secret",
                    "IDENTIFIED VIA ed25519 USING PASSWORD('secret') \
                     OR mysql_native_password USING PASSWORD('other')",
                ),
                (
                    "either2",
                    "other",
                    "IDENTIFIED VIA ed25519 USING PASSWORD('secret') \
                     OR mysql_native_password USING PASSWORD('other')",
                ),
            ]);
        }
        if world.has_parsec {
            accounts.extend([
                (
                    "ps",
                    "secret",
                    "IDENTIFIED VIA parsec USING PASSWORD('secret')",
                ),
                (
                    "many",
                    "third",
                    "IDENTIFIED VIA unix_socket OR parsec USING PASSWORD('first') OR ed25519 \
                     USING PASSWORD('second') OR mysql_native_password USING PASSWORD('third')",
                ),
            ]);
        }
        for (user, password, how) in accounts {
            world.run(&[&format!("CREATE USER {user}@'%' {how}")]);
            for way in [Way::Plain, Way::Tls, Way::Unix] {
                world.works(way, user, password);
                let (code, message) = world.refusal(way, user, "wrong");
                assert_eq!(code, 1045, "{user}: {message}");
                assert!(message.ends_with("(using password: YES)"), "{message}");
            }
            for way in [Way::Tls, Way::Unix] {
                let (mut client, reply) = world.mysql_login(way, user, password);
                assert!(matches!(reply, Reply::Ok(_)), "{user} {way:?}: {reply:?}");
                assert_eq!(
                    client.query("SELECT CURRENT_USER()").value(),
                    format!("{user}@%")
                );
                let error = world.mysql_login(way, user, "wrong").1.err();
                assert_eq!(error.code, 1045, "{user}: {}", error.message);
            }
            world.works_asleep(Way::Plain, user, password);
            world.park();
            assert!(matches!(
                world.mysql_login(Way::Tls, user, password).1,
                Reply::Ok(_)
            ));
            assert!(world.is_parked(), "{user} woke the database");
        }
    });
}

#[test]
fn the_credentials_of_the_account_stay_unchanged() {
    World::each(|world| {
        if !world.has_ed25519 {
            return;
        }
        world.run(&["CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')"]);
        let shown = || {
            let mut admin = world.dormouse.connect(&world.owner);
            admin.query("SHOW CREATE USER ed@'%'").value()
        };
        let before = shown();
        world.works(Way::Plain, "ed", "secret");
        let after = shown();
        assert_eq!(after, before);
        let stored =
            "SELECT JSON_LENGTH(Priv, '$.auth_or') FROM mysql.global_priv WHERE User = 'ed'";
        let mut server = world.dormouse.platform("shop");
        assert_eq!(server.query(stored).value(), "2", "with Dormouse's own");
    });
}

#[test]
fn a_mysql_client_without_tls_gets_an_error_that_says_what_to_do() {
    World::each(|world| {
        if !world.has_ed25519 {
            return;
        }
        world.run(&["CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')"]);
        let error = world.mysql_login(Way::Plain, "ed", "secret").1.err();
        assert_eq!(error.code, 1251);
        assert!(
            error.message.contains("connect with TLS"),
            "{}",
            error.message
        );
    });
}

#[test]
fn a_changed_password_is_in_force_at_once() {
    World::each(|world| {
        world.run(&["CREATE USER app@'%' IDENTIFIED BY 'one'"]);
        world.works(Way::Plain, "app", "one");
        let mut last = "one";
        for (change, next) in [
            ("SET PASSWORD FOR app@'%' = PASSWORD('two')", "two"),
            // drops every other credential of the account, including Dormouse's
            ("ALTER USER app@'%' IDENTIFIED BY 'three'", "three"),
            ("SET PASSWORD FOR app@'%' = PASSWORD('four')", "four"),
        ] {
            world.run(&[change]);
            assert_eq!(
                world.refusal(Way::Plain, "app", last).0,
                1045,
                "after {change}"
            );
            world.works(Way::Plain, "app", next);
            world.park();
            assert_eq!(
                world.refusal(Way::Plain, "app", last).0,
                1045,
                "after {change}"
            );
            world.works_asleep(Way::Plain, "app", next);
            last = next;
        }
        if world.has_ed25519 {
            world.run(&["ALTER USER app@'%' IDENTIFIED VIA ed25519 USING PASSWORD('five')"]);
            assert_eq!(world.refusal(Way::Plain, "app", "four").0, 1045);
            world.works(Way::Plain, "app", "five");
            // by the user
            let (mut app, _) = world.login(Way::Plain, "app", "five");
            app.query("SET PASSWORD = PASSWORD('six')").ok();
            assert_eq!(world.refusal(Way::Plain, "app", "five").0, 1045);
            world.works_asleep(Way::Plain, "app", "six");
        }
    });
}

#[test]
fn a_missing_credential_of_dormouse_is_added_by_the_next_login() {
    World::each(|world| {
        world.run(&["CREATE USER app@'%' IDENTIFIED BY 'x'"]);
        world.works(Way::Plain, "app", "x");
        world.run(&["ALTER USER app@'%' IDENTIFIED BY 'x'"]);
        world.works(Way::Plain, "app", "x");
        let mut server = world.dormouse.platform("shop");
        for spoil in [
            "UPDATE mysql.global_priv SET Priv = JSON_REMOVE(Priv, '$.auth_or') WHERE User = 'app'",
            "FLUSH PRIVILEGES",
        ] {
            server.query(spoil).ok();
        }
        world.works(Way::Plain, "app", "x");
        // also for an open session after a park
        let (mut open, _) = world.login(Way::Plain, "app", "x");
        assert_eq!(open.query("SELECT 1").value(), "1");
        world.run(&["ALTER USER app@'%' IDENTIFIED BY 'x'"]);
        world.park();
        assert_eq!(open.query("SELECT 2").value(), "2");
    });
}

#[test]
fn a_locked_account_is_refused_after_a_correct_password() {
    World::each(|world| {
        world.run(&["CREATE USER app@'%' IDENTIFIED BY 'x' ACCOUNT LOCK"]);
        let locked = (4151, "Access denied, this account is locked".to_owned());
        assert_eq!(world.refusal(Way::Plain, "app", "x"), locked);
        assert_eq!(world.refusal(Way::Plain, "app", "y").0, 1045);
        world.park();
        assert_eq!(world.refusal(Way::Plain, "app", "x"), locked);
        assert_eq!(world.refusal(Way::Plain, "app", "y").0, 1045);
        assert!(world.is_parked());
        world.run(&["ALTER USER app@'%' ACCOUNT UNLOCK"]);
        world.works(Way::Plain, "app", "x");
    });
}

#[test]
fn with_an_expired_password_a_client_may_only_change_it() {
    World::each(|world| {
        world.run(&["CREATE USER app@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE"]);
        for asleep in [false, true] {
            if asleep {
                world.run(&["ALTER USER app@'%' PASSWORD EXPIRE"]);
                world.park();
            }
            let password = if asleep { "y" } else { "x" };
            let (mut app, reply) = world.login(Way::Plain, "app", password);
            assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
            assert_eq!(app.query("SELECT 1").err().code, 1820);
            app.query("SET PASSWORD = PASSWORD('y')").ok();
            assert_eq!(app.query("SELECT 1").value(), "1");
            world.works(Way::Plain, "app", "y");
        }
    });
}

#[test]
fn clients_that_cannot_change_an_expired_password_are_refused_if_so_configured() {
    World::each(|world| {
        world.run(&[
            "CREATE USER app@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE",
            "SET GLOBAL disconnect_on_expired_password = ON",
        ]);
        for asleep in [false, true] {
            if asleep {
                world.park();
            }
            assert_eq!(
                world.refusal(Way::Plain, "app", "x").0,
                1862,
                "asleep: {asleep}"
            );
            assert_eq!(
                world.refusal(Way::Plain, "app", "y").0,
                1045,
                "asleep: {asleep}"
            );
            let mut able = world.client(Way::Plain);
            able.capabilities |= Capabilities::EXPIRED_PASSWORDS;
            able.login("shop.app", "x", None).ok();
            if asleep {
                assert!(world.is_parked());
            }
        }
    });
}

#[test]
fn a_socket_account_accepts_its_operating_system_user_only() {
    World::each(|world| {
        let id = std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap();
        let me = String::from_utf8(id.stdout).unwrap().trim().to_owned();
        world.run(&[
            &format!("CREATE USER `{me}`@'%' IDENTIFIED VIA unix_socket"),
            &format!("CREATE USER also@'%' IDENTIFIED VIA unix_socket AS '{me}'"),
            "CREATE USER nobody@'%' IDENTIFIED VIA unix_socket",
        ]);
        let mut users = vec![&*me];
        // 10.11 accepts AS and ignores it
        if world.has_parsec {
            users.push("also");
        } else {
            assert_eq!(world.refusal(Way::Unix, "also", "").0, 1698);
        }
        for user in users {
            let (mut client, reply) = world.login(Way::Unix, user, "");
            assert!(matches!(reply, Reply::Ok(_)), "{user}: {reply:?}");
            assert_eq!(
                client.query("SELECT CURRENT_USER()").value(),
                format!("{user}@%")
            );
            for way in [Way::Plain, Way::Tls] {
                assert_eq!(world.refusal(way, user, "").0, 1698, "{user} {way:?}");
            }
        }
        assert_eq!(world.refusal(Way::Unix, "nobody", "").0, 1698);
        world.park();
        world.login(Way::Unix, &me, "").1.ok();
        assert_eq!(world.refusal(Way::Unix, "nobody", "").0, 1698);
        assert!(world.is_parked());
    });
}

#[test]
fn the_required_transport_of_an_account_is_enforced() {
    World::each(|world| {
        world.run(&[
            "CREATE USER secret@'%' IDENTIFIED BY 'x' REQUIRE SSL",
            "CREATE USER x509@'%' IDENTIFIED BY 'x' REQUIRE X509",
            "CREATE USER cipher@'%' IDENTIFIED BY 'x' REQUIRE CIPHER 'AES128-SHA'",
        ]);
        world.works(Way::Tls, "secret", "x");
        for asleep in [false, true] {
            if asleep {
                world.park();
            }
            for way in [Way::Plain, Way::Unix] {
                let (code, message) = world.refusal(way, "secret", "x");
                assert_eq!(code, 1045);
                assert!(
                    message.starts_with("Access denied for user 'secret'@"),
                    "{message}"
                );
            }
            for user in ["x509", "cipher"] {
                // with a certificate: tests/tls.rs
                let (code, message) = world.refusal(Way::Tls, user, "x");
                assert_eq!(code, 1045);
                let denied = format!("Access denied for user '{user}'@");
                assert!(message.starts_with(&denied), "{message}");
            }
        }
        world.works_asleep(Way::Tls, "secret", "x");
    });
}

#[test]
fn a_client_never_gets_the_privileges_of_another_account_of_its_user() {
    World::each(|world| {
        world.run(&[
            "CREATE SCHEMA secret",
            "CREATE USER bo@'%' IDENTIFIED BY 'x'",
            "CREATE USER bo@localhost IDENTIFIED BY 'y'",
            "GRANT ALL ON secret.* TO bo@localhost",
        ]);
        // over TCP, the server itself chooses the account that the client has proved
        let by_tcp = std::env::var("DORMOUSE_TEST_TRANSPORT").is_ok_and(|how| how == "tcp");
        for asleep in [false, true] {
            if asleep {
                world.park();
            }
            if by_tcp {
                let (mut bo, _) = world.login(Way::Plain, "bo", "x");
                assert_eq!(bo.query("SELECT CURRENT_USER()").value(), "bo@%");
                assert_eq!(bo.query("USE secret").err().code, 1044);
            } else {
                let (code, message) = world.refusal(Way::Plain, "bo", "x");
                assert_eq!(code, 1045);
                for part in [
                    "'bo'@'%'",
                    "'bo'@'localhost'",
                    "RENAME USER",
                    "engine.transport",
                ] {
                    assert!(message.contains(part), "{message}");
                }
            }
            // not even the password of the other account helps from here
            assert_eq!(world.refusal(Way::Plain, "bo", "y").0, 1045);
            assert_eq!(world.refusal(Way::Unix, "bo", "x").0, 1045);
            let (mut bo, _) = world.login(Way::Unix, "bo", "y");
            assert_eq!(bo.query("SELECT CURRENT_USER()").value(), "bo@localhost");
        }
        // an anonymous account of localhost would stand in the way of everybody in the same manner
        let mut admin = world.dormouse.connect(&world.owner);
        admin.query("DROP USER bo@localhost").ok();
        let anonymous = "CREATE USER ''@localhost IDENTIFIED BY 'z'";
        assert_eq!(admin.query(anonymous).err().code, 1227);
        let mut platform = world.dormouse.platform("shop");
        platform.query(anonymous).ok();
        if !by_tcp {
            let (_, message) = world.refusal(Way::Plain, "bo", "x");
            assert!(message.contains("''@'localhost'"), "{message}");
        }
        // the owner cannot log in either
        let drop = ["user", "drop", "shop", "", "--host", "localhost"];
        let _ = world.dormouse.json(&drop);
        world.works(Way::Plain, "bo", "x");
    });
}

#[test]
fn of_several_host_patterns_the_one_of_the_server_is_proved() {
    World::each(|world| {
        let hosts = [
            "127.0.0._",
            "127.0.%",
            "%.0.0.1",
            "127.%",
            "127.0.0.0/255.0.0.0",
            "%",
        ];
        for (n, host) in hosts.iter().enumerate() {
            world.run(&[&format!("CREATE USER bo@'{host}' IDENTIFIED BY 'x{n}'")]);
        }
        // the proxy and the server agree on each choice; otherwise the statement would be refused
        for left in (1..=hosts.len()).rev() {
            let logins = (0..hosts.len()).filter_map(|n| {
                let (mut bo, reply) = world.login(Way::Plain, "bo", &format!("x{n}"));
                let found = matches!(reply, Reply::Ok(_));
                found.then(|| bo.query("SELECT CURRENT_USER()").value())
            });
            let logins: Vec<_> = logins.collect();
            assert_eq!(logins.len(), 1, "{left}: {logins:?}");
            let host = logins[0].strip_prefix("bo@").unwrap().to_owned();
            world.run(&[&format!("DROP USER bo@'{host}'")]);
        }
    });
}
