//! The changes that a `SET` makes to a session's variables.

use super::charset::Collation;

/// The variables that `SET NAMES` sets, besides the collation.
pub(crate) const NAMES: [&str; 3] = [
    "character_set_client",
    "character_set_connection",
    "character_set_results",
];

/// One thing that a `SET` changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `NAMES`
    Names(Collation),
    /// `character_set_results`
    Results(Option<Collation>),
    /// `collation_connection`, or `character_set_connection`
    Connection(Collation),
    /// A variable gets this value.
    Value(&'static str, String),
    /// A variable gets an unknown value.
    Lost(&'static str),
    /// `SET TRANSACTION`
    NextTransaction {
        /// `READ ONLY` or `READ WRITE`, if given.
        read_only: Option<bool>,
    },
}
