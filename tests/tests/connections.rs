//! One id for a connection: in expressions, lists, locks, `KILL` and error texts, whatever backend a session is on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeSet;
use std::sync::Barrier;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::command::Command;

/// A Dormouse whose databases never sleep by themselves, with `most` backends for each.
fn with_backends(most: u32) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[pool]\nbackends_max = {most}\n"
    ));
    let who = dormouse.create("shop", &[]);
    let mut platform = dormouse.platform("shop");
    platform.query("CREATE DATABASE app").ok();
    platform
        .query("CREATE TABLE app.t (a INT PRIMARY KEY, n BIGINT DEFAULT CONNECTION_ID()) ENGINE=InnoDB")
        .ok();
    (dormouse, who)
}

/// Ids as a program keeps them: in a variable of its own.
fn id(client: &mut Client, text: &str) -> u32 {
    client.query(text).value().parse().unwrap()
}

#[test]
fn a_connection_id_is_the_same_in_every_expression_and_on_every_backend() {
    let (dormouse, who) = with_backends(1);
    let mut client = dormouse.connect(&who);
    let mut rival = dormouse.connect(&who);
    let own = client.id();
    client.query("USE app").ok();
    client
        .query("CREATE FUNCTION who() RETURNS BIGINT RETURN CONNECTION_ID()")
        .ok();
    client
        .query("CREATE VIEW v AS SELECT CONNECTION_ID() AS id")
        .ok();
    client
        .query("CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW SET NEW.n = CONNECTION_ID()")
        .ok();
    for round in 0..4 {
        let prepared = client.prepare("SELECT CONNECTION_ID() + 0");
        match round {
            1 => {
                // on the same backend, in the same state
                rival.query("USE app").ok();
                rival.query("SELECT 1").value();
            }
            2 => drop(dormouse.json(&["park", "shop"])),
            3 => process::kill(dormouse.server("shop")),
            _ => {}
        }
        for text in [
            "SELECT CONNECTION_ID() FROM DUAL WHERE 1",
            "SELECT CONNECTION_ID() + 0",
            "SELECT who()",
            "SELECT id FROM v",
            "SELECT @@pseudo_thread_id",
            "SELECT id FROM information_schema.PROCESSLIST WHERE id = CONNECTION_ID()",
        ] {
            assert_eq!(id(&mut client, text), own, "{text}, round {round}");
        }
        client
            .query(&format!("INSERT INTO t (a) VALUES ({round})"))
            .ok();
        let row = format!("SELECT n FROM t WHERE a = {round}");
        assert_eq!(id(&mut client, &row), own, "a trigger");
        client.command(Command::StmtExecute, &execution(prepared));
        let reply = client.binary_reply();
        let row = &reply[reply.len() - 2];
        assert_eq!(row.get(2..6), Some(&own.to_le_bytes()[..]), "prepared");
        client.command(Command::ResetConnection, b"");
        client.receive().unwrap();
        client.query("USE app").ok();
        assert_eq!(id(&mut client, "SELECT who()"), own, "after a reset");
    }
}

/// The argument of a COM_STMT_EXECUTE without parameters.
fn execution(statement: u32) -> Vec<u8> {
    let mut argument = statement.to_le_bytes().to_vec();
    argument.extend([0, 1, 0, 0, 0]);
    argument
}

#[test]
fn nobody_gives_itself_the_id_of_another() {
    let (dormouse, who) = with_backends(1);
    let mut client = dormouse.connect(&who);
    let own = client.id();
    for text in [
        "CALL mysql.dormouse_attach(7, REPEAT('0', 64))",
        "CALL mysql.dormouse_attach(7, NULL)",
        "CALL mysql.dormouse_attach(NULL, NULL)",
        "SET pseudo_thread_id = 7",
        "DROP PROCEDURE mysql.dormouse_attach",
        "CREATE OR REPLACE PROCEDURE mysql.dormouse_attach(id INT, proof INT) SELECT 1",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC",
        "REVOKE EXECUTE ON PROCEDURE mysql.dormouse_attach FROM PUBLIC",
    ] {
        let error = client.query(text).err();
        assert!(
            [1227, 1044, 1142, 1370, 1644].contains(&error.code),
            "{text}: {error:?}"
        );
        assert_eq!(id(&mut client, "SELECT CONNECTION_ID() + 0"), own, "{text}");
    }
    let key = "SELECT IFNULL(LOAD_FILE(CONCAT(@@secure_file_priv, 'attach.key')), 'hidden')";
    assert_eq!(client.query(key).value(), "hidden");
    assert!(dormouse.instance("shop").join("files/attach.key").is_file());
}

