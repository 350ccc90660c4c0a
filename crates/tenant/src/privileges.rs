//! The server's privileges, and which of them an account of a tenant may have.

/// Where a privilege of a tenant may apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To schemas, tables or routines.
    Schema,
    /// To the whole server, and it harms nobody else.
    Server,
    /// It is kept by Dormouse, not by the server: the right to manage accounts.
    Dormouse,
    /// Not to tenants, for this reason.
    Refused(&'static str),
}

/// A privilege.
#[derive(Debug, Clone, Copy)]
pub struct Privilege(&'static Entry);

#[derive(Debug)]
struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    reach: Reach,
    /// Whether columns may be named.
    columns: bool,
}

impl PartialEq for Privilege {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Privilege {}

const fn schema(name: &'static str) -> Entry {
    Entry {
        name,
        aliases: &[],
        reach: Reach::Schema,
        columns: false,
    }
}

const fn columns(name: &'static str) -> Entry {
    Entry {
        columns: true,
        ..schema(name)
    }
}

const fn server(name: &'static str, aliases: &'static [&'static str]) -> Entry {
    Entry {
        aliases,
        reach: Reach::Server,
        ..schema(name)
    }
}

const fn refused(name: &'static str, aliases: &'static [&'static str], why: &'static str) -> Entry {
    Entry {
        aliases,
        reach: Reach::Refused(why),
        ..schema(name)
    }
}

const REPLICATION: &str = "a database that sleeps neither follows nor leads another server";
const PLATFORM: &str = "it changes what Dormouse relies on";

static TABLE: [Entry; 39] = [
    columns("SELECT"),
    columns("INSERT"),
    columns("UPDATE"),
    schema("DELETE"),
    schema("CREATE"),
    schema("DROP"),
    columns("REFERENCES"),
    schema("INDEX"),
    schema("ALTER"),
    schema("CREATE TEMPORARY TABLES"),
    schema("LOCK TABLES"),
    schema("EXECUTE"),
    schema("CREATE VIEW"),
    schema("SHOW VIEW"),
    schema("CREATE ROUTINE"),
    schema("ALTER ROUTINE"),
    schema("EVENT"),
    schema("TRIGGER"),
    schema("DELETE HISTORY"),
    schema("SHOW CREATE ROUTINE"),
    server("PROCESS", &[]),
    server("RELOAD", &[]),
    server("SHOW DATABASES", &[]),
    server("BINLOG MONITOR", &["REPLICATION CLIENT"]),
    server("SLAVE MONITOR", &["REPLICA MONITOR"]),
    Entry {
        reach: Reach::Dormouse,
        ..schema("CREATE USER")
    },
    refused("SUPER", &[], PLATFORM),
    refused("FILE", &[], "it reads and writes files of the machine"),
    refused("SHUTDOWN", &[], "'dormouse park' stops the server"),
    refused("CREATE TABLESPACE", &[], "it writes files of the machine"),
    refused("REPLICATION SLAVE", &["REPLICATION REPLICA"], REPLICATION),
    refused(
        "SET USER",
        &[],
        "it runs code with the rights of any account",
    ),
    refused(
        "FEDERATED ADMIN",
        &[],
        "it connects to the machine's network",
    ),
    refused(
        "CONNECTION ADMIN",
        &[],
        "it ends Dormouse's own connections; KILL works without it",
    ),
    refused("READ_ONLY ADMIN", &["READ ONLY ADMIN"], PLATFORM),
    refused(
        "REPLICATION SLAVE ADMIN",
        &["REPLICATION REPLICA ADMIN"],
        REPLICATION,
    ),
    refused("REPLICATION MASTER ADMIN", &[], REPLICATION),
    refused("BINLOG ADMIN", &[], REPLICATION),
    refused("BINLOG REPLAY", &[], REPLICATION),
];

/// What `ALL PRIVILEGES ON *.*` gives to an account of a tenant on the whole server; on its schemas it gives
/// everything.
pub const OF_ALL: [&str; 5] = [
    "PROCESS",
    "RELOAD",
    "SHOW DATABASES",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
];

impl Privilege {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The privilege of this name, in upper case and with single spaces.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is = |entry: &&Entry| entry.name == name || entry.aliases.contains(&name);
        TABLE.iter().find(is).map(Self)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Its other names.
    #[must_use]
    pub fn aliases(self) -> &'static [&'static str] {
        self.0.aliases
    }

    /// Where it may apply.
    #[must_use]
    pub fn reach(self) -> Reach {
        self.0.reach
    }

    /// Whether columns may be named.
    #[must_use]
    pub fn has_columns(self) -> bool {
        self.0.columns
    }
}
