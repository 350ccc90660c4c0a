//! Handlers for the keys of encrypted databases. No response contains a key.

use axum::Json;
use axum::extract::{Extension, Path, State};

use super::{By, Shared, order, transition};
use crate::error::Answer;
use crate::model::{Database, KeyList, MasterKeyRotated};

pub(super) async fn list(State(context): Shared) -> Json<KeyList> {
    Json(context.plane.keys().await)
}

pub(super) async fn rotate_master(
    State(context): Shared,
    Extension(caller): By,
) -> Answer<Json<MasterKeyRotated>> {
    let plane = caller.plane(&context);
    let (old, new) = order(async move { plane.rotate_master_key().await }).await?;
    Ok(Json(MasterKeyRotated { old, new }))
}

pub(super) async fn encrypt(
    context: Shared,
    caller: By,
    name: Path<String>,
) -> Answer<Json<Database>> {
    transition(context, caller, name, |plane, name| async move {
        plane.encrypt(&name).await
    })
    .await
}

pub(super) async fn rotate(
    context: Shared,
    caller: By,
    name: Path<String>,
) -> Answer<Json<Database>> {
    transition(context, caller, name, |plane, name| async move {
        plane.rotate_key(&name).await
    })
    .await
}
