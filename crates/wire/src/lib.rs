//! The MySQL and MariaDB client/server protocol, without I/O.
//!
//! Bytes go in, values and bytes come out. No code here opens a socket, reads a clock or grows a
//! buffer without a limit. Called by `session`, `engine` and `proxy`.
//!
//! Invariants:
//! - a decoder returns a value or an error for any bytes and never panics (see `fuzz/`);
//! - encoding a decoded value and decoding it again gives the same value;
//! - rows are never copied: [`ReplyFramer`] reads packet headers and the last packets only. A [`filter`] copies what it
//!   edits.
//!
//! Modules, in groups in the order of use on a connection: bytes and packets; connecting; commands and
//! their replies.
//!
//! Source of the layouts: the servers' documentation ("Client/Server Protocol" of MariaDB,
//! "Client/Server Protocol" in MySQL's internals manual), checked against running servers.

// bytes and packets
pub mod reader;

pub mod packet;

pub mod compress;

// connecting
pub mod proxy_protocol;

pub mod caps;
pub mod greeting;
pub mod login;

pub mod auth;
pub mod client;
pub mod x509;

// commands and their replies
pub mod command;
pub mod stmt;

pub mod status;

pub mod reply;

pub mod filter;
pub mod framer;
pub mod rows;
pub mod text;

pub use auth::{CACHING_SHA2, NATIVE, caching_sha2, native};
pub use caps::Capabilities;
pub use client::{ClientConfig, ClientLogin, LoginError, LoginStep};
pub use command::{Command, ReplyKind};
pub use compress::{BadPacket, Packer, Unpacked, Unpacker};
pub use filter::{EditRows, Edited, RowFilter};
pub use framer::{Event, Prepared, ReplyEnd, ReplyFramer, Step};
pub use greeting::{Greeting, GreetingError};
pub use login::{AuthSwitch, ChangeUser, Login, SSL_REQUEST_LEN, SslRequest, auth_more};
pub use packet::{HEADER, Header, MAX_PAYLOAD, PacketBuffer, TooLarge, write_packet};
pub use reader::{Malformed, Reader};
pub use reply::{EofPacket, ErrPacket, OkPacket, SessionChange, Tracking, is_progress};
pub use status::Status;
pub use stmt::{BulkView, ExecuteView, set_statement, statement_of};
pub use text::{Limits, TextError, TextOutcome, TextResultSet};
