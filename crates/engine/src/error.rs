//! What can go wrong with an engine's files and programs.

use std::io;
use std::path::PathBuf;

/// Why a server cannot be found, configured or laid out. The machine's or its operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No server program was found.
    #[error(
        "no mariadbd found (looked at {looked}); install the server, for instance with \
         `apt-get install mariadb-server-core`, or name its path in the configuration"
    )]
    NoServer {
        /// The paths that were tried.
        looked: String,
    },
    /// A server was found, but not the program that makes a data directory for it.
    #[error(
        "found the server {server}, but no mariadb-install-db beside it; install the package that \
         has it (Debian: mariadb-server-core), or name its path in the configuration"
    )]
    NoInstaller {
        /// The server program.
        server: PathBuf,
    },
    /// The program ran, but is no server this crate knows.
    #[error("{program} is no server that can be run here: {reason}")]
    NotAServer {
        /// The program.
        program: PathBuf,
        /// What it said, or which version is too old.
        reason: String,
    },
    /// A program of the server failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: PathBuf,
        /// The end of what it printed.
        reason: String,
    },
    /// A Unix socket's path would not fit.
    #[error(
        "the socket path {path} is {len} bytes long, and a Unix socket allows {max}: choose a \
         data directory with a shorter path"
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        len: usize,
        /// What `sun_path` holds (`unix(7)`), less the final NUL.
        max: usize,
    },
    /// The file that holds the installation's secret is not one.
    #[error(
        "{path} does not hold a secret of 64 hexadecimal digits: restore it from a backup; \
             with another secret the existing databases cannot be administered"
    )]
    BadSecret {
        /// The file.
        path: PathBuf,
    },
    /// A path that would have to be quoted in the server's configuration file.
    #[error(
        "the path {path} holds a character that a server's configuration file cannot: choose another data directory"
    )]
    BadPath {
        /// The path.
        path: PathBuf,
    },
    /// The system refused a file operation.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Makes an I/O error say what was being done.
pub(crate) fn doing(text: impl Into<String>) -> impl FnOnce(io::Error) -> EngineError {
    let doing = text.into();
    move |source| EngineError::Io { doing, source }
}
