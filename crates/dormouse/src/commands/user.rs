//! `dormouse user`.

use std::io::{self, Read as _};

use dormouse_api::Client;
use dormouse_api::error::ErrorBody;
use dormouse_api::model::{UserAdded, UserName, UserRequest};
use dormouse_types::UserLimits;
use serde_json::json;

use super::told;
use crate::Outcome;
use crate::cli::user::{UserAddArgs, UserCommand, UserNameArgs};
use crate::format;
use crate::output::Output;

/// Longest password that is read, in bytes.
const MOST: u64 = 4096;

pub(super) async fn run(client: &Client, command: UserCommand, output: &Output) -> Outcome {
    match command {
        UserCommand::Add(args) => add(client, args, output).await,
        UserCommand::Rotate(args) => {
            let UserNameArgs {
                database,
                user,
                host,
            } = args.name;
            let request = UserName {
                user,
                host,
                password: args.password_stdin.then(password).transpose()?,
            };
            let rotated = client
                .rotate_user(&database, &request)
                .await
                .map_err(told)?;
            output.result(&rotated, |_| shown(&rotated, args.password_stdin))
        }
        UserCommand::Ls { database } => {
            let users = client.users(&database).await.map_err(told)?;
            output.result(&users, |_| format::users(&users))
        }
        UserCommand::Drop(UserNameArgs {
            database,
            user,
            host,
        }) => {
            let request = UserName {
                user: user.clone(),
                host: host.clone(),
                password: None,
            };
            client.drop_user(&database, &request).await.map_err(told)?;
            let dropped = json!({"user": user, "host": host, "dropped": true});
            output.result(&dropped, |_| {
                format!("dropped '{user}'@'{host}' of {database}")
            })
        }
    }
}

async fn add(client: &Client, args: UserAddArgs, output: &Output) -> Outcome {
    let UserNameArgs {
        database,
        user,
        host,
    } = args.name;
    let request = UserRequest {
        user,
        host,
        role: args.role,
        schemas: args.schemas,
        limits: UserLimits {
            connections: args.max_connections,
            queries_per_hour: args.max_queries_per_hour,
            updates_per_hour: args.max_updates_per_hour,
        },
        require_tls: args.require.is_some(),
        on_demand: args.on_demand,
        password: args.password_stdin.then(password).transpose()?,
    };
    let added = client.add_user(&database, &request).await.map_err(told)?;
    output.result(&added, |_| shown(&added, args.password_stdin))
}

/// The login, with the password unless the caller knows it.
fn shown(added: &UserAdded, known: bool) -> String {
    if known {
        format!("user {}", added.login)
    } else {
        format!("user {}\npassword {}", added.login, added.password)
    }
}

/// The first line of standard input.
fn password() -> Outcome<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MOST).read_to_string(&mut text);
    read.map_err(|e| ErrorBody::new("machine", format!("cannot read the password: {e}")))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        let message = "standard input has no password in its first line";
        return Err(ErrorBody::new("invalid", message));
    }
    Ok(line.to_owned())
}
