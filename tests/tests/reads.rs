//! Reads on replicas: which server runs what, and that no session goes back in time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dice::Dice;
use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::command::Command;
use serde_json::Value;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

/// A Dormouse with a database that has replicas.
struct World {
    dormouse: Dormouse,
    who: Created,
    /// The replicas' instances.
    replicas: Vec<u64>,
}

impl World {
    fn start(count: usize, reads: &str) -> Self {
        Self::of(count, &count.to_string(), reads, &[])
    }

    /// `range`: how many there may be, of which there are `count` at first.
    fn of(count: usize, range: &str, reads: &str, options: &[&str]) -> Self {
        let dormouse = Dormouse::start_with(AWAKE);
        let who = dormouse.create("shop", options);
        let mut client = dormouse.connect(&who);
        client.query("CREATE SCHEMA s").ok();
        client
            .query("CREATE TABLE s.t (id INT PRIMARY KEY, n BIGINT)")
            .ok();
        client.query("INSERT INTO s.t VALUES (1, 0)").ok();
        let _set = dormouse.json(&["set", "shop", "--replicas", range, "--reads", reads]);
        let mut world = Self {
            dormouse,
            who,
            replicas: Vec::new(),
        };
        process::until("the replicas follow", || {
            world.replicas = world.following();
            world.replicas.len() == count
        });
        // the data path is told after the status, and the stored code is looked for at the first read
        let mut client = world.client();
        process::until("a replica is read", || {
            world.ran_on_replica(&mut client, "SELECT n FROM s.t")
        });
        world
    }

    /// The replicas that are not behind.
    fn following(&self) -> Vec<u64> {
        let shown = self.dormouse.show("shop");
        let all = shown["followers"].as_array().cloned().unwrap_or_default();
        let follows = |one: &&Value| one["doing"] == "following";
        let followers = all.iter().filter(follows);
        followers
            .filter_map(|one| one["instance"].as_u64())
            .collect()
    }

    /// A session that wants to read on replicas.
    fn client(&self) -> Client {
        let mut client = self.dormouse.connect(&self.who);
        client.query("SET DORMOUSE READS = replica").ok();
        client
    }

    /// A connection to a replica's server as Dormouse itself.
    fn platform(&self, replica: usize) -> Client {
        let instance = self.replicas[replica].to_string();
        let folder = self.dormouse.data_dir().join("instances").join(instance);
        let mut client = Client::unix(&folder.join("mysqld.sock"));
        let secret = self.dormouse.admin_stage1();
        client.login_with(b"dormouse", &secret).ok();
        client
    }

    /// How many statements replicas have run.
    fn reads(&self) -> u64 {
        let pool = self.dormouse.json(&["pool", "shop"]);
        pool["reads"]["on_replicas"].as_u64().unwrap()
    }

    fn ran_on_replica(&self, client: &mut Client, text: &str) -> bool {
        let before = self.reads();
        let _reply = client.query(text);
        self.reads() > before
    }
}

fn row(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE SESSION").rows();
    let row = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    row.unwrap()[1].clone().unwrap_or_default()
}

#[test]
fn statements_that_only_read_run_on_replicas_and_others_on_the_primary() {
    let world = World::start(1, "primary");
    let mut client = world.client();
    client.query("USE s").ok();
    // a session that has just written, or entered a schema, is brought to the replica with its state
    client.query("SET time_zone = '+05:00'").ok();
    client.query("SET @a = 7").ok();
    for text in [
        "SELECT n FROM t",
        "SELECT COUNT(*), MAX(n) FROM s.t WHERE id IN (1, 2)",
        "SELECT @a, @@time_zone, DATABASE() FROM t",
        "WITH a AS (SELECT n FROM t) SELECT * FROM a",
        "SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1",
    ] {
        process::until(text, || world.ran_on_replica(&mut client, text));
    }
    for text in [
        "SELECT 1",
        "SELECT n FROM t FOR UPDATE",
        "SELECT n INTO @b FROM t",
        "SELECT LAST_INSERT_ID() FROM t",
        "SELECT @@server_id FROM t",
        "/* dormouse: primary */ SELECT n FROM t",
        "SHOW TABLES",
        "UPDATE t SET n = n + 1",
        "SELECT nothing FROM t",
        "SELECT n FROM missing",
    ] {
        assert!(!world.ran_on_replica(&mut client, text), "{text}");
    }
    let read = "SELECT n FROM t";
    process::until(read, || world.ran_on_replica(&mut client, read));
    for (begins, ends) in [
        ("BEGIN", "COMMIT"),
        ("SET autocommit = 0", "SET autocommit = 1"),
        ("CREATE TEMPORARY TABLE u (i INT)", "DROP TEMPORARY TABLE u"),
        ("LOCK TABLES t READ", "UNLOCK TABLES"),
    ] {
        client.query(begins).ok();
        assert!(!world.ran_on_replica(&mut client, read), "after {begins}");
        assert!(!world.ran_on_replica(&mut client, read), "after {begins}");
        client.query(ends).ok();
    }
    process::until(read, || world.ran_on_replica(&mut client, read));
}

