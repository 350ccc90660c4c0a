//! The two sides: a server, and Dormouse.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;

use crate::script::{Action, Step};

/// Backends shared by the sessions of a script and their rivals.
const BACKENDS: usize = 4;

/// Both sides, with counts of the interruptions.
pub(crate) struct World {
    dormouse: Dormouse,
    /// The database whose server is used directly; it never sleeps.
    plain: Created,
    /// The server's socket.
    socket: PathBuf,
    moved: Created,
    rivals: Vec<Client>,
    done: BTreeMap<&'static str, u64>,
}

/// A difference of the two sides.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Number of the step.
    pub(crate) at: usize,
    history: String,
    plain: Vec<u8>,
    moved: Vec<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.history)?;
        writeln!(f, "server:   {}", readable(&self.plain))?;
        write!(f, "dormouse: {}", readable(&self.moved))
    }
}

fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let [a, b, c, seq, tail @ ..] = rest {
        let len = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        let (payload, tail) = tail.split_at(len.min(tail.len()));
        text.push_str(&format!("\n  {seq}: {}", payload.escape_ascii()));
        rest = tail;
    }
    text
}

/// The sessions of one side.
#[derive(Default)]
pub(crate) struct Side {
    clients: BTreeMap<char, Client>,
    prepared: BTreeMap<(char, String), u32>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// One whose database has a replica with all that is told, which reads if it may.
    pub(crate) fn with_a_replica() -> Self {
        let settings = "--replicas 1 --durability replica --reads replica";
        let world = Self::with(&settings.split(' ').collect::<Vec<_>>());
        world.until_followed();
        world
    }

    /// One whose database gets these settings.
    fn with(settings: &[&str]) -> Self {
        let dormouse = Dormouse::start_with(&format!(
            "data_dirs = [\"{{dir}}/disk2\"]\n[warm_pool]\nsize = 0\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
             [pool]\nbackends_max = {BACKENDS}\nlease_timeout = \"200ms\"\n\
             [asleep]\nunderstudies = 1\n"
        ));
        let plain = dormouse.create("plain", &[]);
        let moved = dormouse.create("moved", &[]);
        // beside its data directory, like its error log
        let socket = dormouse.instance("plain").join("mysqld.sock");
        // the defaults without Dormouse
        let mut server = dormouse.platform("plain");
        for statement in [
            "SET GLOBAL session_track_state_change = OFF",
            "GRANT ALL PRIVILEGES ON *.* TO admin@'%' WITH GRANT OPTION",
        ] {
            server.query(statement).ok();
        }
        // for scripts with variables that owners may not set
        let right = "GRANT BINLOG ADMIN, BINLOG REPLAY ON *.* TO admin@'%'";
        dormouse.platform("moved").query(right).ok();
        if !settings.is_empty() {
            let _ = dormouse.json(&[&["set", "moved"], settings].concat());
        }
        let rivals = (0..BACKENDS).map(|_| dormouse.connect(&moved)).collect();
        Self {
            dormouse,
            plain,
            socket,
            moved,
            rivals,
            done: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) -> &'static str {
        *self.done.entry(what).or_default() += 1;
        what
    }

    /// Number of interruptions of each kind.
    pub(crate) fn summary(&self) -> String {
        format!("{:?}", self.done)
    }

    /// Number of interruptions of this kind.
    pub(crate) fn count_of(&self, what: &str) -> u64 {
        self.done.get(what).copied().unwrap_or(0)
    }

    /// Number of interruptions.
    pub(crate) fn strikes(&self) -> u64 {
        self.done.values().sum()
    }