#[test]
fn lists_show_sessions_by_their_ids_whoever_asks() {
    let (dormouse, who) = with_backends(2);
    let mut asker = dormouse.connect(&who);
    let mut locker = dormouse.connect(&who);
    let resting = dormouse.connect(&who);
    locker.query("BEGIN").ok();
    locker.query("INSERT INTO app.t (a) VALUES (1)").ok();
    assert_eq!(locker.query("SELECT GET_LOCK('l', 1)").value(), "1");

    let mut expected = vec![asker.id(), locker.id(), resting.id()];
    expected.sort_unstable();
    // as drivers keep them: some read the id as a signed number
    assert!(expected.iter().all(|id| *id < 1 << 31));
    let list = "SELECT id FROM information_schema.processlist WHERE user = 'admin' ORDER BY id";
    let ids = |reply: Vec<Vec<Option<String>>>| -> Vec<u32> {
        let ids = reply.into_iter().map(|row| row[0].clone().unwrap());
        ids.map(|id| id.parse().unwrap()).collect()
    };
    assert_eq!(ids(asker.query(list).rows()), expected);
    let mut shown = ids(asker.query("SHOW PROCESSLIST").rows());
    shown.retain(|id| expected.contains(id));
    shown.sort_unstable();
    assert_eq!(shown, expected);
    let own = "SELECT info FROM information_schema.processlist p WHERE p.id = CONNECTION_ID()";
    assert_eq!(asker.query(own).value(), own);

    for text in [
        "SELECT IS_USED_LOCK('l')",
        "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0",
        "SELECT THREAD_ID FROM information_schema.METADATA_LOCK_INFO WHERE LOCK_TYPE = 'User lock'",
    ] {
        assert_eq!(id(&mut asker, text), locker.id(), "{text}");
    }
    let text = format!("SHOW EXPLAIN FOR {}", locker.id());
    assert_eq!(asker.query(&text).err().code, 1933, "it runs nothing");
    let status = asker.query("SHOW ENGINE INNODB STATUS").rows()[0][2].clone();
    let named = format!("thread id {},", locker.id());
    assert!(status.unwrap().contains(&named));

    // a name of a column is that of the client's text
    let reply = asker
        .exchange_whole(Command::Query, b"SELECT IS_USED_LOCK('l')")
        .unwrap();
    let name = b"IS_USED_LOCK('l')";
    assert!(reply.windows(name.len()).any(|part| part == name));

    assert_eq!(id(&mut asker, "SELECT IFNULL(IS_USED_LOCK('free'), 0)"), 0);

    // in every form of a statement
    let by_id = "select id from information_schema.processlist where id = ?";
    asker.query(&format!("PREPARE s FROM '{by_id}'")).ok();
    asker.query("SET @i = CONNECTION_ID()").ok();
    assert_eq!(id(&mut asker, "EXECUTE s USING @i"), asker.id());
    let immediate = format!("EXECUTE IMMEDIATE '{by_id}' USING @i");
    assert_eq!(id(&mut asker, &immediate), asker.id());
    asker
        .query("CREATE TABLE app.l AS SELECT id, Info FROM information_schema.processlist")
        .ok();
    let columns =
        "SELECT GROUP_CONCAT(COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_NAME = 'l'";
    assert_eq!(asker.query(columns).value(), "id,Info");

    let prepared = asker.prepare("SHOW PROCESSLIST");
    asker.command(Command::StmtExecute, &execution(prepared));
    let rows = asker.binary_reply();
    let listed = |id: u32| {
        let id = id.to_le_bytes();
        rows.iter().any(|row| row.windows(4).any(|part| part == id))
    };
    assert!(listed(asker.id()) && listed(resting.id()), "{rows:?}");
    let prepared = prepared_id(&dormouse, &who);
    assert_eq!(
        prepared.0, prepared.1,
        "as the first statement of a session"
    );

    // prepared: each execution shows what is so then
    let statement = asker.prepare("SELECT IS_USED_LOCK('l') IS NULL");
    let free = |asker: &mut Client| {
        asker.command(Command::StmtExecute, &execution(statement));
        let reply = asker.binary_reply();
        reply[reply.len() - 2][2]
    };
    assert_eq!(free(&mut asker), 0);
    locker.query("ROLLBACK").ok();
    locker.query("SELECT RELEASE_ALL_LOCKS()").value();
    assert_eq!(free(&mut asker), 1);
}

