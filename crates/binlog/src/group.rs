//! Groups of events: transactions, and statements that are one.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::{Body, Header};
use crate::place::{Name, Place};

/// Most bytes of texts that are kept of one group.
const TEXTS: usize = 1 << 20;
/// Longest text of a `SAVEPOINT` statement: a name has at most 64 characters.
const SAVEPOINT: usize = 512;
/// Most tables that are kept of one group.
const TABLES: usize = 10_000;

/// Flags of a GTID event.
const STANDALONE: u8 = 1;
const DDL: u8 = 32;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

/// A global transaction id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtid {
    /// Replication domain.
    pub domain: u32,
    /// Id of the server that wrote it.
    pub server: u32,
    /// Its number in the domain.
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

/// A text is no GTID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no GTID: write it as DOMAIN-SERVER-NUMBER, as `dormouse history` shows it")]
pub struct NoGtid(String);

impl FromStr for Gtid {
    type Err = NoGtid;

    fn from_str(text: &str) -> Result<Self, NoGtid> {
        let wrong = || NoGtid(text.to_owned());
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or_else(wrong);
        let gtid = Self {
            domain: next()?.parse().map_err(|_| wrong())?,
            server: next()?.parse().map_err(|_| wrong())?,
            sequence: next()?.parse().map_err(|_| wrong())?,
        };
        match parts.next() {
            None => Ok(gtid),
            Some(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Gtid {
    type Error = NoGtid;

    fn try_from(text: String) -> Result<Self, NoGtid> {
        text.parse()
    }
}

impl From<Gtid> for String {
    fn from(gtid: Gtid) -> Self {
        gtid.to_string()
    }
}

/// A table that a group changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A transaction.
    Transaction,
    /// One statement that is a transaction of its own.
    Statement,
    /// A statement that defines something, a transaction of its own.
    Definition,
    /// A prepared XA transaction.
    Prepared,
    /// Commit or rollback of one that was prepared.
    Completed,
}

/// A transaction, or one statement that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where it begins.
    pub start: Place,
    /// Where it ends, in the same file.
    pub end: u64,
    /// Its id.
    pub gtid: Gtid,
    /// When the statement that committed it began, in seconds since 1970, as its client would have it.
    pub timestamp: u32,
    /// What it is.
    pub kind: Kind,
    /// Default schemas of its statements.
    pub schemas: BTreeSet<String>,
    /// Tables whose rows it changes.
    pub tables: BTreeSet<Table>,
    /// The texts of its statements.
    pub texts: Vec<String>,
    /// Whether texts or tables are left out, because there are too many.
    pub is_cut: bool,
    /// The text of its last `SAVEPOINT` statement.
    pub savepoint: Option<String>,
    /// `CONNECTION_ID()` of the connection that wrote it; `None`: servers before 11.5 do not tell.
    pub connection: Option<u32>,
    /// Whether it ends with the id of a transaction of the engine (XID): a server that starts again commits that if, and only
    /// if, its log has the group.
    pub has_xid: bool,
    /// Whether it ends with a rollback: what it changed in tables without transactions is all that it has changed.
    pub is_rolled_back: bool,
}

/// A group that has begun.
pub(crate) struct Growing {
    group: Group,
    size: usize,
    standalone: bool,
}

impl Growing {
    pub(crate) fn new(file: &Name, position: u64, header: &Header, gtid: Gtid, flags: u8) -> Self {
        let kind = match flags {
            flags if flags & PREPARED_XA != 0 => Kind::Prepared,
            flags if flags & COMPLETED_XA != 0 => Kind::Completed,
            flags if flags & DDL != 0 => Kind::Definition,
            flags if flags & STANDALONE != 0 => Kind::Statement,
            _ => Kind::Transaction,
        };
        let group = Group {
            start: Place {
                file: file.clone(),
                position,
            },
            end: position,
            gtid,
            timestamp: header.timestamp,
            kind,
            schemas: BTreeSet::new(),
            tables: BTreeSet::new(),
            texts: Vec::new(),
            is_cut: false,
            savepoint: None,
            connection: None,
            has_xid: false,
            is_rolled_back: false,
        };
        Self {
            group,
            size: 0,
            standalone: flags & STANDALONE != 0,
        }
    }

    /// The same, by this connection.
    pub(crate) fn of_connection(mut self, connection: Option<u32>) -> Self {
        self.group.connection = connection;
        self
    }

    /// Adds an event; returns whether it was the last one.
    pub(crate) fn add(&mut self, body: Body) -> bool {
        match body {
            Body::Query { schema, text } => {
                let ends = matches!(text.as_str(), "COMMIT" | "ROLLBACK");
                if ends && !self.standalone {
                    self.group.is_rolled_back = text == "ROLLBACK";
                    return true;
                }
                if !schema.is_empty() {
                    self.group.schemas.insert(schema);
                }
                if text.starts_with("SAVEPOINT ") && text.len() <= SAVEPOINT {
                    self.group.savepoint = Some(text.clone());
                }
                self.text(text);
                self.standalone
            }
            Body::Annotate(text) => {
                self.text(text);
                false
            }
            Body::Table(table) => {
                if self.group.tables.len() < TABLES {
                    self.group.tables.insert(table);
                } else if !self.group.tables.contains(&table) {
                    self.group.is_cut = true;
                }
                false
            }
            Body::Xid => {
                self.group.has_xid = true;
                true
            }
            Body::XaPrepare => true,
            _ => false,
        }
    }

    /// The group, which ends here.
    pub(crate) fn end(mut self, end: u64) -> Group {
        self.group.end = end;
        self.group
    }

    fn text(&mut self, text: String) {
        self.size = self.size.saturating_add(text.len());
        if self.size > TEXTS {
            self.group.is_cut = true;
        } else if !text.is_empty() {
            self.group.texts.push(text);
        }
    }
}
