//! Accounts with `REQUIRE X509`, `SUBJECT`, `ISSUER` or `CIPHER`: who may log in, asleep and awake, on MariaDB
//! 10.11 and on 11.8 if available. The query needs the server, which checks the certificate that Dormouse shows.

use std::fs;
use std::path::{Path, PathBuf};

use dormouse_testkit::{Client, Created, Dormouse, Reply, process, tls};
use dormouse_wire::command::Command;
use dormouse_wire::login::ChangeUser;
use dormouse_wire::{ErrPacket, OkPacket};

use super::{STAYS, certificates, mariadb, signed};

/// The directories of two authorities. That of `ours` has signed `/CN=bo`, `/CN=eve`, and an odd name.
struct World {
    dormouse: Dormouse,
    owner: Created,
    ours: tempfile::TempDir,
    strangers: tempfile::TempDir,
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    Nothing,
    Bo,
    Eve,
    Odd,
    /// The names of bo's certificate, signed by another authority with the same name.
    Stranger,
}

const ALL: [Shown; 6] = [
    Shown::Plain,
    Shown::Nothing,
    Shown::Bo,
    Shown::Eve,
    Shown::Odd,
    Shown::Stranger,
];

const ODD: &str = r"/DC=org/DC=example/OU=a\/b/OU=Zoë+UID=7/CN=x'y";

/// Accounts, what they require, and who may log in.
const ACCOUNTS: [(&str, &str, &[Shown]); 9] = [
    ("any", "X509", &[Shown::Bo, Shown::Eve, Shown::Odd]),
    ("subject", "SUBJECT '/CN=bo'", &[Shown::Bo]),
    (
        "issuer",
        "ISSUER '/CN=bo authority'",
        &[Shown::Bo, Shown::Eve, Shown::Odd],
    ),
    (
        "both",
        "ISSUER '/CN=bo authority' AND SUBJECT '/CN=eve'",
        &[Shown::Eve],
    ),
    ("nobody", "ISSUER '/CN=bo' AND SUBJECT '/CN=bo'", &[]),
    (
        "odd",
        r"SUBJECT '/DC=org/DC=example/OU=a\\/b/OU=Zo\\xC3\\xAB+UID=7/CN=x\'y'",
        &[Shown::Odd],
    ),
    (
        "cipher",
        "CIPHER 'TLS_AES_256_GCM_SHA384'",
        &[Shown::Nothing, Shown::Bo, Shown::Eve, Shown::Odd],
    ),
    ("other_cipher", "CIPHER 'TLS_AES_128_GCM_SHA256'", &[]),
    (
        "cipher_and_subject",
        "CIPHER 'TLS_AES_256_GCM_SHA384' AND SUBJECT '/CN=bo'",
        &[Shown::Bo],
    ),
];

impl World {
    fn each(test: fn(&Self)) {
        test(&Self::on(None));
        match std::env::var_os("DORMOUSE_TEST_MARIADBD_118") {
            Some(server) => test(&Self::on(Some(server.into()))),
            None => println!("skipped: no MariaDB 11.8"),
        }
    }

    fn on(server: Option<PathBuf>) -> Self {
        let [ours, strangers] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        certificates(ours.path(), "bo");
        signed(ours.path(), "eve-", "/CN=eve");
        signed(ours.path(), "odd-", ODD);
        certificates(strangers.path(), "bo");
        let ca = ours.path().join("ca.crt");
        let config = format!(
            "{STAYS}[limits]\nfailed_logins_per_minute = 1000000\n[tls]\nclient_ca = '{}'\n",
            ca.display()
        );
        let mut dormouse = match server {
            None => Dormouse::prepare(&config),
            Some(path) => {
                let config = format!("engine.mariadbd = '{}'\n{config}", path.display());
                Dormouse::prepare_program(dormouse_testkit::program(), &config, "debug")
            }
        };
        dormouse.up();
        let owner = dormouse.create("shop", &[]);
        let world = Self {
            dormouse,
            owner,
            ours,
            strangers,
        };
        let mut admin = world.dormouse.connect(&world.owner);
        for (user, required, _) in ACCOUNTS {
            let text = format!("CREATE USER {user} IDENTIFIED BY 'secret' REQUIRE {required}");
            admin.query(&text).ok();
        }
        world
    }