/// The id of a new session, and what it gets by a prepared statement before any other.
fn prepared_id(dormouse: &Dormouse, who: &Created) -> (u32, u32) {
    let mut client = dormouse.connect(who);
    let prepared = client.prepare("SELECT CONNECTION_ID()");
    client.command(Command::StmtExecute, &execution(prepared));
    let reply = client.binary_reply();
    let row = &reply[reply.len() - 2];
    let told = row
        .get(2..6)
        .map(|id| u32::from_le_bytes(id.try_into().unwrap()));
    (client.id(), told.unwrap())
}

#[test]
fn kill_takes_every_form_of_an_id() {
    let (dormouse, who) = with_backends(3);
    let mut killer = dormouse.connect(&who);
    let mut victim = dormouse.connect(&who);
    let victim_id = victim.id();
    killer.query(&format!("SET @id = {victim_id}")).ok();
    for form in [
        format!("{victim_id}"),
        format!("'{victim_id}'"),
        format!("{victim_id} + 0"),
        "@id".to_owned(),
        format!("CAST('{victim_id}' AS UNSIGNED)"),
        "(SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(60)%')"
            .to_owned(),
    ] {
        victim.command(Command::Query, b"SELECT SLEEP(60), 1 FROM DUAL");
        until_it_runs(&mut killer, "SELECT SLEEP(60)");
        killer.query(&format!("KILL QUERY {form}")).ok();
        let ended = victim.result().unwrap();
        let error = format!("{:?}", ended.err());
        assert!(error.contains("1317"), "{form}: {error}");
    }
    let prepared = killer.prepare("KILL QUERY ?");
    victim.command(Command::Query, b"SELECT SLEEP(60), 1 FROM DUAL");
    until_it_runs(&mut killer, "SELECT SLEEP(60)");
    // one parameter, of type BIGINT
    let mut execute = execution(prepared);
    execute.extend([0, 1, 8, 0]);
    execute.extend(u64::from(victim_id).to_le_bytes());
    killer.command(Command::StmtExecute, &execute);
    assert_eq!(killer.receive().unwrap().first(), Some(&0), "OK");
    assert_eq!(victim.result().unwrap().err().code, 1317);

    assert_eq!(killer.query("KILL QUERY CONNECTION_ID()").err().code, 1317);
    assert_eq!(killer.query("KILL QUERY 1 + 1").err().code, 1094);
    assert_eq!(killer.query("KILL QUERY no_column + 1").err().code, 1054);

    let own = format!("KILL QUERY {}", killer.id());
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(
        killer.query(&own).err().code,
        1317,
        "without a backend, too"
    );

    // the other's connection is closed when the answer is there
    killer.query(&format!("KILL {victim_id}")).ok();
    let mut byte = [0];
    assert!(matches!(victim.read(&mut byte), Ok(0) | Err(_)));
    assert_eq!(killer.query(&format!("KILL {victim_id}")).err().code, 1094);
}

#[test]
fn kill_user_ends_the_sessions_of_a_user() {
    let (dormouse, who) = with_backends(2);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE USER bob IDENTIFIED BY 'secret'").ok();
    let bob = |dormouse: &Dormouse| {
        let mut client = Client::tcp(dormouse.address());
        client.login("shop.bob", "secret", None).ok();
        client
    };
    let mut others = [bob(&dormouse), bob(&dormouse)];
    let mut byte = [0];
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(owner.query("KILL USER bob@'%'").ok().affected, 2);
    for client in &mut others {
        assert!(
            matches!(client.read(&mut byte), Ok(0) | Err(_)),
            "it is closed"
        );
    }
    let mut running = bob(&dormouse);
    running.command(Command::Query, b"SELECT SLEEP(60), 1 FROM DUAL");
    until_it_runs(&mut owner, "SELECT SLEEP(60)");
    assert_eq!(owner.query("KILL USER 'bob'").ok().affected, 1);
    assert!(running.result().is_err(), "it is closed");
    let mut rival = bob(&dormouse);
    assert_eq!(rival.query("KILL USER admin").ok().affected, 0);
    assert_eq!(rival.query("KILL USER CURRENT_USER()").err().code, 1927);
    owner.query("SELECT 1 FROM app.t").rows();
}

/// Waits until a statement runs.
fn until_it_runs(watcher: &mut Client, begins: &str) {
    let text = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE info LIKE '{begins}%' AND command = 'Query' AND id <> CONNECTION_ID()"
    );
    process::until("it runs", || watcher.query(&text).value() == "1");
}

