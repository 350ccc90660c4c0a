//! Encryption at rest: a row of an encrypted database is in no file in the clear, and its keys can be replaced
//! while clients work.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Reply, process};

use scene::{Scene, files_with, settled};

#[path = "encryption/scene.rs"]
mod scene;

/// A text that is in rows only.
const MARKER: &str = "Wombat-7cc1-in-a-row";

/// Makes tables with marked rows, and indexes that need sorting.
fn fill(client: &mut Client) {
    let row = format!("CONCAT('{MARKER} ', LPAD(seq, 9, '0'), REPEAT('.', 170))");
    for text in [
        "CREATE DATABASE app".to_owned(),
        "USE app".to_owned(),
        format!(
            "CREATE TABLE app.t (id INT PRIMARY KEY, t VARCHAR(250) NOT NULL) \
             SELECT seq id, {row} t FROM seq_1_to_20000"
        ),
        format!(
            "CREATE TABLE app.packed (t TEXT) ROW_FORMAT=COMPRESSED SELECT {row} t FROM seq_1_to_500"
        ),
        // undo log: the old rows
        "UPDATE app.t SET t = REVERSE(t) WHERE id < 5000".to_owned(),
        "UPDATE app.t SET t = REVERSE(t) WHERE id < 5000".to_owned(),
        "ALTER TABLE app.t ADD INDEX by_text (t)".to_owned(),
        format!(
            "CREATE TABLE app.aria (t TEXT) ENGINE=Aria TRANSACTIONAL=0 SELECT {row} t FROM seq_1_to_2000"
        ),
        format!(
            "CREATE TEMPORARY TABLE app.own (t TEXT) ENGINE=InnoDB SELECT {row} t FROM seq_1_to_20000"
        ),
        "DELETE FROM app.t WHERE id > 19000".to_owned(),
    ] {
        client.query(&text).ok();
    }
}

/// Statements that keep a temporary file open while they wait for a lock: of a sort, and of a temporary table.
const WITH_FILES: [&str; 2] = [
    "SELECT GET_LOCK('hold', 60), t FROM app.t IGNORE INDEX (by_text) ORDER BY t DESC",
    "SELECT GET_LOCK('hold', 60), COUNT(*) FROM app.t IGNORE INDEX (by_text) GROUP BY SUBSTR(t, 1, 200)",
];

/// The files in which the marker is found, also deleted ones that the server has open, while statements with
/// temporary files run, and asleep; as kinds.
fn marked(scene: &Scene, who: &Created) -> Vec<&'static str> {
    let dormouse = &scene.dormouse;
    let mut found = Vec::new();
    let mut client = dormouse.connect(who);
    fill(&mut client);
    client.query("FLUSH TABLES").ok();
    found.extend(files_with(dormouse, "shop", MARKER));
    for statement in WITH_FILES {
        let mut holder = dormouse.connect(who);
        // the session of the statement before may hold it until its end is noticed
        assert_eq!(holder.query("SELECT GET_LOCK('hold', 60)").value(), "1");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut client = dormouse.connect(who);
                for set in [
                    "SET SESSION sort_buffer_size = 16384",
                    "SET SESSION tmp_memory_table_size = 16384, SESSION max_heap_table_size = 16384",
                ] {
                    client.query(set).ok();
                }
                client.query(statement).rows().len()
            });
            process::until("the statement has its file", || {
                let waits =
                    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'";
                holder.query(waits).value() == "1"
            });
            found.extend(files_with(dormouse, "shop", MARKER));
            holder.query("SELECT RELEASE_LOCK('hold')").rows();
            assert!(waiting.join().unwrap() > 10_000);
        });
    }
    drop(client);
    // what a crash leaves, and what recovery makes of it
    let mut client = dormouse.connect(who);
    client
        .query("INSERT INTO app.t SELECT id + 100000, t FROM app.t WHERE id < 1000")
        .ok();
    process::kill(dormouse.server("shop"));
    found.extend(files_with(dormouse, "shop", MARKER));
    let count = "SELECT COUNT(*) FROM app.t";
    assert_eq!(client.query(count).value(), "19999");
    for sleep in ["suspend", "park"] {
        process::until("it sleeps", || {
            output_of(&mut dormouse.command(&[sleep, "shop"])).0
        });
        found.extend(files_with(dormouse, "shop", MARKER));
    }
    assert_eq!(client.query(count).value(), "19999");
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_marker_row_is_in_no_file_of_an_encrypted_database() {
    let scene = Scene::start("");
    let who = scene.dormouse.create("shop", &[]);
    let shown = scene.dormouse.show("shop");
    assert_eq!(shown["encryption"]["state"], "encrypted", "{shown}");
    assert_eq!(marked(&scene, &who), Vec::<&str>::new());
    // nor is the server's key, in its configuration, command line or environment
    let instance = shown["instance"].to_string();
    let keys = fs::read_to_string(scene.instances().join(format!("{instance}.keys"))).unwrap();
    assert!(keys.contains("wrapped"), "{keys}");

    // a server that is started on a copy of the files without the keys reads nothing
    let _ = scene.dormouse.json(&["park", "shop"]);
    fs::rename(
        scene.instances().join(format!("{instance}.keys")),
        scene.dir.path().join("elsewhere"),
    )
    .unwrap();
    let mut client = Client::tcp(scene.dormouse.address());
    client.login(&who.user, &who.password, None).ok();
    let refused = client.query("SELECT COUNT(*) FROM app.t").err();
    assert!(
        format!("{refused:?}").contains("encryption key"),
        "{refused:?}"
    );
}

