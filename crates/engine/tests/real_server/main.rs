//! The engine against a real server, started here from a template.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::path::Path;
use std::time::Duration;

use dormouse_engine::{Admin, AdminError, Installation, Layout, Search, Secret, Template, Version};
use dormouse_types::{Account, Bytes, Endpoint, Verifier};
use dormouse_wire::{Greeting, PacketBuffer, native};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use server::{ID, Server, installation, search};

mod buffer_pool;
mod events;
mod harden;
mod manage;
mod memory_tables;
mod server;
mod stored_code;

fn find<'a>(accounts: &'a [Account], user: &str) -> &'a Account {
    accounts
        .iter()
        .find(|a| a.user == user)
        .unwrap_or_else(|| panic!("no {user} in {accounts:?}"))
}

/// Logs in with the first stage of the credential that enrolling adds.
async fn enrolled_login(server: &Server, user: &str) -> bool {
    use dormouse_wire::{Capabilities, ClientConfig, ClientLogin, LoginStep};
    use tokio::io::AsyncWriteExt as _;
    let mut stream = UnixStream::connect(server.layout.socket()).await.unwrap();
    let mut login = ClientLogin::new(ClientConfig {
        capabilities: Capabilities::TRANSACTIONS,
        collation: 45,
        max_packet: 1 << 24,
        user: user.as_bytes().to_vec(),
        stage1: Some(server.secret.account_stage1(ID, user, "%")),
        schema: None,
        attributes: Vec::new(),
    });
    let mut packets = PacketBuffer::new(1 << 20);
    loop {
        while let Some((seq, payload)) = packets.next().unwrap() {
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => stream.write_all(&bytes).await.unwrap(),
                Ok(LoginStep::Done { .. }) => return true,
                Ok(LoginStep::Secure(_)) | Err(_) => return false,
            }
        }
        packets.push(&[stream.read_u8().await.unwrap()]);
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_greeting() {
    let server = Server::start().await;
    let mut stream = UnixStream::connect(server.layout.socket()).await.unwrap();
    let mut packets = PacketBuffer::new(1 << 16);
    let greeting = loop {
        if let Some((_, payload)) = packets.next().unwrap() {
            break Greeting::parse(&payload).unwrap();
        }
        packets.push(&[stream.read_u8().await.unwrap()]);
    };
    assert_eq!(greeting.version, server.installation.version.greeting());
    let admin = server.admin().await;
    assert_eq!(admin.version(), Some(server.installation.version.clone()));
    assert_eq!(
        Version::from_text(admin.greeting_version()),
        admin.version()
    );
}

#[tokio::test]
async fn a_new_instance_refuses_logins_until_its_owner_has_a_password() {
    let server = Server::start().await;
    for user in ["root", "admin", "dormouse", "mariadb.sys", "", "anyone"] {
        for password in ["", "invalid", "admin"] {
            assert!(
                server.lets_in(user, password).is_err(),
                "{user:?} {password:?}"
            );
        }
    }
    let mut admin = server.admin().await;
    let accounts = admin.accounts().list(None).await.unwrap();
    let users: Vec<_> = accounts
        .iter()
        .map(|a| (a.user.as_str(), a.host.as_str(), a.locked))
        .collect();
    assert_eq!(users, [("admin", "%", true)]);
    assert_eq!(
        admin.settings().schemas().await.unwrap(),
        ["information_schema", "mysql", "performance_schema", "sys"]
    );

    // twice, to set and to change the password
    for password in ["first", "pass'w\\örd"] {
        let stage2 = native::stage2(&native::stage1(password.as_bytes()));
        admin.accounts().secure_owner(stage2).await.unwrap();
        let accounts = admin.accounts().list(Some("admin")).await.unwrap();
        let owner = find(&accounts, "admin");
        assert_eq!((owner.locked, owner.enrolled), (false, true));
        assert_eq!(owner.verifiers, [Verifier::Native(stage2)]);
        assert_eq!(server.lets_in("admin", password).as_deref(), Ok("admin@%"));
        assert!(enrolled_login(&server, "admin").await);
    }
    assert!(server.lets_in("admin", "first").is_err());
    admin.query("DROP USER admin").await.unwrap();
    admin
        .accounts()
        .secure_owner(native::stage2(&native::stage1(b"again")))
        .await
        .unwrap();
    assert_eq!(server.lets_in("admin", "again").as_deref(), Ok("admin@%"));
}

#[tokio::test]
async fn another_installations_secret_is_refused() {
    let server = Server::start().await;
    let other = Secret::new([9; 32]);
    let refused = Admin::connect(&Endpoint::Unix(server.layout.socket()), &other, ID).await;
    assert!(
        matches!(refused, Err(AdminError::Refused(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn enrolling_adds_a_credential_and_changes_nothing_else() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for sql in [
        "CREATE USER full@'%' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_USER_CONNECTIONS 7 \
         PASSWORD EXPIRE INTERVAL 30 DAY ACCOUNT LOCK",
        "CREATE USER subject@'%' IDENTIFIED BY 'x' REQUIRE SUBJECT '/CN=a' ISSUER '/CN=b' CIPHER 'AES'",
        "CREATE USER expired@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE",
        "CREATE USER empty@'%'",
        "CREATE USER many@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('y')",
        "CREATE USER `it's \\ö`@'%' IDENTIFIED BY 'x'",
        "CREATE USER plain@'%' IDENTIFIED BY 'x'",
        "CREATE ROLE role",
    ] {
        admin.query(sql).await.unwrap();
    }
    const ROWS: &str = "SELECT User, Priv FROM mysql.global_priv ORDER BY User";
    const REST: &str =
        "SELECT User, JSON_REMOVE(Priv, '$.auth_or') FROM mysql.global_priv ORDER BY User";
    let before = (
        admin.query(REST).await.unwrap(),
        admin.accounts().list(None).await.unwrap(),
    );
    assert!(before.1.iter().all(|a| !a.enrolled));
    let enroll: Vec<_> = before
        .1
        .iter()
        .map(|a| (a.user.clone(), a.host.clone()))
        .collect();
    assert_eq!(enroll.len(), 8, "the role is no account");
    for (user, host) in &enroll {
        admin.accounts().enroll(user, host).await.unwrap();
    }
    let rows = admin.query(ROWS).await.unwrap();
    for (user, host) in &enroll {
        admin.accounts().enroll(user, host).await.unwrap();
    }
    admin.accounts().enroll("nobody", "%").await.unwrap();
    admin.accounts().enroll("role", "").await.unwrap();
    assert_eq!(
        admin.query(ROWS).await.unwrap(),
        rows,
        "enrolling twice is enrolling once"
    );
    assert_eq!(admin.query(REST).await.unwrap(), before.0);
    let after = admin.accounts().list(None).await.unwrap();
    for (before, after) in before.1.iter().zip(&after) {
        assert_eq!(
            &Account {
                enrolled: true,
                ..before.clone()
            },
            after
        );
    }
    for user in ["plain", "empty", "many", "it's \\ö"] {
        assert!(enrolled_login(&server, user).await, "{user}");
    }
    for user in ["full", "subject"] {
        assert!(
            !enrolled_login(&server, user).await,
            "{user} is locked or needs TLS"
        );
    }
    assert_eq!(server.lets_in("plain", "x").as_deref(), Ok("plain@%"));
    assert_eq!(server.lets_in("many", "y").as_deref(), Ok("many@%"));
    assert_eq!(server.lets_in("empty", "").as_deref(), Ok("empty@%"));
    assert!(server.lets_in("empty", "y").is_err());

    admin
        .query("SET PASSWORD FOR plain@'%' = PASSWORD('new')")
        .await
        .unwrap();
    assert_eq!(server.lets_in("plain", "new").as_deref(), Ok("plain@%"));
    assert!(server.lets_in("plain", "x").is_err());
    assert!(
        enrolled_login(&server, "plain").await,
        "a new password keeps the enrolment"
    );
    admin
        .query("ALTER USER plain@'%' IDENTIFIED BY 'newer'")
        .await
        .unwrap();
    assert!(
        !find(&admin.accounts().list(None).await.unwrap(), "plain").enrolled,
        "ALTER USER drops it"
    );
    admin.accounts().enroll("plain", "%").await.unwrap();
    assert!(enrolled_login(&server, "plain").await);
    assert_eq!(server.lets_in("plain", "newer").as_deref(), Ok("plain@%"));
}

#[tokio::test]
async fn the_credential_of_a_former_version_is_replaced_in_all_accounts_of_its_user() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let former = native::to_text(&server.secret.former_stage2(ID, "bo"));
    for host in ["%", "localhost"] {
        let sql = format!(
            "CREATE USER bo@'{host}' IDENTIFIED VIA mysql_native_password USING PASSWORD('x') \
             OR mysql_native_password USING '{former}'"
        );
        admin.query(&sql).await.unwrap();
    }
    let before = admin.accounts().list(Some("bo")).await.unwrap();
    assert!(before.iter().all(|a| !a.enrolled && a.verifiers.len() == 1));
    for _ in 0..2 {
        admin.accounts().enroll("bo", "%").await.unwrap();
        let after = admin.accounts().list(Some("bo")).await.unwrap();
        assert!(after.iter().all(|a| a.enrolled && a.verifiers.len() == 1));
        let sql = format!("SELECT COUNT(*) FROM mysql.global_priv WHERE Priv LIKE '%{former}%'");
        assert_eq!(admin.query(&sql).await.unwrap().text(0, 0), "0");
    }
    // the server chooses bo@localhost on its socket, which has another credential than bo@'%'
    assert!(!enrolled_login(&server, "bo").await);
}

#[tokio::test]
async fn accounts_of_one_name_include_the_anonymous_ones() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for sql in [
        "CREATE USER a@'%'",
        "CREATE USER a@'10.0.0.0/255.0.0.0'",
        "CREATE USER b@'%'",
        "CREATE USER ''@'%'",
    ] {
        admin.query(sql).await.unwrap();
    }
    let mut names: Vec<_> = admin
        .accounts()
        .list(Some("a"))
        .await
        .unwrap()
        .into_iter()
        .map(|a| (a.user, a.host))
        .collect();
    names.sort();
    let expected = [("", "%"), ("a", "%"), ("a", "10.0.0.0/255.0.0.0")];
    assert_eq!(
        names,
        expected.map(|(user, host)| (user.to_owned(), host.to_owned()))
    );
}

#[tokio::test]
async fn globals_set_by_sql_can_be_applied_after_a_restart() {
    let mut server = Server::start().await;
    let mut admin = server.admin().await;
    assert_eq!(admin.settings().changed_globals().await.unwrap(), []);
    for sql in [
        "SET GLOBAL max_connections = 77",
        "SET GLOBAL sql_mode = 'ANSI'",
        "SET GLOBAL init_connect = 'SET @a = ''b\\\\'''",
        "SET GLOBAL long_query_time = 0.25",
        "SET GLOBAL optimizer_switch = 'index_merge=off'",
        "SET GLOBAL event_scheduler = ON",
        "SET GLOBAL innodb_stats_auto_recalc = OFF",
    ] {
        admin.query(sql).await.unwrap();
    }
    admin
        .buffer_pool()
        .resize(Bytes::mib(16), Duration::from_secs(30))
        .await
        .unwrap();
    admin
        .buffer_pool()
        .load_hot_pages(Duration::from_secs(30))
        .await
        .unwrap();
    admin.buffer_pool().note_hot_pages().await.unwrap();
    let changed = admin.settings().changed_globals().await.unwrap();
    let names: Vec<_> = changed.iter().map(|(name, _)| name.as_str()).collect();
    // only what users of a database may set
    assert_eq!(names, ["long_query_time", "optimizer_switch", "sql_mode"]);
    drop(admin);
    server.restart().await;
    let mut admin = server.admin().await;
    assert_eq!(admin.settings().changed_globals().await.unwrap(), []);
    assert_eq!(admin.settings().apply_globals(&changed).await.unwrap(), []);
    assert_eq!(admin.settings().changed_globals().await.unwrap(), changed);

    // values that the server refuses, and those that an older Dormouse let users set
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mixed = [
        set("sql_mode", "'NO_SUCH_MODE'"),
        set("key_buffer_size", "8589934592"),
        set("proxy_protocol_networks", "''"),
        set("max_allowed_packet", "4294967296"),
        set("long_query_time", "7"),
    ];
    let not_set = admin.settings().apply_globals(&mixed).await.unwrap();
    assert_eq!(
        not_set.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(),
        [
            "key_buffer_size",
            "proxy_protocol_networks",
            "max_allowed_packet",
            "sql_mode"
        ]
    );
    let now = admin
        .query("SELECT @@GLOBAL.long_query_time, @@GLOBAL.key_buffer_size < 8 << 30, @@GLOBAL.proxy_protocol_networks")
        .await
        .unwrap();
    let now: Vec<_> = (0..3).map(|column| now.text(0, column)).collect();
    assert_eq!(now, ["7.000000", "1", "localhost"]);
}

#[tokio::test]
async fn a_refused_statement_keeps_the_connection_and_a_crash_ends_it() {
    let mut server = Server::start().await;
    let mut admin = server.admin().await;
    let refused = admin.query("SELECT * FROM nowhere.nothing").await;
    assert!(
        matches!(&refused, Err(AdminError::Sql { error, .. }) if error.code == 1146),
        "{refused:?}"
    );
    admin.ping().await.unwrap();
    let mut other = server.admin().await;
    let id: u32 = other
        .query("SELECT CONNECTION_ID()")
        .await
        .unwrap()
        .text(0, 0)
        .parse()
        .unwrap();
    admin
        .kill(id, dormouse_types::Ended::Connection)
        .await
        .unwrap();
    admin
        .kill(id, dormouse_types::Ended::Connection)
        .await
        .unwrap();
    assert!(other.ping().await.is_err());
    assert!(matches!(other.ping().await, Err(AdminError::Spent)));

    server.end("-KILL");
    assert!(matches!(admin.ping().await, Err(AdminError::Gone(_))));
    assert!(matches!(admin.ping().await, Err(AdminError::Spent)));
    let gone = Admin::connect(&Endpoint::Unix(server.layout.socket()), &server.secret, ID).await;
    assert!(matches!(gone, Err(AdminError::Gone(_))), "{gone:?}");
}

#[test]
fn a_template_is_created_once_and_failed_attempts_are_removed() {
    let installation = installation();
    let dir = tempfile::tempdir().unwrap();
    let templates = dir.path().join("templates");
    let secret = Secret::new([1; 32]);
    let broken = Installation::probe(&Search {
        install_db: Some("/bin/false".into()),
        ..search()
    })
    .unwrap();
    let failed = Template::ensure(&broken, &templates, &secret).map_err(|e| e.to_string());
    assert!(
        failed
            .as_ref()
            .is_err_and(|e| e.contains("/bin/false failed")),
        "{failed:?}"
    );
    let template = Template::ensure(&installation, &templates, &secret).unwrap();
    let names = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&templates),
        [template.path().file_name().unwrap()],
        "nothing incomplete is left"
    );
    // the installer does not run for an existing template
    assert_eq!(
        Template::ensure(&broken, &templates, &secret).unwrap(),
        template
    );
    let other = Template::ensure(&installation, &templates, &Secret::new([2; 32])).unwrap();
    assert_ne!(
        other, template,
        "another secret needs another account table"
    );

    let layout = Layout::new(dir.path().join("1")).unwrap();
    // as left by a crash during a copy
    std::fs::create_dir_all(layout.unfinished().join("data/mysql")).unwrap();
    template.instantiate(&layout, None).unwrap();
    assert_eq!(names(&layout.data()), names(template.path()));
    assert!(!layout.unfinished().exists());
    std::fs::write(layout.data().join("mine"), "").unwrap();
    template.instantiate(&layout, None).unwrap();
    assert!(
        layout.data().join("mine").exists(),
        "an existing instance is not changed"
    );
}
