//! Where one instance's files are.
//!
//! The server owns its directory; what it must not be able to change (its configuration, its
//! lock) stands beside it.

use std::path::{Path, PathBuf};

use crate::EngineError;

/// What a Unix socket's address holds (`sun_path`, `unix(7)`), less the final NUL.
const SUN_PATH: usize = 107;

/// One instance's directory and the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under an absolute path that need not exist yet.
    ///
    /// # Errors
    /// If the socket's path would be too long, or the path holds what a configuration file of the
    /// server cannot (control characters, quotes, a backslash, `#`).
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

    /// The one place where SQL may read and write files (`secure_file_priv`).
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
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

    /// The TCP address of the server's last start, beside the directory; not there if it listened on its
    /// Unix socket alone.
    #[must_use]
    pub fn address(&self) -> PathBuf {
        self.beside(".address")
    }

    /// The file that a running server holds locked, beside the directory.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// How much CPU time its last process had used, beside the directory.
    #[must_use]
    pub fn spent(&self) -> PathBuf {
        self.beside(".spent")
    }

    /// Where the directory grows until it is whole, beside its final place.
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
    fn a_socket_path_must_fit() {
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
    fn a_path_must_be_writable_in_a_configuration_file() {
        for bad in ["/a\nb", "/a\"b", "/a'b", "/a\\b", "/a#b", "/a;b"] {
            assert!(Layout::new(bad).is_err(), "{bad:?}");
        }
        assert!(Layout::new("/a b/ä").is_ok());
    }
}
