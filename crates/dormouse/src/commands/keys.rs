//! `dormouse key`: the keys of encrypted databases.

use dormouse_api::Client;
use dormouse_api::model::{Database, Encryption, KeyList};

use super::told;
use crate::Outcome;
use crate::cli::{KeyCommand, KeyRotateArgs};
use crate::output::Output;

/// Runs a command of `dormouse key`.
pub(super) async fn run(client: &Client, command: KeyCommand, output: &Output) -> Outcome {
    match command {
        KeyCommand::Ls => {
            let keys = client.keys().await.map_err(told)?;
            output.result(&keys, |_| list(&keys))
        }
        KeyCommand::Rotate(KeyRotateArgs {
            name: Some(name), ..
        }) => {
            let database = client.rotate_key(&name).await.map_err(told)?;
            output.result(&database, |_| changed(&database))
        }
        KeyCommand::Rotate(_) => {
            let rotated = client.rotate_master_key().await.map_err(told)?;
            output.result(&rotated, |_| {
                format!(
                    "the master key {} was replaced by {}",
                    rotated.old, rotated.new
                )
            })
        }
        KeyCommand::Encrypt(args) => {
            let database = client.encrypt(&args.name).await.map_err(told)?;
            output.result(&database, |_| changed(&database))
        }
    }
}

fn changed(database: &Database) -> String {
    let encryption = database.encryption.as_ref();
    format!(
        "{} is {}",
        database.name,
        encryption.map_or("not encrypted".to_owned(), told_short)
    )
}

fn list(keys: &KeyList) -> String {
    let mut text = match (&keys.master, &keys.source) {
        (Some(master), Some(source)) => format!("master key {master}, from {source}\n"),
        (None, Some(source)) => format!("the master key could not be read yet from {source}\n"),
        _ => "no master key is configured\n".to_owned(),
    };
    for database in &keys.databases {
        let told = match (&database.encryption, &database.error) {
            (_, Some(error)) => error.clone(),
            (Some(encryption), _) => format!(
                "{}; key versions {:?}, wrapped by {}",
                told_short(encryption),
                encryption.versions,
                encryption.master
            ),
            (None, None) => "not encrypted".to_owned(),
        };
        text.push_str(&format!("{}: {told}\n", database.name));
    }
    text
}

/// The state, and the percentage while it is not complete.
pub(crate) fn told_short(encryption: &Encryption) -> String {
    match encryption.percent {
        Some(percent) if percent < 100 => {
            format!("{} ({percent} %)", encryption.state.as_str())
        }
        _ => encryption.state.as_str().to_owned(),
    }
}
