//! A server that is used directly, and a sleeping database.

use std::fmt::Display;
use std::path::PathBuf;

use dormouse_testkit::{Client, Created, Dormouse};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::{Event, ReplyFramer};
use dormouse_wire::reply::OkPacket;

use crate::script::{Action, Step};

/// Kind of client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) capabilities: Capabilities,
    pub(crate) collation: u8,
}

/// All kinds by capability, and some by collation.
pub(crate) fn kinds() -> Vec<Kind> {
    let bits = [
        Capabilities::DEPRECATE_EOF,
        Capabilities::SESSION_TRACK,
        Capabilities::EXTENDED_METADATA,
    ];
    let plain = bits
        .iter()
        .fold(Client::plain_capabilities(), |all, bit| all - *bit);
    let chosen = |n: u8| {
        let some = bits.iter().enumerate().filter(|(at, _)| n >> at & 1 == 1);
        some.fold(plain, |all, (_, bit)| all | *bit)
    };
    let by_bits = (0..8).map(|n| Kind {
        capabilities: chosen(n),
        collation: 45,
    });
    let by_collation = [8, 33, 46, 83, 192, 224, 255].map(|collation| Kind {
        capabilities: chosen(3),
        collation,
    });
    let odd = [Capabilities::IGNORE_SPACE, Capabilities::INTERACTIVE].map(|bit| Kind {
        capabilities: chosen(1) | bit,
        collation: 224,
    });
    by_bits.chain(by_collation).chain(odd).collect()
}

/// Both sides.
pub(crate) struct World {
    pub(crate) dormouse: Dormouse,
    plain: Created,
    socket: PathBuf,
    pub(crate) asleep: Created,
    pub(crate) watcher: Client,
}

/// Queries at the end, awake: everything that may have been set.
const TRUTH: [&str; 3] = [
    "SELECT ROW_COUNT(), FOUND_ROWS()",
    "SELECT @@autocommit, @@sql_mode, @@time_zone, @@tx_isolation, @@tx_read_only, \
     @@character_set_client, @@character_set_results, @@collation_connection, 'x', \
     @@wait_timeout, @@sql_select_limit, @@foreign_key_checks, @@unique_checks, @@sql_auto_is_null, \
     @@lock_wait_timeout, @@max_statement_time, @@session_track_system_variables, DATABASE(), \
     @@in_transaction FROM information_schema.COLLATIONS WHERE ID = 45",
    // begins a transaction without autocommit, which may be read only
    "UPDATE d.t SET i = 2 WHERE i = 1",
];

impl World {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With more in the configuration.
    pub(crate) fn with(config: &str) -> Self {
        let dormouse = Dormouse::start_with(&format!(
            "never_wakes = [\"monitor\", \"program:mysqld_exporter\"]\n\
             [defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n{config}"
        ));
        let plain = dormouse.create("plain", &[]);
        let asleep = dormouse.create("asleep", &[]);
        let folder = dormouse.instance("plain");
        let mut watcher = Client::unix(dormouse.socket());
        watcher.login(&asleep.user, &asleep.password, None).ok();
        let world = Self {
            watcher,
            socket: folder.join("mysqld.sock"),
            dormouse,
            plain,
            asleep,
        };
        let kind = kinds()[1];
        // the default without a proxy, for later logins
        let usual = "SET GLOBAL session_track_state_change = OFF, \
                     wait_timeout = 28800, interactive_timeout = 28800";
        world.dormouse.platform("plain").query(usual).ok();
        for mut client in [world.server(kind), world.dormouse(kind)] {
            client.query("CREATE DATABASE d").ok();
            client.query("CREATE TABLE d.t (i INT)").ok();
            client.query("INSERT INTO d.t VALUES (1)").ok();
        }
        world.sleep();
        world
    }

    /// Whether the servers have this version.
    pub(crate) fn is_version(&self, line: &str) -> bool {
        let mut client = self.server(kinds()[1]);
        client.query("SELECT VERSION()").value().starts_with(line)
    }

    pub(crate) fn sleep(&self) {
        let _ = self.dormouse.json(&["park", "asleep"]);
    }

    /// Number of wakes of the database.
    pub(crate) fn wakes(&self) -> usize {
        let events = self.dormouse.json(&["events", "asleep"]);
        let all = events.as_array().unwrap().iter();
        all.filter(|event| event["cause"] == "demand").count()
    }

    /// Whether its server sleeps; called often.
    pub(crate) fn is_asleep(&mut self) -> bool {
        let rows = self.watcher.query("SHOW DORMOUSE SESSION").rows();
        let server = rows.iter().find(|row| row[0].as_deref() == Some("server"));
        server.unwrap()[1].as_deref() == Some("asleep")
    }

    fn login(mut client: Client, who: (&str, &str), kind: Kind) -> Client {
        client.capabilities = kind.capabilities;
        client.collation = kind.collation;
        client.login(who.0, who.1, None).ok();
        // FOUND_ROWS() before the first statement is undefined
        client.query("SELECT 1").value();
        client
    }

