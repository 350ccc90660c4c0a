//! Adds, lists, rotates and removes tokens.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use dormouse_control::token::{GRACE, LIFETIME};
use dormouse_control::{AddToken, NewToken, RotateToken, Token, TokenId, TokenName};
use dormouse_types::Delay;

use super::{By, Shared, order, read};
use crate::error::{Answer, Failure};
use crate::model::{RotateRequest, TokenRequest};

pub(super) async fn list(State(context): Shared) -> Answer<Json<Vec<Token>>> {
    Ok(Json(context.plane.tokens().list().await?))
}

pub(super) async fn add(
    State(context): Shared,
    Extension(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<NewToken>)> {
    let asked: TokenRequest = read(body, "adds a token")?;
    let name = match asked.name {
        Some(name) => name,
        None => asked
            .role
            .as_str()
            .parse::<TokenName>()
            .map_err(Failure::invalid)?,
    };
    let wanted = AddToken {
        name,
        role: asked.role,
        database: asked.database,
        lifetime: lifetime(asked.expires.unwrap_or(Delay::After(LIFETIME)))?,
    };
    let plane = caller.plane(&context);
    let new = order(async move { plane.tokens().add(wanted).await }).await?;
    Ok((StatusCode::CREATED, Json(new)))
}

pub(super) async fn rotate(
    State(context): Shared,
    Extension(caller): By,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<NewToken>> {
    let id = parse(&id)?;
    let asked: RotateRequest = read(body, "rotates a token")?;
    let how = RotateToken {
        grace: match asked.grace {
            None => GRACE,
            Some(Delay::After(grace)) => grace,
            Some(Delay::Never) => {
                return Err(Failure::invalid(
                    "the grace of a former secret cannot be never",
                ));
            }
        },
        lifetime: asked.expires.map(lifetime).transpose()?,
    };
    let plane = caller.plane(&context);
    let new = order(async move { plane.tokens().rotate(&id, how).await }).await?;
    Ok(Json(new))
}

pub(super) async fn remove(
    State(context): Shared,
    Extension(caller): By,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let (plane, id) = (caller.plane(&context), parse(&id)?);
    order(async move { plane.tokens().remove(&id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn lifetime(expires: Delay) -> Answer<Option<Duration>> {
    match expires {
        Delay::Never => Ok(None),
        Delay::After(time) if time.is_zero() => Err(Failure::invalid(
            "a token that expires at once is of no use",
        )),
        Delay::After(time) => Ok(Some(time)),
    }
}

fn parse(id: &str) -> Answer<TokenId> {
    id.parse()
        .map_err(|e: dormouse_control::token::InvalidId| Failure::invalid(e.to_string()))
}