    /// Runs statements of as many other clients as there are backends.
    pub(crate) fn steal(&mut self) -> &'static str {
        for rival in &mut self.rivals {
            // it may time out if all backends are pinned
            let _ = rival.query("DO 0");
        }
        self.count("steal")
    }

    pub(crate) fn suspend(&mut self) -> &'static str {
        let _ = self.dormouse.json(&["suspend", "moved"]);
        self.count("suspend")
    }

    /// Parks the database, unless a pin forbids it.
    pub(crate) fn park(&mut self) -> &'static str {
        let mut command = self.dormouse.command(&["park", "moved"]);
        if dormouse_testkit::dormouse::output_of(&mut command).0 {
            self.count("park")
        } else {
            self.count("park vetoed")
        }
    }

    /// Kills the server, if no session of the script is pinned and the state of each is known.
    pub(crate) fn kill(&mut self, side: &mut Side) -> &'static str {
        if !side.clients.values_mut().all(is_free) {
            return self.count("kill spared");
        }
        process::kill(self.dormouse.server("moved"));
        self.count("kill")
    }

    /// Moves the database to the other data directory, if no session of the script is pinned.
    pub(crate) fn relocate(&mut self, side: &mut Side) -> &'static str {
        // those of a database that sleeps would wake it
        let asleep = self.dormouse.state("moved") == "parked";
        if !asleep && !side.clients.values_mut().all(is_unpinned) {
            return self.count("move spared");
        }
        let dirs = [self.dormouse.data_dir(), self.dormouse.dir().join("disk2")];
        let shown = self.dormouse.show("moved");
        let other = dirs
            .iter()
            .find(|dir| shown["root"] != dir.to_str().unwrap());
        let to = other.unwrap().to_str().unwrap();
        let _ = self.dormouse.json(&["move", "moved", "--to", to]);
        self.count(if asleep { "move asleep" } else { "move" })
    }

    /// Kills the primary, whose files are gone then, if no session of the script is pinned and the state of each is known; waits
    /// until it has a replica again.
    pub(crate) fn lose(&mut self, side: &mut Side) -> &'static str {
        if !side.clients.values_mut().all(is_unpinned) {
            return self.count("loss spared");
        }
        // Dormouse asks for the state of each a moment after its last statement
        let known = |_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            side.clients.values_mut().all(is_free)
        };
        if !(0..20).any(known) {
            return self.count("loss spared: not known");
        }
        let pid = self.dormouse.server("moved");
        let shown = self.dormouse.show("moved");
        let root = PathBuf::from(shown["root"].as_str().unwrap());
        let files = root.join("instances").join(shown["instance"].to_string());
        let lost = self.dormouse.dir().join("lost");
        // on the same disk: both directories are
        std::fs::rename(&files, &lost).unwrap();
        process::kill(pid);
        process::until("its server has ended", || {
            self.dormouse.servers().iter().all(|other| *other != pid)
        });
        process::until("its replica serves", || {
            self.dormouse.show("moved")["instance"] != shown["instance"]
        });
        std::fs::remove_dir_all(&lost).unwrap();
        // until then it does not wait for one, which its clients see
        self.until_followed();
        self.count("loss")
    }

    /// Waits until the database has a replica for which commits wait.
    fn until_followed(&self) {
        process::until("it has a replica", || {
            self.dormouse.show("moved")["followers"][0]["doing"] == "following"
        });
        let shown = self.dormouse.show("moved");
        let root = PathBuf::from(shown["root"].as_str().unwrap());
        let files = root.join("instances").join(shown["instance"].to_string());
        let mut server = self.dormouse.platform_in(&files);
        process::until("commits wait for the replica", || {
            let waits = server.query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
            waits.value() == "1"
        });
        // it is a setting of the database, which its clients see
        let timeout = "SELECT @@GLOBAL.rpl_semi_sync_master_timeout";
        let timeout = server.query(timeout).value();
        let set = format!("SET GLOBAL rpl_semi_sync_master_timeout = {timeout}");
        self.dormouse.platform("plain").query(&set).ok();
    }

    /// How many statements the replica has run.
    pub(crate) fn reads_on_replicas(&self) -> u64 {
        let pool = self.dormouse.json(&["pool", "moved"]);
        pool["reads"]["on_replicas"].as_u64().unwrap()
    }

    /// Session `o` is an old client, whose results end with EOF packets. Session `x` uses session
    /// tracking; the others do not, because the order in which a server reports several variables
    /// depends on their addresses in its memory.
    fn login(&self, moved: bool, who: char) -> Client {
        let (socket, user, password) = if moved {
            (self.dormouse.socket(), "moved.admin", &self.moved.password)
        } else {
            (self.socket.as_path(), "admin", &self.plain.password)
        };
        let mut client = Client::unix(socket);
        client.capabilities = client
            .capabilities
            .set(Capabilities::SESSION_TRACK, who == 'x')
            .set(Capabilities::DEPRECATE_EOF, who != 'o');
        client.login(user, password, None).ok();
        // FOUND_ROWS() before the first statement is undefined
        client.query("SELECT 1").value();
        client
    }

    fn fresh(&self, moved: bool) {
        let mut client = self.login(moved, 'a');
        for text in [
            "SET sql_mode = ''",
            "DROP DATABASE IF EXISTS d",
            "DROP DATABASE IF EXISTS e",
            "CREATE DATABASE d CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            "CREATE DATABASE e CHARACTER SET latin1",
            "CREATE OR REPLACE ROLE r",
            "CREATE TABLE d.a (i INT AUTO_INCREMENT PRIMARY KEY, n TINYINT, c VARCHAR(20))",
            "CREATE TABLE d.b LIKE d.a",
            "INSERT INTO d.a (n, c) VALUES (1, 'one'), (2, 'two'), (3, NULL)",
            "INSERT INTO d.b SELECT * FROM d.a",
        ] {
            client.query(text).ok();
        }
    }

    /// Runs a script on both sides. `strike` is called before each step.
    pub(crate) fn run(
        &mut self,
        steps: &[Step],
        mut strike: impl FnMut(&mut Self, &mut Side) -> &'static str,
    ) -> Result<(), Box<Difference>> {
        self.fresh(false);
        self.fresh(true);
        let mut sides = [Side::default(), Side::default()];
        let mut history = String::new();
        for (at, step) in steps.iter().enumerate() {
            let struck = strike(self, &mut sides[1]);
            if !struck.is_empty() {
                history.push_str(&format!("      ({struck})\n"));
            }
            history.push_str(&format!("{at:4}  {step}\n"));
            let [plain, moved] = [false, true].map(|moved| {
                let side = &mut sides[usize::from(moved)];
                side.step(step, || self.login(moved, step.session))
            });
            if plain != moved {
                return Err(Box::new(Difference {
                    at,
                    history,
                    plain,
                    moved,
                }));
            }
        }
        Ok(())
    }
}

