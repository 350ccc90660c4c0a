//! Errors with a server's files and programs.

use std::io;
use std::path::PathBuf;

/// A server cannot be found, configured or given files: the machine's or its operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No server program was found.
    #[error(
        "no mariadbd found (tried {looked}); install the server, for instance with \
         `apt-get install mariadb-server-core`, or set its path in the configuration"
    )]
    NoServer {
        /// The paths that were tried.
        looked: String,
    },
    /// A server was found, but not its `mariadb-install-db`.
    #[error(
        "found the server {server}, but no mariadb-install-db beside it; install the package that \
         contains it (Debian: mariadb-server-core), or set its path in the configuration"
    )]
    NoInstaller {
        /// The server program.
        server: PathBuf,
    },
    /// The program ran, but is not a supported server.
    #[error("{program} is not a supported server: {reason}")]
    NotAServer {
        /// The program.
        program: PathBuf,
        /// Its output, or why its version is not supported.
        reason: String,
    },
    /// A program of the server failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: PathBuf,
        /// The end of its output.
        reason: String,
    },
    /// A Unix socket's path would be too long.
    #[error(
        "the socket path {path} is {len} bytes long, but the limit is {max}: choose a data \
         directory with a shorter path"
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        len: usize,
        /// Size of `sun_path` (`unix(7)`) without the final NUL.
        max: usize,
    },
    /// The installation's secret file has invalid content.
    #[error(
        "{path} is damaged: it must contain a secret of 64 hexadecimal digits. Restore it from a \
         backup; with another secret Dormouse cannot log in to the existing databases"
    )]
    BadSecret {
        /// The file.
        path: PathBuf,
    },
    /// A path that cannot be written in the server's configuration file.
    #[error(
        "the path {path} has a character that a server's configuration file does not allow: \
         choose another data directory"
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
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Adds the failed operation to an I/O error.
pub(crate) fn doing(text: impl Into<String>) -> impl FnOnce(io::Error) -> EngineError {
    let doing = text.into();
    move |source| EngineError::Io { doing, source }
}
