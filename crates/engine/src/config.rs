//! The server's configuration file.
//!
//! A server reads only this file (`--defaults-file`), never the machine's own. Differences between
//! versions are derived from the options that the server lists, not from its version number.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use dormouse_types::{Bytes, Units};

use crate::{History, Installation, Layout, buffer_pool, encryption, history};

/// `max_connections` of a server. The proxy limits clients far below.
pub const MAX_CONNECTIONS: u32 = 4096;

/// Open files that a server needs: one per connection and two per cached table.
pub const OPEN_FILES: u64 = 65_536;

/// Option of servers whose pool can be resized freely: 10.11.12, 11.4.6, 11.8.2 and later.
const POOL_MAX: &str = "innodb-buffer-pool-size-max";

/// Plugin that lists metadata locks and their holders; not in every package of the server.
pub(crate) const LOCK_INFO: &str = "metadata_lock_info";

/// Plugins with which users may prove who they are: they cannot load plugins themselves. Not in every package of the
/// server.
pub(crate) const LOGINS: [&str; 2] = ["auth_ed25519", "auth_parsec"];

/// Settings of the data directory: the template is created with them, and every server on a copy of it
/// must have the same.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("innodb-log-file-size", "8M"),
    ("innodb-data-file-path", "ibdata1:5M:autoextend"),
    ("innodb-autoextend-increment", "1"),
    ("innodb-undo-tablespaces", "0"),
];

/// Size of the redo log in [`FILES`].
pub const REDO_LOG: Bytes = Bytes::mib(8);

/// Size of the redo log of a server whose files are copied for replicas and moves: what it changes meanwhile need not be
/// written into them.
pub const LONG_REDO_LOG: Bytes = Bytes::mib(64);

/// The smallest difference between two sizes.
const LOG_BLOCK: u64 = 4096;

/// Settings of every instance. Options that the server does not know are left out.
const COMMON: [(&str, &str); 33] = [
    ("skip-name-resolve", "ON"),
    ("max-connect-errors", "4294967295"),
    ("local-infile", "ON"),
    // what clients read; the connections of Dormouse set higher values for themselves, since a thawed server
    // sees its clocks jump and the proxy enforces the clients' own limits
    ("wait-timeout", "28800"),
    ("net-read-timeout", "30"),
    ("net-write-timeout", "60"),
    // defaults of the Debian package
    ("character-set-server", "utf8mb4"),
    ("symbolic-links", "OFF"),
    ("feedback", "OFF"),
    // durability
    ("innodb-flush-log-at-trx-commit", "1"),
    ("innodb-doublewrite", "ON"),
    ("aria-recover-options", "BACKUP,QUICK"),
    // InnoDB's watchdog would count the time while frozen and abort the server
    ("innodb-fatal-semaphore-wait-threshold", "4294967295"),
    // little memory when idle, fast start
    ("performance-schema", "OFF"),
    ("innodb-log-buffer-size", "2M"),
    ("innodb-temp-data-file-path", "ibtmp1:2M:autoextend"),
    ("innodb-read-io-threads", "8"),
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
    // `admin::BufferPool` loads hot pages after the start, and only then turns the dump on again
    ("innodb-buffer-pool-dump-at-shutdown", "OFF"),
    ("innodb-buffer-pool-load-at-startup", "OFF"),
    ("innodb-buffer-pool-dump-pct", "100"),
    ("innodb-fast-shutdown", "1"),
    ("event-scheduler", "ON"),
];

/// Network settings of a server that listens on its Unix socket only. The proxy sends clients' addresses
/// in a PROXY header, which the server accepts from these networks only.
const LOCAL: [(&str, &str); 2] = [
    ("skip-networking", "ON"),
    ("proxy-protocol-networks", "localhost"),
];

/// Settings of an encrypted server. Threads that encrypt run only while there is something to do.
const ENCRYPTED: [(&str, &str); 9] = [
    ("plugin-load-add", encryption::plugin::NAME),
    // a table that is not encrypted is refused
    ("innodb-encrypt-tables", "FORCE"),
    ("innodb-encrypt-log", "ON"),
    ("innodb-encrypt-temporary-tables", "ON"),
    ("innodb-encryption-rotate-key-age", "1"),
    ("encrypt-tmp-files", "ON"),
    ("encrypt-tmp-disk-tables", "ON"),
    ("aria-encrypt-tables", "ON"),
    ("encrypt-binlog", "ON"),
];

/// Text of an instance's configuration file. With an address the server also listens on TCP, with TLS
/// required. With keys it encrypts its files. With a history it keeps a binary log. A start for maintenance ([`Layout::maintenance`]) reads neither
/// privilege tables nor events nor the plugins that the files name; its server must serve nobody but Dormouse.
#[must_use]
pub fn render(
    installation: &Installation,
    layout: &Layout,
    units: Units,
    address: Option<SocketAddr>,
    encryption: Option<&encryption::Settings>,
    history: Option<&History>,
    redo_log: Bytes,
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
        ("ssl-ca", layout.client_authority()),
    ] {
        set(name, &quoted(&path));
    }
    set("max-connections", &MAX_CONNECTIONS.to_string());
    set(
        "innodb-buffer-pool-size",
        &buffer_pool::at_start(units).0.to_string(),
    );
    if !installation.knows(POOL_MAX) {
        // servers without the freely resizable pool resize by whole chunks
        set(
            "innodb-buffer-pool-chunk-size",
            &buffer_pool::CHUNK.0.to_string(),
        );
    } else if installation.default_of(POOL_MAX) == Some("0") {
        // with the default 0 the pool could not grow beyond its size at start
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
    for plugin in [LOCK_INFO].into_iter().chain(LOGINS) {
        if installation.has_plugin(plugin) {
            set("plugin-load-add", plugin);
        }
    }
    if redo_log != REDO_LOG {
        set("innodb-log-file-size", &redo_log.0.to_string());
    }
    if let Some(encryption) = encryption {
        for (name, value) in ENCRYPTED {
            set(name, value);
        }
        // a log of another size is written anew at the start, with the newest key
        let size = redo_log.0 + LOG_BLOCK * u64::from(encryption.version / 2 % 2);
        set("innodb-log-file-size", &size.to_string());
    }
    if let Some(history) = history {
        for (name, value) in history::settings(history) {
            set(name, &value);
        }
    }
    for (name, value) in history::replay_settings(layout) {
        set(name, value);
    }
    for (name, value) in history::follow_settings(layout) {
        set(name, value);
    }
    let maintenance = layout.maintenance();
    if maintenance.is_file() {
        set("skip-grant-tables", "ON");
        set("init-file", &quoted(&maintenance));
    }
    text
}

/// Size of the redo log in a configuration file of [`render`].
#[must_use]
pub fn log_size(text: &str) -> Option<Bytes> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix("innodb-log-file-size="));
    // the last one holds
    let value = values.next_back()?;
    match value.strip_suffix('M') {
        Some(mib) => mib.parse().ok().map(Bytes::mib),
        None => value.parse().ok().map(Bytes),
    }
}

/// Quotes a path, which may have blanks; [`Layout`] excludes quotes and backslashes.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests;