/// A page of an Aria table is encrypted into a buffer whose rest is written too.
#[test]
fn memory_of_an_encrypted_server_is_in_no_page_of_its_tables_of_accounts() {
    let scene = Scene::start("");
    let who = scene.dormouse.create("shop", &[]);
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client
        .query("CREATE TABLE app.t (id INT AUTO_INCREMENT PRIMARY KEY, t LONGTEXT)")
        .ok();
    for n in 0..4 {
        for bytes in [100, 2000, 7000, 8150, 9000, 16000] {
            let text = MARKER.repeat(bytes / MARKER.len());
            client
                .query(&format!("INSERT INTO app.t (t) VALUES ('{text}')"))
                .ok();
        }
        client
            .query("SELECT t FROM app.t ORDER BY t DESC LIMIT 3")
            .rows();
        for text in [
            format!("CREATE PROCEDURE app.p{n}() SELECT '{}'", ".".repeat(100)),
            format!("CREATE USER u{n} IDENTIFIED BY 'a password'"),
            format!("GRANT SELECT ON app.t TO u{n}"),
            "FLUSH TABLES".to_owned(),
        ] {
            client.query(&text).ok();
        }
        let found = files_with(&scene.dormouse, "shop", MARKER);
        assert_eq!(found, Vec::<&str>::new(), "round {n}");
    }
}

#[test]
fn the_same_search_finds_the_row_in_every_kind_of_file_of_a_plain_database() {
    let scene = Scene::start("mode = 'off'\n");
    let who = scene.dormouse.create("shop", &[]);
    assert_eq!(
        scene.dormouse.show("shop")["encryption"],
        serde_json::Value::Null
    );
    let found = marked(&scene, &who);
    for kind in ["table", "system tablespace", "redo log", "aria table"] {
        assert!(found.contains(&kind), "not in any {kind}: {found:?}");
    }
}

#[test]
fn tables_that_cannot_be_encrypted_are_refused_or_shown() {
    let scene = Scene::start("");
    let who = scene.dormouse.create("shop", &[]);
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    for refused in [
        "CREATE TABLE app.a (i INT) ENCRYPTED=NO",
        "CREATE TABLE app.a (i INT) ENCRYPTION_KEY_ID=2",
        "CREATE TABLE app.a (i INT) ENCRYPTION_KEY_ID=77",
    ] {
        let error = client.query(refused).err();
        assert_eq!(error.code, 1005, "{refused}: {error:?}");
    }
    client
        .query("CREATE TABLE app.plain (i INT) ENGINE=MyISAM")
        .ok();
    let shown = scene.dormouse.show("shop");
    assert_eq!(
        shown["encryption"]["plain_tables"],
        serde_json::json!(["app.plain"])
    );
    let (_, said) = output_of(&mut scene.dormouse.command(&["show", "shop"]));
    assert!(
        said.contains("not encrypted, because their engines cannot or ENCRYPTED=NO: app.plain"),
        "{said}"
    );
}

#[test]
fn without_its_master_key_a_database_does_not_start_and_others_do() {
    let mut scene = Scene::start("");
    let who = scene.dormouse.create("shop", &[]);
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t SELECT 1 AS i").ok();
    drop(client);
    let _ = scene.dormouse.json(&["park", "shop"]);
    let right = scene.master();
    let fingerprint = scene.dormouse.json(&["key", "ls"])["master"].clone();

    let failed = |scene: &Scene, reason: &str| {
        let (woken, said) = output_of(&mut scene.dormouse.command(&["wake", "shop"]));
        assert!(!woken && said.contains(reason), "{said}");
        // the accounts may be unknown after a failed start: then the login fails already
        let mut client = Client::tcp(scene.dormouse.address());
        if let Reply::Ok(_) = client.login(&who.user, &who.password, None) {
            client.query("SELECT i FROM app.t").err();
        }
    };
    // lost: Dormouse runs, and heals as soon as the key is back
    scene.dormouse.stop();
    scene.remove_master();
    scene.dormouse.up();
    failed(&scene, "the master key cannot be read from the file");
    let (created, said) = output_of(&mut scene.dormouse.command(&["create", "other"]));
    assert!(!created && said.contains("master key"), "{said}");

    // wrong: others work
    scene.dormouse.stop();
    scene.write_master(&"17".repeat(32));
    scene.dormouse.up();
    failed(&scene, fingerprint.as_str().unwrap());
    let other = scene.dormouse.create("other", &[]);
    assert_eq!(
        scene.dormouse.connect(&other).query("SELECT 2").value(),
        "2"
    );

    scene.dormouse.stop();
    scene.write_master(&right);
    scene.dormouse.up();
    process::until("it starts again", || {
        output_of(&mut scene.dormouse.command(&["wake", "shop"])).0
    });
    let mut client = scene.dormouse.connect(&who);
    assert_eq!(client.query("SELECT i FROM app.t").value(), "1");
}

