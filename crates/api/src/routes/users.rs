//! Users of a database.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use dormouse_types::{Account, Transport};

use super::{By, Shared, order, parse, read};
use crate::error::Answer;
use crate::model::{User, UserAdded, UserName, UserRequest};

pub(super) async fn list(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<Json<Vec<User>>> {
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    let mut users = order(async move { plane.users(&name).await }).await?;
    users.sort_by(|a, b| (&a.user, &a.host).cmp(&(&b.user, &b.host)));
    Ok(Json(users.into_iter().map(user).collect()))
}

pub(super) async fn add(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<UserAdded>)> {
    let request: UserRequest = read(body, "adds a user")?;
    let (new, given) = request.into_parts();
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    let (user, host) = (new.user.clone(), new.host.clone());
    let login = format!("{name}.{user}");
    let password = order(async move { plane.add_user(&name, new, given).await }).await?;
    let added = UserAdded {
        user,
        host,
        login,
        password,
    };
    Ok((StatusCode::CREATED, Json(added)))
}

pub(super) async fn rotate(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<UserAdded>> {
    let UserName {
        user,
        host,
        password: given,
    } = read(body, "changes a password")?;
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    let login = format!("{name}.{user}");
    let of = (user.clone(), host.clone());
    let password = order(async move { plane.rotate_user(&name, of.0, of.1, given).await }).await?;
    Ok(Json(UserAdded {
        user,
        host,
        login,
        password,
    }))
}

pub(super) async fn remove(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let UserName { user, host, .. } = read(body, "drops a user")?;
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    order(async move { plane.drop_user(&name, user, host).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn user(account: Account) -> User {
    User {
        user: account.user,
        host: account.host,
        locked: account.locked,
        requires: match account.transport {
            Transport::Any => "nothing",
            Transport::Tls => "tls",
            Transport::Certificate | Transport::Specified(_) => "certificate",
        }
        .to_owned(),
        max_connections: account.max_sessions,
    }
}