#[test]
fn a_session_says_where_it_reads() {
    let world = World::start(1, "primary");
    let mut client = world.dormouse.connect(&world.who);
    let read = "SELECT n FROM s.t";
    assert_eq!(row(&mut client, "reads"), "primary");
    assert!(!world.ran_on_replica(&mut client, read));
    client.query("SET DORMOUSE READS = 'replica'").ok();
    assert_eq!(row(&mut client, "reads"), "replica");
    process::until(read, || world.ran_on_replica(&mut client, read));
    client.query("SET DORMOUSE READS = DEFAULT").ok();
    assert!(!world.ran_on_replica(&mut client, read));
    let error = client.query("SET DORMOUSE READS = somewhere").err();
    assert!(error.message.contains("READS"), "{}", error.message);
    let _set = world.dormouse.json(&["set", "shop", "--reads", "replica"]);
    process::until(read, || world.ran_on_replica(&mut client, read));
    // as a session variable does
    client.query("SET DORMOUSE READS = primary").ok();
    assert!(!world.ran_on_replica(&mut client, read));
    client.command(Command::ResetConnection, b"");
    client.receive().unwrap();
    process::until(read, || world.ran_on_replica(&mut client, read));
}

#[test]
fn what_a_read_on_a_replica_leaves_can_be_asked_for() {
    let world = World::start(1, "replica");
    let mut client = world.client();
    client.query("USE s").ok();
    client.query("INSERT INTO t VALUES (2, 0), (3, 0)").ok();
    let ask = |client: &mut Client, read: &str, question: &str| {
        process::until(read, || world.ran_on_replica(client, read));
        client.query(question).rows()
    };
    let value = |rows: Vec<Vec<Option<String>>>| rows[0][0].clone().unwrap();
    let read = "SELECT id FROM t ORDER BY id LIMIT 2";
    assert_eq!(value(ask(&mut client, read, "SELECT FOUND_ROWS()")), "2");
    assert_eq!(value(ask(&mut client, read, "SELECT ROW_COUNT()")), "-1");
    let read = "SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1";
    assert_eq!(value(ask(&mut client, read, "SELECT FOUND_ROWS()")), "3");
    let read = "SELECT CAST('1x' AS DECIMAL(10, 2)) FROM t LIMIT 1";
    let warnings = ask(&mut client, read, "SHOW WARNINGS");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(value(ask(&mut client, read, "SELECT @@warning_count")), "1");
    // what a write has left outlasts the read
    client
        .query("CREATE TABLE u (i INT AUTO_INCREMENT PRIMARY KEY)")
        .ok();
    client.query("INSERT INTO u VALUES ()").ok();
    let read = "SELECT n FROM t WHERE id = 1";
    let id = "SELECT LAST_INSERT_ID()";
    assert_eq!(value(ask(&mut client, read, id)), "1");
}

#[test]
fn prepared_statements_read_on_replicas() {
    let world = World::start(1, "replica");
    let mut client = world.client();
    client.query("USE s").ok();
    let id = client.prepare("SELECT n FROM t WHERE id = ?");
    let mut execute = |types: bool| {
        let mut payload = id.to_le_bytes().to_vec();
        payload.extend([0, 1, 0, 0, 0, 0]);
        payload.push(u8::from(types));
        if types {
            payload.extend([3, 0]);
        }
        payload.extend(1_u32.to_le_bytes());
        client.command(Command::StmtExecute, &payload);
        let reply = client.binary_reply();
        assert!(reply.len() > 3, "{reply:?}");
    };
    execute(true);
    process::until("a replica executes it", || {
        let before = world.reads();
        execute(false);
        world.reads() > before
    });
}

