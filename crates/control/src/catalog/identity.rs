//! The identity of the installation: a random number in the catalog's header, which each file beside an instance has too.
//!
//! A catalog that was never used, since the former one was lost, gets the identity that stands beside the instances. So a
//! catalog with another identity than the files is that of another installation.

use std::collections::BTreeMap;

use dormouse_types::{DatabaseName, InstanceId};
use rusqlite::Connection;

use super::record::Contents;
use crate::error::Error;

const PRAGMA: &str = "application_id";

/// Reads the identity; makes or takes up one if the catalog has none. The inner error: no random number was to be had.
pub(super) fn of(
    connection: &Connection,
    contents: &Contents,
) -> rusqlite::Result<Result<i32, Error>> {
    let known: i32 = connection.pragma_query_value(None, PRAGMA, |row| row.get(0))?;
    let unused = contents.databases.is_empty() && contents.last_instance == 0;
    let identity = match (known, most_frequent(contents)) {
        (_, Some(found)) if unused => found,
        // a catalog from before there were identities
        (0, Some(found)) if !contradicts(contents) => found,
        (0, _) => match random() {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        },
        (known, _) => known,
    };
    if identity != known {
        connection.pragma_update(None, PRAGMA, identity)?;
    }
    Ok(Ok(identity))
}

/// Whether the catalog says something else of an instance than its file does.
fn contradicts(contents: &Contents) -> bool {
    let known: BTreeMap<InstanceId, &DatabaseName> = { contents.databases.iter() }
        .map(|row| (row.instance, &row.name))
        .collect();
    let mut manifests = contents.manifests.iter();
    manifests.any(|(id, one)| known.get(id).is_some_and(|name| **name != one.name))
}

/// The identity of most files; those of databases say more than those of instances that nobody has.
fn most_frequent(contents: &Contents) -> Option<i32> {
    let of_databases = contents.manifests.iter().map(|(_, one)| one.catalog);
    let all: Vec<i32> = match contents.manifests.is_empty() {
        true => contents.unclaimed.iter().map(|(_, one)| *one).collect(),
        false => of_databases.collect(),
    };
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(one, _)| one)
}

fn random() -> Result<i32, Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|e| Error::Machine {
        doing: "drawing a random number for the installation".to_owned(),
        reason: e.to_string(),
    })?;
    Ok(i32::from_le_bytes(bytes) | 1)
}
