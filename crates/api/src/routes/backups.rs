//! Backups of databases, and their repository.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use dormouse_control::backups::{Attempt, Key, Sample};
use dormouse_control::history::{Point, Scope};
use dormouse_types::{Bytes as Size, DatabaseName};

use super::{By, Shared, endless, parse, read};
use crate::error::{Answer, Failure};
use crate::model::{
    AddKeyRequest, BackUpRequest, BackedUp, Backup, CheckRequest, Checked, History, HistoryEntry,
    HistoryQuery, HistoryRange, MadeBackup, PruneRequest, PrunedBackups, RepositoryKey,
    RestoreRequest, Restored, RunningBackup, Verified,
};

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// `POST /v1/backups/init`
pub(super) async fn init(State(context): Shared, Extension(caller): By) -> Answer<StatusCode> {
    let plane = caller.plane(&context);
    endless(async move { plane.backups().init().await }).await?;
    Ok(StatusCode::CREATED)
}

/// `GET /v1/backups`
pub(super) async fn list_all(
    State(context): Shared,
    Extension(caller): By,
) -> Answer<Json<Vec<Backup>>> {
    let backups = context.plane.backups();
    let found = match &caller.only {
        Some(own) => backups.list_present(own).await?,
        None => backups.list(None).await?,
    };
    Ok(Json(found.into_iter().filter_map(backup).collect()))
}

