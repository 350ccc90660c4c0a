//! The commands in the middle of which a client disconnects.

use dormouse_testkit::{Client, Dice};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::packet::write_packet;

/// A command.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Its packets.
    pub(crate) packets: Vec<u8>,
    /// Layout of the reply.
    pub(crate) kind: ReplyKind,
    /// The packets of a file that the server requests.
    pub(crate) file: Vec<u8>,
    /// Whether the reply may contain tags of other sessions.
    pub(crate) names_others: bool,
}

fn scene(name: &'static str, command: Command, argument: &[u8]) -> Scene {
    let payload = [&[command as u8], argument].concat();
    let mut packets = Vec::new();
    write_packet(&mut packets, 0, &payload);
    Scene {
        name,
        packets,
        kind: ReplyKind::of(&payload),
        file: Vec::new(),
        names_others: false,
    }
}

fn query(name: &'static str, text: &str) -> Scene {
    scene(name, Command::Query, text.as_bytes())
}

fn execute(id: u32, cursor: bool, rest: &[u8]) -> Vec<u8> {
    let flags = [u8::from(cursor), 1, 0, 0, 0];
    [&id.to_le_bytes()[..], &flags, rest].concat()
}

impl Scene {
    /// A random command; runs its prerequisites.
    pub(crate) fn set(dice: &mut Dice, client: &mut Client, tag: &str) -> Self {
        let long = format!("SELECT REPEAT('{tag}', 4000), n FROM few");
        match dice.below(20) {
            0 => query("a short answer", &format!("SELECT '{tag}', n FROM one")),
            1 | 2 => query("a long answer", &long),
            3 => query(
                "several answers",
                &format!("SELECT '{tag}'; {long}; SELECT '{tag}'"),
            ),
            4 => query("a procedure's answers", &format!("CALL twice('{tag}')")),
            5 => query("an error", &format!("SELECT '{tag}' FROM nowhere")),
            6 => query("a wait", &format!("SELECT SLEEP(0.05), '{tag}' FROM few")),
            7 => query(
                "a long statement",
                &format!("SELECT '{}', n FROM one", tag.repeat(8_000)),
            ),
            8 => {
                let id = client.prepare(&long);
                let execute = execute(id, false, &[]);
                scene("a prepared answer", Command::StmtExecute, &execute)
            }
            9 => {
                let id = client.prepare(&long);
                client.command(Command::StmtExecute, &execute(id, true, &[]));
                client.binary_reply();
                let fetch = [id.to_le_bytes(), 3_u32.to_le_bytes()].concat();
                scene("a cursor", Command::StmtFetch, &fetch)
            }
            10 => {
                let id = client.prepare("SELECT ?, n FROM one");
                let data = [&id.to_le_bytes()[..], &[0, 0], tag.repeat(5_000).as_bytes()].concat();
                scene("long data", Command::StmtSendLongData, &data)
            }
            11 => scene("a prepare", Command::StmtPrepare, long.as_bytes()),
            12 => {
                let load = "LOAD DATA LOCAL INFILE 'x' INTO TABLE written";
                let line = format!("{tag}\n");
                let mut file = Vec::new();
                let mut seq = 2;
                for _ in 0..1 + dice.below(4) {
                    seq = write_packet(&mut file, seq, line.repeat(3_000).as_bytes());
                }
                write_packet(&mut file, seq, &[]);
                Self {
                    file,
                    ..query("a file", load)
                }
            }
            13 => {
                client.query("BEGIN").ok();
                query(
                    "a transaction",
                    &format!("INSERT INTO written VALUES ('{tag}')"),
                )
            }
            14 => query("a lock", &format!("SELECT GET_LOCK('{tag}', 0), '{tag}'")),
            15 => query("a variable", &format!("SET @tag = '{tag}', sql_mode = ''")),
            16 => scene("a reset", Command::ResetConnection, &[]),
            17 => scene("a schema", Command::InitDb, b"d"),
            18 => Self {
                names_others: true,
                ..query("a list of connections", "SHOW PROCESSLIST")
            },
            _ if dice.below(25) == 0 => {
                let text = format!(
                    "SELECT LENGTH('{}'), '{tag}', n FROM one",
                    "y".repeat(17 << 20)
                );
                query("a statement of 17 MiB", &text)
            }
            _ => query(
                "its own id",
                &format!("SELECT CONNECTION_ID(), '{tag}', n FROM one"),
            ),
        }
    }
}