/// Whether the session can lose its backend according to Dormouse.
fn is_free(client: &mut Client) -> bool {
    shows(client, "state", Some("known")) && is_unpinned(client)
}

/// Whether the session may move to another server according to Dormouse.
fn is_unpinned(client: &mut Client) -> bool {
    shows(client, "pin", None)
}

fn shows(client: &mut Client, name: &str, value: Option<&str>) -> bool {
    let rows = client.query("SHOW DORMOUSE SESSION").rows();
    let has =
        |row: &Vec<Option<String>>| row[0].as_deref() == Some(name) && row[1].as_deref() == value;
    rows.iter().any(has)
}

impl Side {
    fn step(&mut self, step: &Step, login: impl FnOnce() -> Client) -> Vec<u8> {
        let who = step.session;
        let client = self.clients.entry(who).or_insert_with(login);
        let mut ask = |command, argument: &[u8]| {
            client
                .exchange_whole(command, argument)
                .unwrap_or_else(|e| format!("    the connection ended: {e}").into_bytes())
        };
        match &step.action {
            Action::Query(text) => ask(Command::Query, text.as_bytes()),
            Action::Ping => ask(Command::Ping, b""),
            Action::Reset => {
                self.prepared.retain(|(session, _), _| *session != who);
                ask(Command::ResetConnection, b"")
            }
            Action::Use(schema) => ask(Command::InitDb, schema.as_bytes()),
            Action::Once(text, values) => {
                let mut reply = ask(Command::StmtPrepare, text.as_bytes());
                if let Some(id) = taken_id(&mut reply) {
                    let argument = execution(id, values, true);
                    reply.extend(ask(Command::StmtExecute, &argument));
                    ask(Command::StmtClose, &id.to_le_bytes());
                }
                reply
            }
            Action::Prepare(name, text) => {
                let mut reply = ask(Command::StmtPrepare, text.as_bytes());
                if let Some(id) = taken_id(&mut reply) {
                    self.prepared.insert((who, name.clone()), id);
                }
                reply
            }
            Action::Execute(name, values) => {
                let Some(id) = self.prepared.get(&(who, name.clone())) else {
                    return Vec::new();
                };
                ask(Command::StmtExecute, &execution(*id, values, true))
            }
        }
    }
}

/// Returns the statement id in the reply to a prepare, and masks it there.
fn taken_id(reply: &mut [u8]) -> Option<u32> {
    if reply.get(4) != Some(&0) {
        return None;
    }
    let id = reply.get_mut(5..9)?;
    let number = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
    id.fill(0);
    Some(number)
}

/// `COM_STMT_EXECUTE` with texts as parameters.
fn execution(id: u32, values: &[String], types: bool) -> Vec<u8> {
    let mut argument = id.to_le_bytes().to_vec();
    argument.extend_from_slice(&[0, 1, 0, 0, 0]);
    if values.is_empty() {
        return argument;
    }
    argument.extend(std::iter::repeat_n(0, values.len().div_ceil(8)));
    argument.push(u8::from(types));
    if types {
        values
            .iter()
            .for_each(|_| argument.extend_from_slice(&[0xfd, 0]));
    }
    for value in values {
        argument.push(u8::try_from(value.len()).unwrap());
        argument.extend_from_slice(value.as_bytes());
    }
    argument
}
