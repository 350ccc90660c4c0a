//! The server's configuration file.
//!
//! A server reads this file alone (`--defaults-file`), never the machine's own. What follows from
//! the version follows from the options the server says it knows. Figures: MariaDB 10.11 on two
//! cores, start to first byte of the greeting.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use dormouse_types::Units;

use crate::{Installation, Layout, buffer_pool};

/// How many connections a server takes. The proxy holds the clients back long before.
pub const MAX_CONNECTIONS: u32 = 4096;

/// How many files a server would like to open: connections and two for each cached table.
pub const OPEN_FILES: u64 = 65_536;

/// Known to servers whose pool can be resized freely: 10.11.12, 11.4.6, 11.8.2 and later.
const POOL_MAX: &str = "innodb-buffer-pool-size-max";

/// A plugin that tells who holds which lock; not part of every package of the server.
pub(crate) const LOCK_INFO: &str = "metadata_lock_info";

/// Settings of the data directory itself: the template is made with them, and a server that
/// starts on it must be told the same.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("innodb-log-file-size", "8M"),
    ("innodb-data-file-path", "ibdata1:5M:autoextend"),
    ("innodb-autoextend-increment", "1"),
    ("innodb-undo-tablespaces", "0"),
];

/// Settings that are the same for every instance. An option the server does not know is left out.
const COMMON: [(&str, &str); 35] = [
    ("skip-name-resolve", "ON"),
    ("max-connect-errors", "4294967295"),
    ("local-infile", "ON"),
    // no limit; but with 0, which is none either, it could not be set while the server runs
    ("max-user-connections", "2147483647"),
    // a thawed server sees its clocks jump; the proxy keeps the clients' own limits (no backend is
    // an interactive client)
    ("wait-timeout", "31536000"),
    ("net-read-timeout", "31536000"),
    ("net-write-timeout", "31536000"),
    // a reply says when stored code has changed the session; the proxy keeps that to itself
    ("session-track-state-change", "ON"),
    // what the server's Debian package would set
    ("character-set-server", "utf8mb4"),
    ("symbolic-links", "OFF"),
    ("feedback", "OFF"),
    // durable
    ("innodb-flush-log-at-trx-commit", "1"),
    ("innodb-doublewrite", "ON"),
    ("aria-recover-options", "BACKUP,QUICK"),
    // the watchdog that aborts a server would count the time it was frozen
    ("innodb-fatal-semaphore-wait-threshold", "4294967295"),
    // small at rest, quick to start
    ("performance-schema", "OFF"),
    ("innodb-log-buffer-size", "2M"),
    ("innodb-temp-data-file-path", "ibtmp1:2M:autoextend"),
    ("innodb-read-io-threads", "1"),
    ("innodb-write-io-threads", "2"),
    ("innodb-purge-threads", "1"),
    ("aria-pagecache-buffer-size", "8M"),
    ("aria-log-file-size", "16M"),
    ("key-buffer-size", "1M"),
    ("query-cache-type", "0"),
    ("query-cache-size", "0"),
    ("host-cache-size", "0"),
    ("thread-cache-size", "32"),
    ("table-open-cache", "2000"),
    ("table-open-cache-instances", "4"),
    // hot pages come back behind the first statements, and are noted again only after that (`Admin`)
    ("innodb-buffer-pool-dump-at-shutdown", "OFF"),
    ("innodb-buffer-pool-load-at-startup", "OFF"),
    ("innodb-buffer-pool-dump-pct", "100"),
    ("innodb-fast-shutdown", "1"),
    ("event-scheduler", "ON"),
];

/// Where a server listens beside its Unix socket. Clients come through the proxy, which tells their
/// addresses in a PROXY header; the server believes it from these networks alone.
const LOCAL: [(&str, &str); 2] = [
    ("skip-networking", "ON"),
    ("proxy-protocol-networks", "localhost"),
];

/// Writes the configuration of an instance with these units. With an address the server listens on TCP
/// too, for TLS alone.
#[must_use]
pub fn render(
    installation: &Installation,
    layout: &Layout,
    units: Units,
    address: Option<SocketAddr>,
) -> String {
    let mut text =
        String::from("# Written by dormouse at every start; changes are lost.\n[mariadbd]\n");
    let mut set = |name: &str, value: &str| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{name}={value}");
    };
    if let Some(basedir) = &installation.basedir {
        set("basedir", &quoted(basedir));
    }
    for (name, path) in [
        ("datadir", layout.data()),
        ("tmpdir", layout.tmp()),
        ("secure-file-priv", layout.files()),
        ("socket", layout.socket()),
        ("pid-file", layout.root().join("mysqld.pid")),
        ("log-error", layout.error_log()),
        ("ssl-cert", layout.key()),
        ("ssl-key", layout.key()),
    ] {
        set(name, &quoted(&path));
    }
    set("max-connections", &MAX_CONNECTIONS.to_string());
    set(
        "innodb-buffer-pool-size",
        &buffer_pool::at_start(units).0.to_string(),
    );
    if !installation.knows(POOL_MAX) {
        // servers before the resizable pool move it in whole chunks
        set(
            "innodb-buffer-pool-chunk-size",
            &buffer_pool::CHUNK.0.to_string(),
        );
    } else if installation.default_of(POOL_MAX) == Some("0") {
        // this version would not grow beyond what it starts with
        let most = buffer_pool::most(installation.machine_memory).max(buffer_pool::at_start(units));
        set(POOL_MAX, &most.0.to_string());
    }
    match address {
        None => LOCAL.iter().for_each(|(name, value)| set(name, value)),
        Some(address) => {
            let ip = address.ip().to_string();
            set("bind-address", &ip);
            set("port", &address.port().to_string());
            set("require-secure-transport", "ON");
            set("proxy-protocol-networks", &format!("localhost,{ip}"));
        }
    }
    for (name, value) in FILES.iter().chain(&COMMON) {
        if installation.knows(name) {
            set(name, value);
        }
    }
    if installation.tells_locks() {
        set("plugin-load-add", LOCK_INFO);
    }
    text
}

/// A value that holds blanks; [`Layout`] has no quotes or backslashes in its paths.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests;
