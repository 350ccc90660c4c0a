//! Copies a few parked databases many times, while Dormouse is stopped.
//!
//! A copy has rows of its own in the catalog and an instance directory of its own, whose files are
//! hard links to those of the original: 10,000 real databases would need 240 GB. While they are parked,
//! they are like any other database. No copy may ever be started.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::Context as _;
use rusqlite::{Connection, params};

/// Name of an original database.
pub(super) fn real(number: u32) -> String {
    format!("tenant-{number}")
}

/// Adds copies of each database in turn until there are `total`. Ids of instances continue from the
/// highest.
pub(super) fn multiply(data_dir: &Path, total: u32) -> anyhow::Result<()> {
    let mut catalog = Connection::open(data_dir.join("catalog.sqlite"))?;
    let others = columns(&catalog, "databases", &["name", "variables"])?;
    let of_instance = columns(&catalog, "instances", &["id", "database", "role"])?;
    // the only path in a database's row is its server's socket
    let copy_database = format!(
        "INSERT INTO databases (name, variables, {others})
         SELECT ?1, replace(variables, '/' || ?4 || '/', '/' || ?2 || '/'), {others}
         FROM databases WHERE name = ?3"
    );
    let copy_instance = format!(
        "INSERT INTO instances ({of_instance}) SELECT {of_instance} FROM instances WHERE id = ?1 \
         RETURNING id"
    );
    let transaction = catalog.transaction()?;
    let originals: Vec<(String, u32)> = transaction
        .prepare("SELECT database, id FROM instances WHERE role = 'primary' ORDER BY database")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let copies = u32::try_from(originals.len())?..total;
    for (number, (original, instance)) in copies.zip(originals.iter().cycle()) {
        let id: u32 = transaction
            .prepare_cached(&copy_instance)?
            .query_row([instance], |row| row.get(0))?;
        transaction
            .prepare_cached(&copy_database)?
            .execute(params![real(number), id, original, instance])?;
        transaction
            .prepare_cached("UPDATE instances SET database = ?2, role = 'primary' WHERE id = ?1")?
            .execute(params![id, real(number)])?;
        let instances = data_dir.join("instances");
        let [from, to] = [*instance, id].map(|id| instances.join(id.to_string()));
        link_all(&from, &to).with_context(|| format!("making {}", to.display()))?;
    }
    transaction.commit()?;
    Ok(())
}

/// The columns of a table except some, as a list.
fn columns(catalog: &Connection, table: &str, but: &[&str]) -> rusqlite::Result<String> {
    let names: Vec<String> = catalog
        .prepare("SELECT name FROM pragma_table_info(?1)")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let others: Vec<String> = names
        .into_iter()
        .filter(|name| !but.contains(&name.as_str()))
        .collect();
    Ok(others.join(", "))
}

/// Copies a directory with hard links to its files.
fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    let like = fs::metadata(from)?;
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(like.mode()))?;
    chown(to, Some(like.uid()), Some(like.gid()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_all(&entry.path(), &copy)?;
        } else {
            fs::hard_link(entry.path(), copy)?;
        }
    }
    Ok(())
}