    fn files(&self, shown: Shown) -> Option<(PathBuf, PathBuf)> {
        let pair = |dir: &Path, prefix: &str| {
            let at = |file: &str| dir.join(format!("{prefix}{file}.pem"));
            Some((at("cert"), at("key")))
        };
        match shown {
            Shown::Plain | Shown::Nothing => None,
            Shown::Bo => pair(self.ours.path(), ""),
            Shown::Eve => pair(self.ours.path(), "eve-"),
            Shown::Odd => pair(self.ours.path(), "odd-"),
            Shown::Stranger => pair(self.strangers.path(), ""),
        }
    }

    /// Logs in and runs a query that needs the server, with the real client.
    fn ask(&self, user: &str, shown: Shown) -> Result<String, String> {
        let who = Created {
            user: format!("shop.{user}"),
            password: "secret".to_owned(),
        };
        match self.files(shown) {
            None if shown == Shown::Plain => mariadb(&self.dormouse, &who, &["--skip-ssl"]),
            None => mariadb(&self.dormouse, &who, &["--ssl"]),
            Some((cert, key)) => {
                let cert = format!("--ssl-cert={}", cert.display());
                let key = format!("--ssl-key={}", key.display());
                mariadb(&self.dormouse, &who, &["--ssl", &cert, &key])
            }
        }
    }

    fn client(&self, shown: Shown) -> Client {
        let address = self.dormouse.address();
        match self.files(shown) {
            None => Client::tls(address),
            Some((cert, key)) => Client::tls_with(address, tls::config_with(&cert, &key)),
        }
    }

    fn park(&self) {
        let parked = self.dormouse.json(&["park", "shop"]);
        assert!(!parked.is_null());
        self.dormouse.until_state("shop", "parked");
    }
}

#[test]
fn only_who_shows_what_an_account_requires_logs_in_asleep_and_awake() {
    World::each(|world| {
        let check = |user, shown, may: &[Shown]| match world.ask(user, shown) {
            Ok(answer) => {
                assert!(may.contains(&shown), "{user} let {shown:?} in");
                assert_eq!(answer, "42");
            }
            Err(error) if may.contains(&shown) => panic!("{user} refused {shown:?}: {error}"),
            // TLS itself fails
            Err(error) if shown == Shown::Stranger => assert!(!error.contains("1045"), "{error}"),
            Err(error) => assert!(error.contains("1045"), "{user}, {shown:?}: {error}"),
        };
        for (user, _, may) in ACCOUNTS {
            for shown in ALL {
                check(user, shown, may);
            }
        }
        world.park();
        for (user, _, may) in ACCOUNTS {
            for shown in ALL.into_iter().filter(|shown| !may.contains(shown)) {
                check(user, shown, may);
            }
        }
        assert_eq!(world.dormouse.state("shop"), "parked");
        for (user, _, may) in ACCOUNTS {
            if let Some(shown) = may.first() {
                world.park();
                check(user, *shown, may);
            }
        }
    });
}

#[test]
fn a_changed_requirement_holds_from_the_next_login_on() {
    World::each(|world| {
        let mut admin = world.dormouse.connect(&world.owner);
        assert!(world.ask("subject", Shown::Bo).is_ok());
        admin
            .query("ALTER USER subject REQUIRE SUBJECT '/CN=eve'")
            .ok();
        assert!(world.ask("subject", Shown::Bo).is_err());
        assert!(world.ask("subject", Shown::Eve).is_ok());
        let shown = admin.query("SHOW CREATE USER subject").value();
        assert!(shown.contains("REQUIRE SUBJECT '/CN=eve'"), "{shown}");
        admin.query("ALTER USER subject REQUIRE NONE").ok();
        assert!(world.ask("subject", Shown::Plain).is_ok());
    });
}

