//! Branches of databases.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use dormouse_control::history::Point;
use dormouse_types::Delay;

use super::{By, Shared, endless, order, parse, read};
use crate::error::Answer;
use crate::login;
use crate::model::{BranchRequest, Branched};

/// `POST /v1/databases/NAME/branches`
pub(super) async fn make(
    State(context): Shared,
    Extension(caller): By,
    Path(parent): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Branched>)> {
    let parent = parse(&parent)?;
    let request: BranchRequest = read(body, "branches a database")?;
    let lifetime = match request.ttl {
        Some(Delay::After(lifetime)) => Some(lifetime),
        Some(Delay::Never) | None => None,
    };
    let plane = caller.plane(&context);
    let made = async move {
        let (branches, name) = (plane.branches(), &request.name);
        match request.at {
            Some(at) => {
                branches
                    .make_at(&parent, name, lifetime, Point::At(at))
                    .await
            }
            None => branches.make(&parent, name, lifetime).await,
        }
    };
    let answer = login::branched(endless(made).await?, &context.listen);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `POST /v1/databases/NAME/reset`
pub(super) async fn reset(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<Json<Branched>> {
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    let made = order(async move { plane.branches().reset(&name).await }).await?;
    Ok(Json(login::branched(made, &context.listen)))
}
