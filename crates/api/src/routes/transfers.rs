//! Imports and exports, which their clients tell of at the end.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use dormouse_control::Transfer;

use super::{By, Shared, order, parse, read};
use crate::error::{Answer, Failure};
use crate::model::{Reservation, TransferNote};

/// `POST /v1/databases/NAME/transfers`
pub(super) async fn note(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let note: TransferNote = read(body, "notes an import or export")?;
    let transfer = Transfer {
        direction: note.direction,
        what: note.what,
        bytes: note.bytes,
        tables: note.tables,
        rows: note.rows,
        duration: Duration::from_millis(note.duration_ms),
        error: note.error,
    };
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    order(async move { plane.note_transfer(&name, transfer).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/databases/NAME/reservation`
pub(super) async fn reserve(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let Reservation { key } = read(body, "reserves a database")?;
    let fits = |key: &String| (16..=128).contains(&key.len());
    if !key.as_ref().is_none_or(fits) {
        let message = "the key of a reservation has 16 to 128 characters";
        return Err(Failure::invalid(message));
    }
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    order(async move { plane.reserve(&name, key).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