#[test]
fn kill_ends_statements_of_others_from_within_a_text() {
    let (dormouse, who) = with_backends(3);
    let mut killer = dormouse.connect(&who);
    let mut victim = dormouse.connect(&who);
    let id = victim.id();
    killer.query(&format!("SET @id = {id}")).ok();
    for text in [
        format!("SELECT 1; KILL QUERY {id}; SELECT 2"),
        "DO 0; KILL QUERY @id".to_owned(),
        format!("BEGIN NOT ATOMIC KILL QUERY {id}; END"),
        format!("EXECUTE IMMEDIATE 'KILL QUERY {id}'"),
    ] {
        victim.command(Command::Query, b"SELECT SLEEP(60), 1 FROM DUAL");
        until_it_runs(&mut killer, "SELECT SLEEP(60)");
        let done = killer.query(&text);
        assert!(!matches!(done, Reply::Err(_)), "{text}: {done:?}");
        assert_eq!(victim.result().unwrap().err().code, 1317, "{text}");
    }
    // a session without a backend
    assert!(output_of(&mut dormouse.command(&["park", "shop"])).0);
    let text = format!("SELECT 1; KILL QUERY {id}; SELECT 2");
    assert_eq!(killer.query(&text).value(), "2");
    let missing = killer.query("SELECT 1; KILL QUERY 99999999").err();
    assert_eq!(missing.code, 1094);
}

/// The cut-over of an online schema change as gh-ost does it (`go/logic/applier.go`, `AtomicCutOverMagicLock`): one
/// session holds a lock named after its id and locks two tables, another one waits to swap them, and a third one finds
/// the waiting one by its id in the list of processes.
#[test]
fn the_cut_over_of_an_online_schema_change_finds_its_sessions() {
    let (dormouse, who) = with_backends(4);
    let mut control = dormouse.connect(&who);
    for text in [
        "USE app",
        "CREATE TABLE _t_gho (a INT PRIMARY KEY, b INT, n BIGINT) ENGINE=InnoDB",
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO _t_gho (a, b) VALUES (1, 2)",
    ] {
        control.query(text).ok();
    }
    let mut locking = dormouse.connect(&who);
    let mut renaming = dormouse.connect(&who);
    let mut writing = dormouse.connect(&who);
    for client in [&mut locking, &mut renaming, &mut writing] {
        client.query("USE app").ok();
    }
    locking.query("BEGIN").ok();
    let locking_id = id(&mut locking, "select connection_id()");
    let lock = format!("gh-ost.{locking_id}.lock");
    let taken = locking
        .query(&format!("select get_lock('{lock}', 0)"))
        .value();
    assert_eq!(taken, "1");
    locking.query("set session lock_wait_timeout:=10").ok();
    locking
        .query("create table `app`.`_t_del` (id int auto_increment primary key) engine=InnoDB comment='ghost-cut-over-sentry'")
        .ok();
    locking
        .query("lock /* gh-ost */ tables `app`.`t` write, `app`.`_t_del` write")
        .ok();
    writing.command(Command::Query, b"INSERT INTO t (a) VALUES (2)");

    let renaming_id = id(&mut renaming, "select connection_id()");
    renaming.query("set session lock_wait_timeout:=10").ok();
    renaming.command(
        Command::Query,
        b"rename /* gh-ost */ table `app`.`t` to `app`.`_t_del`, `app`.`_t_gho` to `app`.`t`",
    );
    let waits = format!(
        "select id from information_schema.processlist where id != connection_id() and {renaming_id} in (0, id) \
         and state like concat('%', 'metadata lock', '%') and info like concat('%', 'rename', '%')"
    );
    process::until("the rename is seen to wait", || {
        let rows = control.query(&waits).rows();
        rows == [[Some(renaming_id.to_string())]]
    });
    let held = format!("select is_used_lock('{lock}')");
    assert_eq!(
        id(&mut control, &held),
        locking_id,
        "the lock is still held by it"
    );

    locking.query("drop table if exists `app`.`_t_del`").ok();
    locking.query("unlock tables").ok();
    renaming.result().unwrap().ok();
    locking.query("ROLLBACK").ok();
    // the write that waited goes to the new table; to the old one if the rename waits for the sentry alone until then
    writing.result().unwrap().ok();
    assert_eq!(control.query("SELECT b FROM t WHERE a = 1").value(), "2");
    let all = "SELECT (SELECT COUNT(*) FROM t) + (SELECT COUNT(*) FROM _t_del)";
    assert_eq!(control.query(all).value(), "3");
}

