//! Paths of one instance's files.
//!
//! The server's user owns the directory. Files that the server must not change (configuration, lock)
//! are beside it.

use std::path::{Path, PathBuf};

use crate::EngineError;

/// Longest path of a Unix socket (`sun_path`, `unix(7)`), without the final NUL.
const SUN_PATH: usize = 107;

/// One instance's directory and the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under an absolute path, which need not exist yet.
    ///
    /// # Errors
    /// The socket's path would be too long, or the path has a character that the server's configuration
    /// file does not allow (control character, quote, backslash, `#`, `;`).
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, EngineError> {
        let layout = Self { root: root.into() };
        let path = layout.socket();
        let len = path.as_os_str().len();
        if len > SUN_PATH {
            return Err(EngineError::SocketPath {
                path,
                len,
                max: SUN_PATH,
            });
        }
        let plain = |c: char| !c.is_control() && !"'\"\\#;".contains(c);
        match layout.root.to_str() {
            Some(text) if text.chars().all(plain) => Ok(layout),
            _ => Err(EngineError::BadPath { path: layout.root }),
        }
    }

    /// The instance's own directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The server's data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Temporary files.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The only directory in which SQL may read and write files (`secure_file_priv`).
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Binary logs. A copy of the directory has them.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join(crate::history::LOGS)
    }

    /// Logs of another server that this one is to apply ([`history`](crate::history)); absent but for a recovery.
    #[must_use]
    pub fn replay(&self) -> PathBuf {
        self.root.join(crate::history::REPLAY)
    }

    /// Logs of the server that this one follows ([`history`](crate::history)); absent if it follows none.
    #[must_use]
    pub fn relay(&self) -> PathBuf {
        self.root.join(crate::history::RELAY)
    }

    /// The server's error log.
    #[must_use]
    pub fn error_log(&self) -> PathBuf {
        self.root.join("error.log")
    }

    /// The server's Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("mysqld.sock")
    }

    /// The server's configuration file, beside the directory.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.beside(".cnf")
    }

    /// The server's key and certificate, beside the directory.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.beside(".pem")
    }

    /// The certificate of the authority that signs client certificates for the server, beside the directory.
    #[must_use]
    pub fn client_authority(&self) -> PathBuf {
        self.beside(".ca.pem")
    }

    /// File with the TCP address of the server's last start, beside the directory; absent if it listened on
    /// its Unix socket only.
    #[must_use]
    pub fn address(&self) -> PathBuf {
        self.beside(".address")
    }

    /// SQL that the server runs at a start for maintenance, beside the directory; absent for any other start.
    #[must_use]
    pub fn maintenance(&self) -> PathBuf {
        self.beside(".init.sql")
    }

    /// File with the series of the server to which the files belong, beside the directory.
    #[must_use]
    pub fn series(&self) -> PathBuf {
        self.beside(".series")
    }

    /// Lock file that a running server holds, beside the directory.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// File with the wrapped keys of an encrypted instance, beside the directory. A copy of the instance needs
    /// it.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.beside(".keys")
    }

    /// File with the name of the log that this very instance began, beside the directory. A copy does not have it.
    #[must_use]
    pub fn timeline(&self) -> PathBuf {
        self.beside(".timeline")
    }

    /// File with the port of the machine at which a follower reaches the server that it follows, beside the directory.
    #[must_use]
    pub fn upstream(&self) -> PathBuf {
        self.beside(".upstream")
    }

    /// File that says which restrictions the last process has, beside the directory.
    #[must_use]
    pub fn sandbox(&self) -> PathBuf {
        self.beside(".sandbox")
    }

    /// File with the CPU time of the last process, beside the directory.
    #[must_use]
    pub fn spent(&self) -> PathBuf {
        self.beside(".spent")
    }

    /// Temporary path under which the directory is created, beside its final one.
    #[must_use]
    pub fn unfinished(&self) -> PathBuf {
        self.beside(".tmp")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.root.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_socket_path_is_refused() {
        let fits = "/".repeat(SUN_PATH - "/mysqld.sock".len());
        assert_eq!(
            Layout::new(&fits)
                .map(|l| l.socket().as_os_str().len())
                .ok(),
            Some(SUN_PATH - 1)
        );
        let long = format!("/{}", "x".repeat(SUN_PATH));
        let error = Layout::new(long).map_err(|e| e.to_string());
        assert!(
            error.as_ref().is_err_and(|e| e.contains("shorter path")),
            "{error:?}"
        );
    }

    #[test]
    fn a_path_that_a_configuration_file_does_not_allow_is_refused() {
        for bad in ["/a\nb", "/a\"b", "/a'b", "/a\\b", "/a#b", "/a;b"] {
            assert!(Layout::new(bad).is_err(), "{bad:?}");
        }
        assert!(Layout::new("/a b/ä").is_ok());
    }
}
