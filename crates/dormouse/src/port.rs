//! A TCP port that is taken: by whom, and what to do.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use dormouse_api::ErrorBody;
use dormouse_proxy::StartError;

/// Why listening on an address failed.
pub(crate) fn cannot_listen(address: SocketAddr, error: &io::Error) -> ErrorBody {
    let message = format!("cannot listen on {address}: {error}");
    let failure =
        |message: String, hint: String| ErrorBody::new("machine", message).with_hint(hint);
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = owner(address.port()).map_or(String::new(), |owner| format!(", by {owner}"));
            failure(
                format!("cannot listen on {address}: the port is in use{by}"),
                "stop that, or take another port with --listen IP:PORT (port 0: any free one)"
                    .to_owned(),
            )
        }
        io::ErrorKind::PermissionDenied => failure(
            message,
            "ports below 1024 are root's; take another one with --listen".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => failure(
            message,
            "this machine has no such address; 0.0.0.0 listens on all it has".to_owned(),
        ),
        _ => failure(
            message,
            "take another address with --listen IP:PORT".to_owned(),
        ),
    }
}

/// How long an address may be taken by what a Dormouse that was killed has left: a child that was to
/// become a server has the listeners too, until it executes the server's program.
const INHERITED: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Binds the addresses; waits a little for those that no other program is known to hold.
pub(crate) async fn patiently<T>(
    mut bind: impl FnMut() -> Result<T, StartError>,
) -> Result<T, StartError> {
    let until = Instant::now() + INHERITED;
    loop {
        match bind() {
            Err(error) if Instant::now() < until && may_come_free(&error) => {
                tokio::time::sleep(LOOK).await;
            }
            done => return done,
        }
    }
}

/// Whether an address is taken by a process of this very program, or was until now.
fn may_come_free(error: &StartError) -> bool {
    let inodes = match error {
        StartError::Tcp { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
            listeners_on(address.port())
        }
        StartError::Unix { path, source } if source.kind() == io::ErrorKind::AddrInUse => {
            let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
            listeners_at(&table, path)
        }
        _ => return false,
    };
    let program = |pid: &str| fs::metadata(format!("/proc/{pid}/exe")).map(|m| (m.dev(), m.ino()));
    holder(&inodes).is_none_or(|pid| {
        let (theirs, ours) = (program(&pid.to_string()), program("self"));
        matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
    })
}

/// Who listens on a port, as `mariadbd (pid 12)`, where we may know.
fn owner(port: u16) -> Option<String> {
    let pid = holder(&listeners_on(port))?;
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", comm.trim()))
}

/// The first process that has one of these sockets.
fn holder(inodes: &[u64]) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds_any(Path::new(&format!("/proc/{pid}/fd")), inodes))
}

/// The inodes of the sockets that listen on a port.
fn listeners_on(port: u16) -> Vec<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, port))
        .collect()
}

/// The inodes of the Unix sockets at a path (`proc_net_unix(5)`).
fn listeners_at(table: &str, path: &Path) -> Vec<u64> {
    let path = path.to_string_lossy();
    let rows = table.lines().skip(1).map(str::split_whitespace);
    rows.filter_map(|mut row| {
        let inode = row.nth(6)?.parse().ok()?;
        (row.next() == Some(&*path)).then_some(inode)
    })
    .collect()
}

/// The inodes of listening sockets (`proc_net_tcp(5)`: state 0A) on a port.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    let local_port = format!(":{port:04X}");
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| {
        row.get(1).is_some_and(|local| local.ends_with(&local_port)) && row.get(3) == Some(&"0A")
    })
    .filter_map(|row| row.get(9)?.parse().ok())
    .collect()
}

/// Whether a process has one of the sockets open.
fn holds_any(fds: &Path, inodes: &[u64]) -> bool {
    let Ok(fds) = fs::read_dir(fds) else {
        return false;
    };
    // A socket's descriptor is a link to `socket:[INODE]`, whose metadata has that inode.
    fds.filter_map(Result::ok).any(|fd| {
        let is_socket = fs::read_link(fd.path())
            .is_ok_and(|to| to.to_str().is_some_and(|to| to.starts_with("socket:")));
        is_socket && fs::metadata(fd.path()).is_ok_and(|meta| inodes.contains(&meta.ino()))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_taken_port_is_told_with_its_owner() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        let told = cannot_listen(address, &error);
        assert!(
            told.message
                .contains(&format!("(pid {})", std::process::id())),
            "{}",
            told.message
        );
        assert!(told.hint.unwrap().contains("--listen"));
    }

    #[tokio::test]
    async fn an_address_that_a_process_of_ours_still_has_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut tcp = Some(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut unix = Some(UnixListener::bind(&path).unwrap());
        let address = tcp.as_ref().unwrap().local_addr().unwrap();
        patiently(|| {
            let bound = TcpListener::bind(address);
            tcp = None;
            bound.map_err(|source| StartError::Tcp { address, source })
        })
        .await
        .unwrap();
        patiently(|| {
            let bound = UnixListener::bind(&path);
            if unix.take().is_some() {
                fs::remove_file(&path).unwrap();
            }
            let path = path.clone();
            bound.map_err(|source| StartError::Unix { path, source })
        })
        .await
        .unwrap();
    }

    #[test]
    fn only_listeners_of_that_port_are_found() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1
   1: 0100007F:0CEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 102 1
   2: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1
";
        assert_eq!(listeners(table, 3306), [101]);
        assert!(listeners("", 3306).is_empty());
    }
}
