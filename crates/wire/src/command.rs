//! The commands of clients and the layout of their replies.

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

            /// The command with this byte, if there is one.
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
    /// Internal to the server.
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
    /// Returns a line of text on the server's state.
    Statistics = 9,
    /// `SHOW PROCESSLIST`.
    ProcessInfo = 10,
    /// Internal to the server.
    Connect = 11,
    /// `KILL`.
    ProcessKill = 12,
    /// Makes the server write debug information to its log.
    Debug = 13,
    /// Checks that the server answers.
    Ping = 14,
    /// Internal to the server.
    Time = 15,
    /// Internal to the server.
    DelayedInsert = 16,
    /// Logs in again on the same connection.
    ChangeUser = 17,
    /// Streams the binary log from now on.
    BinlogDump = 18,
    /// Obsolete.
    TableDump = 19,
    /// Internal to the server.
    ConnectOut = 20,
    /// Registers a replica.
    RegisterSlave = 21,
    /// Prepares a statement.
    StmtPrepare = 22,
    /// Executes a prepared statement.
    StmtExecute = 23,
    /// Sends a part of a long parameter.
    StmtSendLongData = 24,
    /// Deallocates a prepared statement.
    StmtClose = 25,
    /// Closes the cursor of a prepared statement and discards its long parameters.
    StmtReset = 26,
    /// Allows or forbids several statements in one query.
    SetOption = 27,
    /// Gets rows of a cursor.
    StmtFetch = 28,
    /// Internal to the server.
    Daemon = 29,
    /// Streams the binary log from now on (MySQL).
    BinlogDumpGtid = 30,
    /// Resets the session.
    ResetConnection = 31,
    /// Executes a prepared statement for many rows (MariaDB).
    StmtBulkExecute = 0xfa,
}

impl Command {
    /// The protocol's name of the command: `COM_INIT_DB`.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = "COM".to_owned();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }
}

/// Layout of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// No reply.
    None,
    /// One OK, ERR or EOF packet.
    Simple,
    /// One packet of any content.
    Text,
    /// One or more results, each an OK packet or columns and rows.
    ResultSet,
    /// As [`ResultSet`](Self::ResultSet), but a cursor may take the place of the rows.
    Execute,
    /// A statement's id, its parameters and its columns.
    Prepare,
    /// Rows only.
    Fetch,
    /// Columns only.
    FieldList,
    /// Events without end.
    Stream,
}

impl Command {
    /// Layout of the reply. Use [`ReplyKind::of`] for `StmtExecute`, whose layout depends on its flags.
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
    /// Layout of the reply to a command; needs the first six bytes of its payload.
    ///
    /// An execution that does not request a cursor gets none, whatever the status flags are: MariaDB sets
    /// [`CURSOR_EXISTS`](crate::Status::CURSOR_EXISTS) also while a stored procedure has a cursor
    /// open. For the same reason, use [`ResultSet`](Self::ResultSet) for a statement without columns
    /// at its prepare, such as CALL: it cannot have a cursor.
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
    fn a_command_has_the_name_of_the_protocol() {
        for (command, name) in [
            (Command::Quit, "COM_QUIT"),
            (Command::InitDb, "COM_INIT_DB"),
            (Command::StmtBulkExecute, "COM_STMT_BULK_EXECUTE"),
        ] {
            assert_eq!(command.name(), name);
        }
    }

    #[test]
    fn every_command_has_a_byte_of_its_own() {
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
