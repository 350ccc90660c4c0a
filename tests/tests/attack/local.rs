//! A user of the machine without rights of its own.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::suite::World;

/// A command that must fail for the user. `{data}` is the data directory, `{files}` the path of a database's
/// instance, `{shop}` its server's process, `{own}` Dormouse's process.
struct Attempt {
    command: &'static str,
    why: &'static str,
    /// It succeeds for root, which shows that it means something; the others would do harm.
    harmless: bool,
}

const fn read(command: &'static str, why: &'static str) -> Attempt {
    Attempt {
        command,
        why,
        harmless: true,
    }
}

const fn harm(command: &'static str, why: &'static str) -> Attempt {
    Attempt {
        command,
        why,
        harmless: false,
    }
}

const ATTEMPTS: [Attempt; 25] = [
    read(
        "cat {data}/catalog.sqlite",
        "it has the accounts' verifiers",
    ),
    read(
        "cat {data}/catalog.sqlite-wal",
        "it has the accounts' verifiers",
    ),
    read("cat {data}/secret", "it is the key to all servers"),
    read(
        "cat {data}/tls/server.key",
        "it is the identity of Dormouse",
    ),
    read("cat {data}/credentials/shop", "it has the owner's password"),
    read("ls {data}", "the names of databases are not for others"),
    read(
        "ls {data}/credentials",
        "the names of databases are not for others",
    ),
    read(
        "ls {data}/templates",
        "a template has the hash of the platform's account",
    ),
    read("ls {files}/data", "a database's files are its server's"),
    read(
        "cat {files}/data/ibdata1",
        "a database's files are its server's",
    ),
    read(
        "cat {files}/data/mysql/global_priv.MAD",
        "a database's files are its server's",
    ),
    read("cat {files}/error.log", "a log may quote statements"),
    read("cat {files}.pem", "its holder can act as the server"),
    harm("touch {data}/evil", "the directory is Dormouse's"),
    harm(
        "ln -s /etc/passwd {data}/instances/evil",
        "the directory is Dormouse's",
    ),
    harm(
        "mv {data}/catalog.sqlite {data}/gone",
        "the directory is Dormouse's",
    ),
    harm("echo x >> {files}.cnf", "the server would read it"),
    read(
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('{files}/mysqld.sock')\"",
        "servers are reached through Dormouse only",
    ),
    read(
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('{data}/api.sock')\"",
        "the API is the administrator's",
    ),
    read("kill -0 {shop}", "the process is another user's"),
    harm("kill -9 {shop}", "the process is another user's"),
    harm("kill -STOP {own}", "the process is another user's"),
    read("cat /proc/{shop}/environ", "the process is another user's"),
    read(
        "cat /proc/{own}/environ",
        "the environment may have the master key",
    ),
    read(
        "ls -l /proc/{own}/fd | grep -q socket",
        "the descriptors are the process's own",
    ),
];

pub(crate) fn count() -> usize {
    ATTEMPTS.len()
}

/// The user and group `nobody` of every Linux.
const NOBODY: u32 = 65_534;

#[test]
fn a_local_user_reaches_nothing() {
    let world = World::new();
    let own =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta));
    if !matches!(own, Ok(0)) {
        println!("skipped: only root can act as another user");
        return;
    }
    let data = world.dormouse.data_dir().display().to_string();
    let shop = world.dormouse.server("shop").to_string();
    let own = world.dormouse.pid().to_string();
    let files = files_of(&shop);
    let mut succeeded = Vec::new();
    for Attempt {
        command,
        why,
        harmless,
    } in ATTEMPTS
    {
        let command = command
            .replace("{data}", &data)
            .replace("{files}", &files)
            .replace("{shop}", &shop)
            .replace("{own}", &own);
        let shell = || {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &command]).current_dir("/");
            shell
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            shell
        };
        if harmless {
            assert!(shell().status().unwrap().success(), "as root: {command}");
        }
        // also gives up root's groups
        if shell().uid(NOBODY).gid(NOBODY).status().unwrap().success() {
            succeeded.push(format!("- {command}\n  it must fail: {why}"));
        }
    }
    assert!(succeeded.is_empty(), "succeeded:\n{}", succeeded.join("\n"));
    println!("{} attempts, 0 successes", ATTEMPTS.len());
    world.is_intact();
}

/// The path of a server's instance, from its command line.
fn files_of(server: &str) -> String {
    let line = std::fs::read_to_string(format!("/proc/{server}/cmdline")).unwrap();
    let mut arguments = line.split('\0');
    let config = arguments.find_map(|argument| argument.strip_prefix("--defaults-file="));
    config.unwrap().trim_end_matches(".cnf").to_owned()
}