    /// A client of the server.
    pub(crate) fn server(&self, kind: Kind) -> Client {
        let client = Client::unix(&self.socket);
        Self::login(client, ("admin", &self.plain.password), kind)
    }

    /// A client of Dormouse.
    pub(crate) fn dormouse(&self, kind: Kind) -> Client {
        let client = Client::unix(self.dormouse.socket());
        Self::login(client, (&self.asleep.user, &self.asleep.password), kind)
    }

    /// Runs steps on the server and on the sleeping database, with a client of each kind, then wakes it
    /// and compares the settings in force.
    pub(crate) fn compare(&mut self, steps: &[Step], kinds: &[Kind]) {
        let mut pairs = Vec::new();
        for kind in kinds {
            let mut pair = Pair::new(self, *kind);
            for step in steps {
                pair.same(step);
                assert!(self.is_asleep(), "woken by {step}\n{}", pair.history);
            }
            pairs.push(pair);
        }
        for mut pair in pairs {
            for text in TRUTH.map(str::to_owned) {
                let action = Action::Query(text);
                let session = 'a';
                pair.same(&Step { session, action });
            }
            assert!(!self.is_asleep(), "nobody was asked");
            for client in &mut pair.clients {
                // releases the locks of its changes
                client.query("ROLLBACK").ok();
                client.query("UPDATE d.t SET i = 1");
            }
        }
        self.tidy();
        self.sleep();
    }

    /// As [`compare`](Self::compare), for a script whose steps may wake the database. Returns the number of
    /// statements answered asleep.
    pub(crate) fn compare_loosely(&mut self, steps: &[Step], kind: Kind) -> usize {
        let mut pair = Pair::new(self, kind);
        let mut answered = 0;
        for step in steps {
            pair.same(step);
            if self.is_asleep() {
                answered += 1;
            }
        }
        for text in TRUTH {
            let action = Action::Query(text.to_owned());
            pair.same(&Step {
                session: 'a',
                action,
            });
        }
        drop(pair);
        self.tidy();
        self.sleep();
        answered
    }

    /// Restores the initial data on both sides.
    fn tidy(&self) {
        let kind = kinds()[1];
        for mut client in [self.server(kind), self.dormouse(kind)] {
            client.query("UPDATE d.t SET i = 1").ok();
        }
    }
}

/// A client of each side; both do the same.
pub(crate) struct Pair {
    kind: Kind,
    pub(crate) clients: [Client; 2],
    pub(crate) history: String,
}

impl Pair {
    pub(crate) fn new(world: &World, kind: Kind) -> Self {
        Self {
            kind,
            clients: [world.server(kind), world.dormouse(kind)],
            history: format!("{kind:?}\n"),
        }
    }

    pub(crate) fn same(&mut self, step: &Step) {
        self.alike(step, |client| run(client, step));
    }

    /// Does the same on both sides: the replies must be equal.
    pub(crate) fn alike(&mut self, what: impl Display, run: impl FnMut(&mut Client) -> Vec<u8>) {
        self.history.push_str(&format!("{what}\n"));
        let [expected, found] = self.clients.each_mut().map(run);
        assert!(
            told(&expected, self.kind) == told(&found, self.kind),
            "{}server:   {}\ndormouse: {}",
            self.history,
            expected.escape_ascii(),
            found.escape_ascii()
        );
    }
}

/// Runs one step and returns the bytes of the reply.
pub(crate) fn run(client: &mut Client, step: &Step) -> Vec<u8> {
    let mut ask = |command, argument: &[u8]| {
        client
            .exchange_whole(command, argument)
            .unwrap_or_else(|e| format!("the connection ended: {e}").into_bytes())
    };
    match &step.action {
        Action::Query(text) => ask(Command::Query, text.as_bytes()),
        Action::Ping => ask(Command::Ping, b""),
        Action::Reset => ask(Command::ResetConnection, b""),
        Action::Use(schema) => ask(Command::InitDb, schema.as_bytes()),
        other => panic!("{other:?} wakes"),
    }
}

/// Normalises a reply. The order in which a server reports several variables may depend on their
/// addresses in its memory, so those of an OK packet are sorted.
pub(crate) fn told(reply: &[u8], kind: Kind) -> (Vec<u8>, Vec<String>) {
    let mut framer = ReplyFramer::new(ReplyKind::ResultSet, kind.capabilities);
    let whole = matches!(framer.feed(reply).map(|step| step.event), Ok(Event::End(_)));
    let ok = reply.get(4..).filter(|payload| payload.first() == Some(&0));
    let Some(Ok(mut ok)) = ok
        .filter(|_| whole)
        .map(|payload| OkPacket::parse(payload, kind.capabilities))
    else {
        return (reply.to_vec(), Vec::new());
    };
    let mut changes: Vec<_> = ok
        .session_changes
        .iter()
        .map(|c| format!("{c:?}"))
        .collect();
    changes.sort();
    ok.session_changes.clear();
    let header = reply[..4].to_vec();
    let rest = format!("{ok:?}").into_bytes();
    ([header, rest].concat(), changes)
}
