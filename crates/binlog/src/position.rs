//! How far a log had been written.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::group::Gtid;

/// The last group of each domain, as a server's `gtid_binlog_pos` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<u32, u64>);

/// A text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no position in a binary log")]
pub struct NoPosition(String);

impl FromStr for Position {
    type Err = NoPosition;

    /// Reads GTIDs with commas between them; nothing: the log is empty.
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let wrong = || NoPosition(text.to_owned());
        let mut last = BTreeMap::new();
        for gtid in text.split(',').filter(|_| !text.is_empty()) {
            let gtid: Gtid = gtid.parse().map_err(|_| wrong())?;
            if last.insert(gtid.domain, gtid.sequence).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self(last))
    }
}

impl Position {
    /// Whether a group was written later.
    #[must_use]
    pub fn is_before(&self, gtid: Gtid) -> bool {
        let last = self.0.get(&gtid.domain);
        last.is_none_or(|last| gtid.sequence > *last)
    }
}
