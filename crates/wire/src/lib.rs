//! The MySQL and MariaDB client/server protocol, without I/O.
//!
//! Bytes go in, values and bytes come out; nothing here opens a socket, reads a clock or keeps a
//! buffer without a limit. Called by `session`, `engine` and `proxy`.
//!
//! Invariants:
//! - a decoder answers any bytes with a value or an error, never with a panic (see `fuzz/`);
//! - what a decoder returned, its encoder writes back so that decoding gives the same value;
//! - rows are never copied: [`ReplyFramer`] reads packet headers and the packets at the ends only.
//!
//! Source of the layouts: the servers' own documentation ("Client/Server Protocol" of MariaDB,
//! "Client/Server Protocol" in MySQL's internals manual), checked against running servers.

pub mod auth;
pub mod caps;
pub mod client;
pub mod command;
pub mod compress;
pub mod framer;
pub mod greeting;
pub mod login;
pub mod packet;
pub mod reader;
pub mod reply;
pub mod rows;
pub mod status;
pub mod stmt;
pub mod text;

pub use auth::{CACHING_SHA2, NATIVE, caching_sha2, native};
pub use caps::Capabilities;
pub use client::{ClientConfig, ClientLogin, LoginError, LoginStep};
pub use command::{Command, ReplyKind};
pub use compress::{BadPacket, Packer, Unpacked, Unpacker};
pub use framer::{Event, Prepared, ReplyEnd, ReplyFramer, Step};
pub use greeting::{Greeting, GreetingError};
pub use login::{AuthSwitch, ChangeUser, Login, SSL_REQUEST_LEN, SslRequest, auth_more};
pub use packet::{HEADER, Header, MAX_PAYLOAD, PacketBuffer, TooLarge, write_packet};
pub use reader::{Malformed, Reader};
pub use reply::{EofPacket, ErrPacket, OkPacket, SessionChange, Tracking, is_progress};
pub use status::Status;
pub use stmt::{BulkView, ExecuteView, set_statement, statement_of};
pub use text::{Limits, TextError, TextOutcome, TextResultSet};
