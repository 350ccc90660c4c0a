//! Databases whose files are there and that the catalog does not know: it was deleted, emptied, replaced by another, or is an
//! old copy. Their names and settings stand beside their files ([`Manifest`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_driver::Run;
use dormouse_policy::Cause;
use dormouse_types::{DatabaseName, InstanceId, State};
use jiff::Timestamp;
use tracing::warn;

use crate::catalog::{
    Catalog, Change, Contents, DatabaseRow, Durability, Entry, Manifest, Noted, Phase,
};
use crate::error::Error;
use crate::instance::host::Host;
use crate::time::within;

/// What a start found that the catalog does not know.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Databases that are in the catalog now.
    pub(crate) rebuilt: Vec<DatabaseRow>,
    /// For whoever runs Dormouse.
    pub(crate) told: Vec<String>,
}

/// Refuses the catalog of another installation: files of its instances, or all files that are there, are those of this one.
pub(crate) fn check(catalog: &Catalog, contents: &Contents) -> Result<(), Error> {
    let known: BTreeMap<InstanceId, &DatabaseName> = contents
        .databases
        .iter()
        .map(|row| (row.instance, &row.name))
        .collect();
    let own = |manifest: &Manifest| manifest.catalog == contents.installation;
    let has_own = contents.manifests.iter().any(|(_, one)| own(one));
    for (id, manifest) in &contents.manifests {
        let name = known.get(id);
        if own(manifest) || name.is_none() && has_own {
            continue;
        }
        let says = match name {
            Some(name) => format!("it says that instance {id} is '{name}'"),
            None => format!("it does not know instance {id}"),
        };
        return Err(Error::Catalog {
            path: catalog.path().to_owned(),
            reason: format!(
                "it is the catalog of another data directory: {says}, and the files of instance {id} are those of '{}' \
                 of another installation; nothing was changed",
                manifest.name
            ),
            hint: "put the right catalog back, or move this one away with its -wal and -shm: dormouse up then makes a \
                   new one, with the names and settings that it finds beside the databases' files"
                .to_owned(),
        });
    }
    Ok(())
}

/// Takes up the databases of these instances, of which the catalog does not know whose they are.
pub(crate) async fn rebuild(
    host: &Host,
    catalog: &Catalog,
    contents: &Contents,
    unknown: &BTreeSet<InstanceId>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut taken: BTreeMap<DatabaseName, InstanceId> = contents
        .databases
        .iter()
        .map(|row| (row.name.clone(), row.instance))
        .collect();
    for (id, manifest) in &contents.manifests {
        if !unknown.contains(id) {
            continue;
        }
        let name = &manifest.name;
        if manifest.catalog != contents.installation {
            let told = format!(
                "the files of instance {id} are those of a database '{name}' of another installation, so they are left \
                 alone: have that one make a backup, and restore it here"
            );
            warn!(instance = %id, database = %name, "{told}");
            found.told.push(told);
            continue;
        }
        if let Some(other) = taken.get(name) {
            let told = format!(
                "the files of instance {id} are those of a database '{name}', which the catalog does not know; there is \
                 another '{name}' (instance {other}), so they are left alone: rename or drop that one, and start again"
            );
            warn!(instance = %id, database = %name, "{told}");
            found.told.push(told);
            continue;
        }
        taken.insert(name.clone(), *id);
        let row = row(host, *id, manifest).await;
        catalog
            .write(Durability::Now, changes(&row, manifest))
            .await?;
        warn!(instance = %id, database = %name, "the catalog did not know it: name and settings were read beside its files");
        found.rebuilt.push(row);
    }
    if let Some(first) = found.rebuilt.first() {
        let names: Vec<&str> = found.rebuilt.iter().map(|row| row.name.as_str()).collect();
        let is_new = contents.databases.is_empty() && contents.last_instance == 0;
        let what = if is_new {
            "was new or empty"
        } else {
            "did not know them"
        };
        found.told.push(format!(
            "the catalog {} {what}: {} ({}) taken up again, with the names and settings beside their files (instance {} is \
             '{}'); their usage, tokens and entries in the ledger are lost. If it was moved away by mistake, stop dormouse and \
             put it back",
            catalog.path().display(),
            match names.len() {
                1 => "1 database was".to_owned(),
                count => format!("{count} databases were"),
            },
            names.join(", "),
            first.instance,
            first.name,
        ));
    }
    Ok(found)
}

async fn row(host: &Host, id: InstanceId, manifest: &Manifest) -> DatabaseRow {
    let seen = within(host.deadlines.ask, host.driver.observe(id)).await;
    let state = match seen.map(|seen| seen.run) {
        Ok(Run::Running) => State::Active,
        Ok(Run::Frozen) => State::Suspended,
        Ok(Run::Stopped) | Err(_) => State::Parked,
    };
    DatabaseRow {
        name: manifest.name.clone(),
        instance: id,
        origin: manifest.origin.unwrap_or(id),
        spec: Arc::new(manifest.spec.clone()),
        state,
        since: Timestamp::now(),
        generation: 1,
        rights: manifest.rights,
        // its server may use no more than that
        units: manifest.spec.units.max,
        reason: "the catalog did not know it".to_owned(),
        noted: Noted::default(),
        storage: None,
        full: false,
        branch: manifest.branch.clone(),
    }
}

fn changes(row: &DatabaseRow, manifest: &Manifest) -> Vec<Change> {
    let entry = Entry {
        to: Some(row.state),
        ..Entry::noted(
            &row.name,
            Cause::StartUp,
            "the catalog did not know it; name and settings were read beside its files".to_owned(),
        )
    };
    vec![
        Change::Instance {
            id: row.instance,
            phase: Phase::Foreign,
            version: manifest.version.clone(),
        },
        Change::Claim(Box::new(row.clone())),
        Change::Rights {
            instance: row.instance,
            rights: row.rights,
        },
        Change::Ledger(Box::new(entry)),
    ]
}
