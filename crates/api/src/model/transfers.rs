//! Imports and exports.

use dormouse_control::Direction;
use dormouse_types::Bytes;
use serde::{Deserialize, Serialize};

/// Request of `POST /v1/databases/NAME/transfers`: an import or export has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferNote {
    /// `import` or `export`.
    pub direction: Direction,
    /// From where, or from what and to where; at most 500 characters are kept.
    pub what: String,
    /// Bytes of the dump.
    pub bytes: Bytes,
    /// Tables, if they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Rows, if they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// For whom a database is reserved: `PUT /v1/databases/NAME/reservation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Sessions that show this key in the connection attribute `dormouse_key` may run statements; without it all may.
    pub key: Option<String>,
}
