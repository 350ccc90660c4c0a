//! A TCP port that is taken: by whom, and what to do.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dormouse_api::ErrorBody;

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

/// Who listens on a port, as `mariadbd (pid 12)`, where we may know.
fn owner(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if holds_any(&process.path().join("fd"), &inodes) {
            let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", comm.trim()));
        }
    }
    None
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
