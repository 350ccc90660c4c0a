//! [`Marker`]: the name of one transaction in its server's binary log.

use std::fmt;

/// What every marker begins with.
const PREFIX: &str = "dm_";

/// Names one transaction, among all of all times: the number of a commit of one run of Dormouse, which has a random
/// number itself.
///
/// A savepoint of this name, set right before the commit, stands in the transaction's group of the binary log. A
/// transaction that changed nothing, or was rolled back, has no group.
///
/// ```
/// use dormouse_types::Marker;
///
/// let marker = Marker::new(0xfeed, 11);
/// assert_eq!(marker.savepoint(), "SAVEPOINT `dm_000000000000feed_b`");
/// assert_eq!(Marker::of_savepoint(&marker.savepoint()), Some(marker));
/// assert_eq!(Marker::of_savepoint("SAVEPOINT `mine`"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marker {
    run: u64,
    number: u64,
}

impl Marker {
    /// The marker of this number in this run.
    #[must_use]
    pub fn new(run: u64, number: u64) -> Self {
        Self { run, number }
    }

    /// The statement that sets it.
    #[must_use]
    pub fn savepoint(&self) -> String {
        format!("SAVEPOINT `{self}`")
    }

    /// The marker that a statement sets, as the binary log has it; `None` if it is another statement.
    #[must_use]
    pub fn of_savepoint(text: &str) -> Option<Self> {
        let name = text.strip_prefix("SAVEPOINT `")?.strip_suffix('`')?;
        let (run, number) = name.strip_prefix(PREFIX)?.split_once('_')?;
        let read = |text: &str| u64::from_str_radix(text, 16).ok();
        let marker = Self::new(read(run)?, read(number)?);
        // one text for each marker
        (marker.to_string() == name).then_some(marker)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:016x}_{:x}", self.run, self.number)
    }
}