#[test]
fn a_change_of_user_needs_the_certificate_of_the_new_account() {
    World::each(|world| {
        let change = |client: &mut Client, user: &str| -> Reply {
            let login = ChangeUser {
                user: user.as_bytes().to_vec(),
                auth: Vec::new(),
                schema: None,
                collation: 45,
                plugin: None,
                attributes: Vec::new(),
            };
            let packet = login.encode(client.capabilities);
            client.command(Command::ChangeUser, &packet[1..]);
            let payload = client.receive().unwrap();
            match payload[0] {
                0xff => Reply::Err(ErrPacket::parse(&payload).unwrap()),
                _ => Reply::Ok(OkPacket::parse(&payload, client.capabilities).unwrap()),
            }
        };
        let mut admin = world.dormouse.connect(&world.owner);
        for (user, required, _) in [ACCOUNTS[0], ACCOUNTS[1]] {
            let text = format!("CREATE USER no_{user} REQUIRE {required}");
            admin.query(&text).ok();
        }
        for (shown, any, subject) in [
            (Shown::Nothing, false, false),
            (Shown::Bo, true, true),
            (Shown::Eve, true, false),
        ] {
            for (user, may) in [("no_any", any), ("no_subject", subject)] {
                let mut client = world.client(shown);
                client
                    .login(&world.owner.user, &world.owner.password, None)
                    .ok();
                assert_eq!(client.query("SELECT 40 + 2").value(), "42");
                let changed = change(&mut client, user);
                if !may {
                    assert_eq!(changed.err().code, 1045, "{user}, {shown:?}");
                    continue;
                }
                changed.ok();
                let now = client.query("SELECT CURRENT_USER()").value();
                assert_eq!(now, format!("{user}@%"));
            }
        }
    });
}

#[test]
fn ciphers_of_tls_1_2_hold_as_those_of_1_3() {
    World::each(|world| {
        const CIPHERS: [&str; 2] = [
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ];
        let mut admin = world.dormouse.connect(&world.owner);
        let text = format!(
            "CREATE USER old IDENTIFIED BY 'secret' REQUIRE CIPHER '{}'",
            CIPHERS[0]
        );
        admin.query(&text).ok();
        let who = Created {
            user: "shop.old".to_owned(),
            password: "secret".to_owned(),
        };
        let with = |cipher: &str| {
            let cipher = format!("--ssl-cipher={cipher}");
            let options = ["--ssl", "--tls-version=TLSv1.2", &cipher];
            mariadb(&world.dormouse, &who, &options)
        };
        assert_eq!(with(CIPHERS[0]), Ok("42".to_owned()));
        let refused = with(CIPHERS[1]).unwrap_err();
        assert!(refused.contains("1045"), "{refused}");
    });
}

#[test]
fn another_authority_is_in_force_after_sighup() {
    let world = World::on(None);
    assert!(world.ask("any", Shown::Bo).is_ok());
    let mut open = world.client(Shown::Bo);
    open.login("shop.any", "secret", None).ok();
    let ca = |dir: &tempfile::TempDir| dir.path().join("ca.crt");
    fs::copy(ca(&world.strangers), ca(&world.ours)).unwrap();
    process::hang_up(world.dormouse.pid());
    process::until("the other authority is in force", || {
        world.ask("any", Shown::Stranger).is_ok()
    });
    assert!(world.ask("any", Shown::Bo).is_err());
    assert_eq!(open.query("SELECT 40 + 2").value(), "42");
}

#[test]
fn resumed_sessions_of_tls_still_show_their_certificate() {
    World::each(|world| {
        // the second connection resumes the session of the first
        let (cert, key) = world.files(Shown::Bo).unwrap();
        let config = tls::config_with(&cert, &key);
        for _ in 0..3 {
            let mut client = Client::tls_with(world.dormouse.address(), config.clone());
            client.login("shop.subject", "secret", None).ok();
            assert_eq!(client.query("SELECT 40 + 2").value(), "42");
        }
    });
}