#[test]
fn a_replica_that_does_not_answer_or_dies_is_not_noticed() {
    let world = World::start(2, "replica");
    let mut client = world.client();
    let read = "SELECT n FROM s.t WHERE id = 1";
    process::until(read, || world.ran_on_replica(&mut client, read));
    let pids: Vec<u32> = (0..2)
        .map(|replica| {
            let mut platform = world.platform(replica);
            let file = platform.query("SELECT @@pid_file").value();
            let folder = platform.query("SELECT @@datadir").value();
            let path = std::path::Path::new(&folder).join(file);
            std::fs::read_to_string(path)
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(client.query(read).value(), "0");
    }
    for pid in pids {
        process::kill(pid);
        for _ in 0..50 {
            assert_eq!(client.query(read).value(), "0");
        }
    }
}

#[test]
fn a_statement_on_a_replica_can_be_killed() {
    let world = World::start(1, "replica");
    let mut client = world.client();
    let id = client.id();
    client.query("USE s").ok();
    client
        .query("INSERT INTO t SELECT seq, 0 FROM seq_10_to_2000")
        .ok();
    process::until("a replica is read", || {
        world.ran_on_replica(&mut client, "SELECT n FROM t WHERE id = 1")
    });
    let slow = "SELECT COUNT(a.n + b.n + c.n + d.n) FROM t AS a, t AS b, t AS c, t AS d";
    let mut killer = world.dormouse.connect(&world.who);
    let mut platform = world.platform(0);
    for (kill, ends) in [("KILL QUERY", false), ("KILL", true)] {
        client.command(Command::Query, slow.as_bytes());
        let count =
            format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = '{slow}'");
        process::until("it runs on the replica", || {
            platform.query(&count).value() == "1"
        });
        killer.query(&format!("{kill} {id}")).ok();
        match ends {
            false => assert_eq!(client.result().unwrap().err().code, 1317),
            true => assert!(client.result().is_err()),
        }
        process::until("it has ended on the replica", || {
            platform.query(&count).value() == "0"
        });
    }
}

/// The reasons of the changes of the number of replicas.
fn changes(dormouse: &Dormouse) -> Vec<String> {
    let events = dormouse.json(&["events", "shop"]);
    let events = events.as_array().unwrap().iter();
    let scaled = events.filter(|event| event["event"] == "scaled");
    let reasons = scaled.map(|event| event["reason"].as_str().unwrap().to_owned());
    reasons.filter(|why| why.starts_with("replicas")).collect()
}

#[test]
fn the_number_of_replicas_follows_the_load_and_no_statement_is_lost_with_one() {
    let mut world = World::of(1, "1..2", "replica", &["--units", "1"]);
    let shown = world.dormouse.show("shop");
    assert_eq!(
        (&shown["replicas"], &shown["replicas_range"]),
        (&1.into(), &"1..2".into())
    );
    let mut client = world.client();
    client.query("USE s").ok();
    client
        .query("INSERT INTO t SELECT seq, seq FROM seq_2_to_2000")
        .ok();
    let read_of = |rows: u32| {
        format!(
            "SELECT SUM(CRC32(SHA2(CONCAT(a.n, b.n), 256))) FROM t AS a, t AS b WHERE b.id <= {rows}"
        )
    };
    let mut clients: Vec<_> = (0..4).map(|_| world.client()).collect();
    for client in &mut clients {
        client.query("USE s").ok();
    }
    let run = |clients: &mut [Client], text: &str| {
        for client in clients {
            client.command(Command::Query, text.as_bytes());
        }
    };
    let read = |clients: &mut [Client], sum: &str| {
        for client in clients {
            assert_eq!(client.result().unwrap().value(), sum);
        }
    };
    let busy = read_of(300);
    let sum = client.query(&busy).value();
    // on a machine with much else to do it takes longer until a replica has used enough of a core
    for _ in 0..200 {
        run(&mut clients, &busy);
        read(&mut clients, &sum);
        world.replicas = world.following();
        if world.replicas.len() == 2 {
            break;
        }
    }
    let told = changes(&world.dormouse);
    let grew = "replicas: 1 → 2: its replicas used ";
    assert!(told.len() == 1 && told[0].starts_with(grew), "{told:?}");

    // each runs statements that take longer than the removal of a replica
    let slow = read_of(1000);
    let sum = client.query(&slow).value();
    let mut platforms = [world.platform(0), world.platform(1)];
    let count =
        format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = '{slow}'");
    process::until("each runs statements", || {
        run(&mut clients, &slow);
        let runs = |platform: &mut Client| platform.query(&count).value() != "0";
        let both = (0..100).any(|_| platforms.iter_mut().all(runs));
        if !both {
            read(&mut clients, &sum);
        }
        both
    });
    let fallbacks = || world.dormouse.json(&["pool", "shop"])["reads"]["fallbacks"].clone();
    let before = fallbacks();
    let _set = world.dormouse.json(&["set", "shop", "--reads", "primary"]);
    read(&mut clients, &sum);
    process::until("one is left", || world.following().len() == 1);
    assert_eq!(
        fallbacks(),
        before,
        "a replica was removed while it ran a statement"
    );
    assert_eq!(
        changes(&world.dormouse)[1..],
        ["replicas: 2 → 1: statements that only read run on the primary"]
    );
    assert_eq!(world.dormouse.show("shop")["replicas"], 1);
}

/// How many statements the checker runs.
fn statements() -> u64 {
    let set = std::env::var("DORMOUSE_READS_STATEMENTS").ok();
    set.map_or(600, |text| text.parse().unwrap())
}

#[test]
fn no_session_goes_back_in_time() {
    let world = World::start(2, "any");
    let reads = ["replica", "any", "replica"];
    let mut sessions: Vec<Client> = reads
        .iter()
        .map(|reads| {
            let mut client = world.client();
            client.query(&format!("SET DORMOUSE READS = {reads}")).ok();
            client.query("USE s").ok();
            client
        })
        .collect();
    let mut platforms: Vec<Client> = (0..2).map(|replica| world.platform(replica)).collect();
    let mut stopped = [false; 2];
    let mut seen = [0_u64; 3];
    let mut dice = Dice::new(13);
    let before = world.reads();
    let mut newest = 0_u64;
    for n in 0..statements() {
        let session = dice.index(sessions.len());
        let client = &mut sessions[session];
        match dice.below(20) {
            0 => {
                // lag: a replica stops applying, and goes on some statements later
                let replica = dice.index(2);
                let verb = if stopped[replica] { "START" } else { "STOP" };
                stopped[replica] = !stopped[replica];
                platforms[replica]
                    .query(&format!("{verb} SLAVE SQL_THREAD"))
                    .ok();
            }
            1..=3 => {
                newest += 1;
                client
                    .query(&format!("UPDATE t SET n = {newest} WHERE id = 1"))
                    .ok();
                seen[session] = newest;
            }
            4 => {
                client.query("BEGIN").ok();
                newest += 1;
                client
                    .query(&format!("UPDATE t SET n = {newest} WHERE id = 1"))
                    .ok();
                client.query("COMMIT").ok();
                seen[session] = newest;
            }
            5 => {
                let text = "/* dormouse: primary */ SELECT n FROM t WHERE id = 1";
                seen[session] = client.query(text).value().parse().unwrap();
            }
            _ => {
                let read = client.query("SELECT n FROM t WHERE id = 1").value();
                let read: u64 = read.parse().unwrap();
                assert!(
                    read >= seen[session],
                    "statement {n}: session {session} reads {read} after {}",
                    seen[session]
                );
                seen[session] = read;
            }
        }
    }
    let reads = world.reads() - before;
    let pool = world.dormouse.json(&["pool", "shop"]);
    println!(
        "{} statements, {reads} on replicas: {}",
        statements(),
        pool["reads"]
    );
    assert!(reads > statements() / 20, "only {reads} reads on replicas");
    for (replica, platform) in platforms.iter_mut().enumerate() {
        if stopped[replica] {
            platform.query("START SLAVE SQL_THREAD").ok();
        }
    }
}
