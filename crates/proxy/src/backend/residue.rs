//! State that a backend still holds of the session that used it before.

use std::sync::Arc;

use dormouse_wire::reply::ErrPacket;
use dormouse_wire::status::Status;

use crate::pool::place::Place;

/// State that a backend still holds of the session that used it before.
#[derive(Debug)]
pub(crate) struct Residue {
    /// The statements run on it since its login or its last reset; `None` if they are not known.
    pub(crate) overlay: Option<Vec<Vec<u8>>>,
    /// Its schema.
    pub(crate) schema: Option<Arc<[u8]>>,
    /// Its `CONNECTION_ID()`: the server's own until a session's is set.
    pub(crate) connection_id: u32,
    /// The session that has left it last, by its connection id, if it is on an understudy.
    pub(crate) left_by: Option<u32>,
    /// Its `LAST_INSERT_ID()`.
    pub(crate) last_insert_id: u64,
    /// Whether `COM_SET_OPTION` has switched multi-statements, and to what.
    pub(crate) multi_statements: Option<bool>,
    /// Whether it has Dormouse's own values of [`timeout`](dormouse_session::timeout)'s variables, which a login and
    /// a reset set to the global ones.
    pub(crate) patient: bool,
    /// The role it had after its login; outer `None`: not asked yet.
    pub(super) role: Option<Option<Vec<u8>>>,
    /// What its server's binary log tells, as its login was told.
    pub(crate) logs: Logs,
    /// Whether it has entered the schema of the session to whose state it was brought.
    pub(crate) entered: bool,
    /// Statements that could not be prepared with `PREPARE` when it was brought to a session's state, and
    /// the errors.
    pub(crate) missing: Vec<(Vec<u8>, ErrPacket)>,
    /// Whether the password had expired at its login: then the server accepts nothing but a new one.
    pub(crate) expired: bool,
    /// The status flags of the server's last reply.
    pub(crate) status: Status,
    /// How many statements on it have created stored code, as its server counted last.
    pub(crate) created_code: u64,
    /// The [count](crate::pool::place::Place::globals) of changes of global variables at its login, or its
    /// last reset.
    pub(super) globals: u64,
    /// The [count](crate::pool::place::Place::rights) of changes of privileges at its login.
    pub(crate) rights: u64,
}

/// What the binary log of a server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Nothing: there is none, or it may lack what has committed.
    Nothing,
    /// Which transactions have committed.
    Transactions,
    /// Also by which connections: from 11.5 on.
    Connections,
}

impl Logs {
    /// Reads the answer to [`Logs::QUESTION`].
    pub(super) fn of(answer: Option<&[u8]>) -> Self {
        match answer {
            Some(b"1") => Self::Transactions,
            Some(b"2") => Self::Connections,
            _ => Self::Nothing,
        }
    }

    /// What asks for it.
    pub(super) const QUESTION: &str = "(@@log_bin AND @@sync_binlog = 1) /*M!110500 * 2 */";
}

impl Residue {
    /// The role that it had after its login, if it has been asked and had one.
    pub(crate) fn login_role(&self) -> Option<&[u8]> {
        self.role.as_ref()?.as_deref()
    }

    /// The state after a login: `before` was counted before it, `status` came with its answer.
    pub(super) fn of_login(thread: u32, status: Status, before: ChangeCounts) -> Self {
        Self {
            overlay: Some(Vec::new()),
            schema: None,
            connection_id: thread,
            left_by: None,
            last_insert_id: 0,
            multi_statements: None,
            patient: false,
            role: None,
            logs: Logs::Nothing,
            entered: false,
            missing: Vec::new(),
            expired: false,
            status,
            created_code: 0,
            globals: before.globals,
            rights: before.rights,
        }
    }
}

/// [`Changes`](crate::pool::place::Changes) as counted before a login.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeCounts {
    globals: u64,
    rights: u64,
}

impl ChangeCounts {
    /// The counts now.
    pub(crate) fn now(place: &Place) -> Self {
        Self {
            globals: place.globals(),
            rights: place.rights(),
        }
    }
}
