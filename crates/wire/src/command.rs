//! The commands a client sends, and what kind of reply each has.

use crate::reader::Reader;

macro_rules! commands {
    ($($(#[$doc:meta])+ $name:ident = $byte:literal,)+) => {
        /// A command: the first byte of the first packet of an exchange.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Command {
            $($(#[$doc])+ $name = $byte,)+
        }

        impl Command {
            /// Every command.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The command of this byte, if there is one.
            #[must_use]
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

commands! {
    /// Of the server's own.
    Sleep = 0,
    /// Ends the connection.
    Quit = 1,
    /// Changes the schema.
    InitDb = 2,
    /// Runs SQL text.
    Query = 3,
    /// Lists a table's columns.
    FieldList = 4,
    /// Obsolete.
    CreateDb = 5,
    /// Obsolete.
    DropDb = 6,
    /// `FLUSH`, in part.
    Refresh = 7,
    /// Stops the server.
    Shutdown = 8,
    /// A line of text on the server's state.
    Statistics = 9,
    /// `SHOW PROCESSLIST`.
    ProcessInfo = 10,
    /// Of the server's own.
    Connect = 11,
    /// `KILL`.
    ProcessKill = 12,
    /// Makes the server write to its log.
    Debug = 13,
    /// Asks whether the server is there.
    Ping = 14,
    /// Of the server's own.
    Time = 15,
    /// Of the server's own.
    DelayedInsert = 16,
    /// Logs in anew on the same connection.
    ChangeUser = 17,
    /// Sends the binary log from here on.
    BinlogDump = 18,
    /// Obsolete.
    TableDump = 19,
    /// Of the server's own.
    ConnectOut = 20,
    /// Says that one is a replica.
    RegisterSlave = 21,
    /// Prepares a statement.
    StmtPrepare = 22,
    /// Executes a prepared statement.
    StmtExecute = 23,
    /// Sends a piece of a parameter.
    StmtSendLongData = 24,
    /// Forgets a prepared statement.
    StmtClose = 25,
    /// Forgets a prepared statement's cursor and long parameters.
    StmtReset = 26,
    /// Allows or forbids several statements in one query.
    SetOption = 27,
    /// Gets rows of a cursor.
    StmtFetch = 28,
    /// Of the server's own.
    Daemon = 29,
    /// Sends the binary log from here on (MySQL).
    BinlogDumpGtid = 30,
    /// Makes the session as new.
    ResetConnection = 31,
    /// Executes a prepared statement for many rows (MariaDB).
    StmtBulkExecute = 0xfa,
}

/// How a reply is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// Nothing comes.
    None,
    /// One OK, ERR or EOF packet.
    Simple,
    /// One packet of any content.
    Text,
    /// Results of SQL: OK, or columns and rows, once or several times.
    ResultSet,
    /// As [`ResultSet`](Self::ResultSet), but there may be a cursor instead of rows.
    Execute,
    /// A statement's id, its parameters and its columns.
    Prepare,
    /// Rows alone.
    Fetch,
    /// Columns alone.
    FieldList,
    /// Events, for as long as the server has any.
    Stream,
}

impl Command {
    /// How the reply is laid out. [`ReplyKind::of`] knows better for `StmtExecute`.
    #[must_use]
    pub fn reply(self) -> ReplyKind {
        match self {
            Self::Quit | Self::StmtSendLongData | Self::StmtClose => ReplyKind::None,
            Self::Statistics => ReplyKind::Text,
            Self::Query | Self::ProcessInfo | Self::StmtBulkExecute => ReplyKind::ResultSet,
            Self::StmtExecute => ReplyKind::Execute,
            Self::StmtPrepare => ReplyKind::Prepare,
            Self::StmtFetch => ReplyKind::Fetch,
            Self::FieldList => ReplyKind::FieldList,
            Self::BinlogDump | Self::BinlogDumpGtid | Self::TableDump => ReplyKind::Stream,
            _ => ReplyKind::Simple,
        }
    }
}

impl ReplyKind {
    /// How the reply to this command is laid out; the first six bytes of its payload are enough.
    ///
    /// An execution that asks for no cursor gets none, whatever the status flags say: MariaDB sets
    /// [`CURSOR_EXISTS`](crate::Status::CURSOR_EXISTS) also while a stored procedure has a cursor of
    /// its own open. For the same reason, use [`ResultSet`](Self::ResultSet) for a statement whose
    /// prepare told of no columns, such as CALL: no cursor can be had for it.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let mut r = Reader::new(payload);
        let Some(command) = r.u8().ok().and_then(Command::from_byte) else {
            return Self::Simple;
        };
        match command.reply() {
            Self::Execute if r.take(4).is_ok() && r.u8() == Ok(0) => Self::ResultSet,
            kind => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_commands_are_the_same() {
        for byte in 0..=u8::MAX {
            assert!(Command::from_byte(byte).is_none_or(|command| command as u8 == byte));
        }
        assert_eq!(Command::ALL.len(), 33);
        for &command in Command::ALL {
            assert_eq!(Command::from_byte(command as u8), Some(command));
        }
    }

    #[test]
    fn only_an_execution_with_a_cursor_may_end_at_its_columns() {
        let execute = |flags| [0x17, 1, 0, 0, 0, flags, 1, 0, 0, 0];
        assert_eq!(ReplyKind::of(&execute(0)), ReplyKind::ResultSet);
        assert_eq!(ReplyKind::of(&execute(1)), ReplyKind::Execute);
        assert_eq!(ReplyKind::of(&execute(0)[..5]), ReplyKind::Execute);
        assert_eq!(ReplyKind::of(b"\x03SELECT 1"), ReplyKind::ResultSet);
        assert_eq!(ReplyKind::of(b"\x40"), ReplyKind::Simple);
        assert_eq!(ReplyKind::of(b""), ReplyKind::Simple);
    }
}
