//! `dormouse token`.

use dormouse_api::Client;
use dormouse_api::model::NewToken;
use jiff::Timestamp;
use serde_json::json;

use super::told;
use crate::cli::TokenCommand;
use crate::output::Output;
use crate::{Outcome, format};

/// Runs a command about tokens.
pub(super) async fn run(client: &Client, command: TokenCommand, output: &Output) -> Outcome {
    match command {
        TokenCommand::Add(args) => {
            let new = client.add_token(&args.into()).await.map_err(told)?;
            print(&new, output)
        }
        TokenCommand::Rotate(args) => {
            let new = client.rotate_token(&args.id, &args.request()).await;
            print(&new.map_err(told)?, output)
        }
        TokenCommand::Ls => {
            let all = client.tokens().await.map_err(told)?;
            output.result(&all, |colours| {
                format::tokens(&all, Timestamp::now(), colours)
            })
        }
        TokenCommand::Rm(args) => {
            client.remove_token(&args.id).await.map_err(told)?;
            output.result(&json!({"id": args.id, "removed": true}), |_| {
                format!("removed {}", args.id)
            })
        }
    }
}

/// Prints the token alone on stdout, and what it is on stderr.
fn print(new: &NewToken, output: &Output) -> Outcome {
    output.result(new, |_| new.token.clone())?;
    let about = &new.about;
    let of = about
        .database
        .as_ref()
        .map_or(String::new(), |name| format!(" of {name}"));
    let expires = match about.expires {
        Some(at) => format!("expires {at:.0}"),
        None => "never expires".to_owned(),
    };
    output.remark(&format!(
        "token {} ({}): {}{of}, {expires}; it is shown only now",
        about.name, about.id, about.role
    ));
    if let Some(until) = about.former_until {
        output.remark(&format!("its former secret is valid until {until:.0}"));
    }
    Ok(())
}
