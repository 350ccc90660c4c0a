//! The key of a repository: a passphrase that the caller has read from where it is kept.

use std::fmt;

use zeroize::Zeroizing;

/// The passphrase that opens a repository. Never shown, and overwritten in memory when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl Key {
    /// Takes a passphrase as it stands in a file, a variable or a command's output: one line end at its end is not part of it.
    #[must_use]
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        Self(Zeroizing::new(line.to_owned()))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