/// `GET /v1/databases/NAME/backups`
pub(super) async fn list(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<Json<Vec<Backup>>> {
    let (backups, name) = (context.plane.backups(), parse(&name)?);
    // an earlier database of the same name may have been another's
    let found = match caller.only {
        Some(_) => backups.list_present(&name).await?,
        None => backups.list(Some(name)).await?,
    };
    Ok(Json(found.into_iter().filter_map(backup).collect()))
}

fn backup(found: dormouse_control::backups::Backup) -> Option<Backup> {
    Some(Backup {
        id: found.id.to_string(),
        database: found.labels.database?,
        taken_at: found.labels.taken_at,
        size: Size(found.size),
        new: Size(found.new_bytes),
        reason: found.labels.reason,
        version: found.labels.version,
    })
}

/// `POST /v1/databases/NAME/backups`
pub(super) async fn make(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<BackedUp>> {
    let database = parse(&name)?;
    let BackUpRequest { always } = read(body, "backs a database up")?;
    let (plane, name) = (caller.plane(&context), database.clone());
    let attempt = endless(async move { plane.backups().make(&name, always).await }).await?;
    Ok(Json(match attempt {
        Attempt::Unchanged { id, taken_at } => BackedUp {
            database,
            id,
            taken_at,
            made: None,
        },
        Attempt::Made(made) => BackedUp {
            database,
            id: made.id,
            taken_at: made.taken_at,
            made: Some(MadeBackup {
                size: made.size,
                new: made.new,
                took_ms: millis(made.took),
                frozen_ms: millis(made.frozen),
            }),
        },
    }))
}

/// `POST /v1/databases/NAME/restore`
pub(super) async fn restore(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Restored>)> {
    let name = parse(&name)?;
    let RestoreRequest {
        backup,
        into,
        at,
        before,
    } = read(body, "restores a database")?;
    let point = match (&backup, at, before) {
        (_, None, None) => None,
        (None, Some(at), None) => Some(Point::At(at)),
        (None, None, Some(before)) => Some(Point::Before(before)),
        _ => {
            return Err(Failure::invalid(
                "name one of `backup`, `at` and `before`, not several",
            ));
        }
    };
    let plane = caller.plane(&context);
    let restored = endless(async move {
        let backups = plane.backups();
        match point {
            Some(point) => backups.restore_to(&name, point, into).await,
            None => backups.restore(&name, backup.as_deref(), into).await,
        }
    });
    let restored = restored.await?;
    let answer = Restored {
        name: restored.name,
        of: restored.of,
        backup: restored.backup,
        taken_at: restored.taken_at,
        size: restored.size,
        kept: restored.kept,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `GET /v1/databases/NAME/history`
pub(super) async fn history(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Answer<Json<History>> {
    let name: DatabaseName = parse(&name)?;
    let Query(HistoryQuery { grep }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    // an earlier database of the same name may have been another's
    let scope = match caller.only {
        Some(_) => Scope::Present,
        None => Scope::Name,
    };
    let (plane, of) = (context.plane.clone(), name.clone());
    let reading =
        endless(async move { plane.backups().history(&of, grep.as_deref(), scope).await }).await?;
    let ranges = reading.ranges.into_iter().map(|range| HistoryRange {
        from: range.from,
        until: range.until,
        size: range.size,
        is_live: range.is_live,
    });
    let found = reading.found.into_iter().map(|found| HistoryEntry {
        restore: format!("dormouse restore {name} --before {}", found.gtid),
        at: found.at,
        gtid: found.gtid,
        tables: found.tables,
        text: found.text,
    });
    Ok(Json(History {
        is_on: reading.is_on,
        ranges: ranges.collect(),
        found: found.collect(),
        is_cut: reading.is_cut,
    }))
}

/// `POST /v1/databases/NAME/verify`
pub(super) async fn verify(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Verified>> {
    let name = parse(&name)?;
    let RestoreRequest {
        backup,
        into,
        at,
        before,
    } = read(body, "verifies a backup")?;
    if into.is_some() || at.is_some() || before.is_some() {
        return Err(Failure::invalid(
            "a backup is verified as it is, without a new database: leave out `into`, `at` and `before`",
        ));
    }
    let plane = caller.plane(&context);
    let verified = endless(async move { plane.backups().verify(&name, backup.as_deref()).await });
    let verified = verified.await?;
    Ok(Json(Verified {
        database: verified.database,
        backup: verified.backup,
        taken_at: verified.taken_at,
        size: verified.size,
        damaged: verified.damaged,
        took_ms: millis(verified.took),
    }))
}

/// `POST /v1/backups/check`
pub(super) async fn check(
    State(context): Shared,
    Extension(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Checked>> {
    let CheckRequest { percent } = read(body, "checks the repository")?;
    let sample = match percent {
        0 => Sample::Nothing,
        1..=99 => Sample::Percent(f64::from(percent)),
        100 => Sample::Everything,
        _ => return Err(Failure::invalid("percent is more than 100")),
    };
    let plane = caller.plane(&context);
    let checked = endless(async move { plane.backups().check(sample).await }).await?;
    Ok(Json(Checked {
        faults: checked.faults,
        remarks: checked.remarks,
    }))
}

/// `POST /v1/backups/prune`
pub(super) async fn prune(
    State(context): Shared,
    Extension(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<PrunedBackups>> {
    let PruneRequest { at_once } = read(body, "prunes the repository")?;
    let plane = caller.plane(&context);
    let (forgotten, pruned) = endless(async move { plane.backups().prune(at_once).await }).await?;
    Ok(Json(PrunedBackups {
        forgotten,
        removed: Size(pruned.removed),
        marked: Size(pruned.marked),
    }))
}

/// `GET /v1/backups/running`
pub(super) async fn running(State(context): Shared) -> Json<Vec<RunningBackup>> {
    let running = context.plane.backups().running().into_iter();
    let running = running.map(|one| RunningBackup {
        database: one.database,
        doing: one.doing.to_owned(),
        since: one.since,
        done: one.done,
        total: one.total,
        waits_for: one.waits_for,
    });
    Json(running.collect())
}

/// `GET /v1/backups/keys`
pub(super) async fn keys(State(context): Shared) -> Answer<Json<Vec<RepositoryKey>>> {
    let keys = context.plane.backups().keys().await?.into_iter();
    let keys = keys.map(|key| RepositoryKey {
        id: key.id,
        host: key.host,
        note: key.note,
        created: key.created,
        in_use: key.in_use,
    });
    Ok(Json(keys.collect()))
}

/// `POST /v1/backups/keys`
pub(super) async fn add_key(
    State(context): Shared,
    Extension(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<String>)> {
    let AddKeyRequest { key, note } = read(body, "adds a key")?;
    let plane = caller.plane(&context);
    let added = endless(async move { plane.backups().add_key(Key::new(key), note).await });
    Ok((StatusCode::CREATED, Json(added.await?)))
}

/// `DELETE /v1/backups/keys/ID`
pub(super) async fn remove_key(
    State(context): Shared,
    Extension(caller): By,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let plane = caller.plane(&context);
    endless(async move { plane.backups().remove_key(id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