#[test]
fn kill_needs_no_backend() {
    let (dormouse, who) = with_backends(1);
    let mut holder = dormouse.connect(&who);
    let mut killer = dormouse.connect(&who);
    holder.command(Command::Query, b"SELECT SLEEP(60), 1 FROM DUAL");
    until_it_runs(&mut dormouse.platform("shop"), "SELECT SLEEP(60)");
    killer.query(&format!("KILL QUERY {}", holder.id())).ok();
    assert_eq!(holder.result().unwrap().err().code, 1317);
    holder.query("BEGIN").ok();
    holder.query("INSERT INTO app.t (a) VALUES (1)").ok();
    killer.query(&format!("KILL {}", holder.id())).ok();
    assert_eq!(killer.query("SELECT COUNT(*) FROM app.t").value(), "0");
}

/// What a client finds whose connection is killed while it sends a statement: its answer, and whether the connection is
/// closed then.
fn killed_in_between(
    victim: &mut Client,
    killer: &mut Client,
    text: &str,
    pause: usize,
) -> (String, bool) {
    let kill = format!("KILL {}", victim.id());
    let begin = Barrier::new(2);
    let found = std::thread::scope(|scope| {
        let killing = scope.spawn(|| {
            begin.wait();
            killer.query(&kill).ok();
        });
        begin.wait();
        for _ in 0..pause {
            std::hint::spin_loop();
        }
        let found = match victim.try_query(text) {
            Ok(Reply::Err(error)) => format!("error {}", error.code),
            Ok(_) => "an answer".to_owned(),
            Err(_) => "closed".to_owned(),
        };
        killing.join().unwrap();
        found
    });
    (found, victim.try_query("SELECT 1 FROM app.t").is_err())
}

#[test]
fn who_is_killed_while_sending_a_statement_finds_what_a_server_would_do() {
    const ROUNDS: usize = 170;
    let (dormouse, who) = with_backends(20);
    let mut admin = dormouse.connect(&who);
    for text in [
        "CREATE USER bob IDENTIFIED BY 'b'",
        "GRANT ALL ON app.* TO bob",
        "CREATE PROCEDURE app.p() DO GET_LOCK('p', 0)",
    ] {
        admin.query(text).ok();
    }
    let socket = dormouse.instance("shop").join("mysqld.sock");
    let on_server = |user: &str, password: &str| {
        let mut client = Client::unix(&socket);
        client.login(user, password, None).ok();
        client
    };
    let through = |user: &str, password: &str| {
        let mut client = Client::tcp(dormouse.address());
        client.login(&format!("shop.{user}"), password, None).ok();
        client
    };
    type Connect<'a> = &'a dyn Fn(&str, &str) -> Client;
    let places: [(&str, Connect<'_>); 2] = [
        ("on the server", &on_server),
        ("through Dormouse", &through),
    ];
    // the platform may kill all connections of the server, as an owner may kill all sessions
    let mut platform = dormouse.platform("shop");
    for (place, connect) in places {
        let mut own_killer = connect("bob", "b");
        for before in [
            &[][..],
            &["CREATE TEMPORARY TABLE app.x (i INT)"],
            &["BEGIN", "SELECT * FROM app.t"],
            &["DO GET_LOCK('a', 0)"],
            &["CALL app.p()"],
            &["SET @a = 1"],
        ] {
            let mut found = BTreeSet::new();
            for round in 0..ROUNDS {
                let mut victim = connect("bob", "b");
                for text in before {
                    let _ = victim.query(text);
                }
                let texts = [
                    "SELECT COUNT(*) FROM app.t",
                    "DO SLEEP(0)",
                    "SELECT @@wait_timeout, COUNT(*) FROM app.t",
                    "SET @b = 1",
                ];
                let killer = match (round % 2, place) {
                    (0, _) => &mut own_killer,
                    (_, "on the server") => &mut platform,
                    _ => &mut admin,
                };
                let (text, pause) = (texts[round % 4], round * 37 % 4001);
                found.insert(killed_in_between(&mut victim, killer, text, pause));
            }
            let allowed = ["an answer", "closed"].map(|what| (what.to_owned(), true));
            assert!(
                found.iter().all(|one| allowed.contains(one)),
                "{place}, after {before:?}: {found:?}"
            );
        }
    }
}