#[test]
fn a_plain_database_is_encrypted_while_clients_write_to_it() {
    let scene = Scene::start("mode = 'off'\n");
    let who = scene.dormouse.create("shop", &[]);
    fill(&mut scene.dormouse.connect(&who));
    scene
        .dormouse
        .connect(&who)
        .query(&format!(
            "CREATE TABLE app.`d``no` (t TEXT) ENCRYPTED=NO SELECT '{MARKER}' t"
        ))
        .ok();
    assert!(!files_with(&scene.dormouse, "shop", MARKER).is_empty());
    let written = while_writing(&scene, &who, || {
        let shown = scene.dormouse.json(&["key", "encrypt", "shop"]);
        assert!(shown["encryption"].is_object(), "{shown}");
        settled(&scene.dormouse, "shop", &[1]);
    });
    let mut client = scene.dormouse.connect(&who);
    assert_eq!(
        client.query("SELECT COUNT(*) FROM app.log").value(),
        written.to_string()
    );
    client.query("FLUSH TABLES").ok();
    // what InnoDB had freed before stays in free pages until they are used again
    let mut found = files_with(&scene.dormouse, "shop", MARKER);
    found.retain(|kind| !["system tablespace", "table"].contains(kind));
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn both_keys_are_rotated_under_load_and_no_row_is_lost() {
    let mut scene = Scene::start("");
    let who = scene.dormouse.create("shop", &[]);
    fill(&mut scene.dormouse.connect(&who));
    let first = scene.dormouse.json(&["key", "ls"])["master"].clone();
    let written = while_writing(&scene, &who, || {
        for versions in [[3], [5]] {
            let _ = scene.dormouse.json(&["key", "rotate", "shop"]);
            settled(&scene.dormouse, "shop", &versions);
        }
        scene.write_master(&"2b".repeat(32));
        let rotated = scene.dormouse.json(&["key", "rotate", "--master"]);
        assert_eq!(rotated["old"], first);
        // a rotation that a crash of the server interrupts
        let _ = scene.dormouse.json(&["key", "rotate", "shop"]);
        process::kill(scene.dormouse.server("shop"));
        settled(&scene.dormouse, "shop", &[7]);
    });
    let mut client = scene.dormouse.connect(&who);
    let count = "SELECT COUNT(*) FROM app.log";
    let rows: u64 = client.query(count).value().parse().unwrap();
    // a statement that was cut off by the crash has an unknown outcome
    assert!(
        rows == written || rows == written + 1,
        "{rows} rows, {written} acknowledged"
    );
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "19000");
    assert_eq!(
        files_with(&scene.dormouse, "shop", MARKER),
        Vec::<&str>::new()
    );
    // one that a crash of Dormouse interrupts
    let _ = scene.dormouse.json(&["key", "rotate", "shop"]);
    scene.dormouse.kill();
    scene.dormouse.up();
    settled(&scene.dormouse, "shop", &[9]);
    let checked = scene
        .dormouse
        .connect(&who)
        .query("CHECK TABLE app.t, app.aria, app.log, mysql.proc, mysql.global_priv EXTENDED")
        .rows();
    assert!(
        checked.iter().all(|row| row[3].as_deref() == Some("OK")),
        "{checked:?}"
    );
}

/// Runs `work` while a client inserts one row after the other; returns how many were acknowledged.
fn while_writing(scene: &Scene, who: &Created, work: impl FnOnce()) -> u64 {
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut client = scene.dormouse.connect(who);
    client
        .query("CREATE TABLE app.log (i BIGINT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(250))")
        .ok();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let insert = format!("INSERT INTO app.log (t) VALUES ('{MARKER} in the log')");
            while !done.load(Ordering::SeqCst) {
                match client.query(&insert) {
                    Reply::Err(error) if error.sqlstate() == "08007" => {}
                    reply => {
                        reply.ok();
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    written.into_inner()
}
