//! An endpoint as a column.

use std::net::SocketAddr;
use std::path::PathBuf;

use dormouse_types::{Endpoint, TlsIdentity};
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::columns::json;

/// The stored form of an endpoint.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Unix(PathBuf),
    Tcp {
        address: SocketAddr,
        name: String,
        /// DER.
        authority: Vec<u8>,
    },
}

/// The endpoint as JSON; `None` if its path is not UTF-8.
pub(super) fn text(endpoint: &Endpoint) -> Option<String> {
    let written = match endpoint {
        Endpoint::Unix(path) => Written::Unix(path.clone()),
        Endpoint::Tcp { address, identity } => Written::Tcp {
            address: *address,
            name: identity.name.as_ref().to_owned(),
            authority: identity.authority.to_vec(),
        },
    };
    serde_json::to_string(&written).ok()
}

/// The endpoint in a column, if there is one.
pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Endpoint>> {
    let text: Option<String> = row.get(column)?;
    let endpoint = |written| match written {
        Written::Unix(path) => Endpoint::Unix(path),
        Written::Tcp {
            address,
            name,
            authority,
        } => Endpoint::Tcp {
            address,
            identity: TlsIdentity {
                name: name.into(),
                authority: authority.into(),
            },
        },
    };
    text.map(|_| json(row, column).map(endpoint)).transpose()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn an_endpoint_is_read_as_it_was_written() {
        let connection = Connection::open_in_memory().unwrap();
        let tcp = Endpoint::Tcp {
            address: "[::1]:3306".parse().unwrap(),
            identity: TlsIdentity {
                name: "db-7".into(),
                authority: [0x30, 0x82].as_slice().into(),
            },
        };
        for endpoint in [Endpoint::unix("/run/7/socket"), tcp] {
            let found = connection
                .query_row("SELECT ?1", [text(&endpoint)], |row| read(row, 0))
                .unwrap();
            assert_eq!(found, Some(endpoint));
        }
    }
}
