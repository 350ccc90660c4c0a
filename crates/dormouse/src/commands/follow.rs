//! `dormouse import --follow`, its cut-over, and its end without one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_api::model::Direction;
use dormouse_api::{Client, ErrorBody};
use dormouse_types::DatabaseName;
use serde::Serialize;

use super::transfer::Transfer;
use super::{block_on, told};
use crate::Outcome;
use crate::cli::ImportArgs;
use crate::credentials::Password;
use crate::import::follow::orders::{Request, give};
use crate::import::follow::target::Access;
use crate::import::follow::{Follower, Reserve, copy};
use crate::import::progress::Figures;
use crate::output::Output;
use crate::up;

/// The reservation of a database, by the API.
struct Api {
    socket: PathBuf,
    name: DatabaseName,
}

impl Reserve for Api {
    fn is_reserved(&self) -> Outcome<bool> {
        let client = Client::new(&self.socket);
        let shown = block_on(async { client.database(&self.name).await.map_err(told) })?;
        Ok(shown.reserved)
    }

    fn reserve(&self, key: &str) -> Outcome {
        let client = Client::new(&self.socket);
        block_on(async { client.reserve(&self.name, key).await.map_err(told) })
    }

    fn release(&self) -> Outcome {
        let client = Client::new(&self.socket);
        block_on(async { client.release(&self.name).await.map_err(told) })
    }
}

/// The result of `--abandon`.
#[derive(Serialize)]
struct Abandoned {
    event: &'static str,
    database: String,
}

/// Follows until the cut-over, or gives up. The caller holds the lock of the database's imports.
pub(super) fn run(
    data_dir: &Path,
    args: ImportArgs,
    (socket, password): (PathBuf, Password),
    output: &Output,
) -> Outcome {
    let reserve = Api {
        socket: up::api_socket(data_dir),
        name: args.name.clone(),
    };
    let access = Access {
        socket,
        name: args.name.clone(),
        user: args.user.clone(),
        password,
        key: key()?,
    };
    let Some(address) = args.from else {
        return abandon(&access, &reserve, output);
    };
    let figures = Arc::<Figures>::default();
    let what = format!("from the server {}, followed", address.host);
    let api = up::api_socket(data_dir);
    let transfer = Transfer::begin(api, &args.name, Direction::Import, what, &figures);
    let follower = Follower {
        access,
        address,
        data_dir,
        output,
        reserve: &reserve,
        figures,
        accounts: !args.no_accounts,
        restart: args.restart,
    };
    let done = follower.run();
    let error = done.as_ref().err().map(|error| error.message.as_str());
    if let Err(error) = transfer.end(error) {
        output.remark(&format!("the ledger has no entry of it: {}", error.message));
    }
    let done = done?;
    output.result(&done, |_| done.text(args.name.as_str()))
}

/// Tells the import that follows to cut over, and waits for it.
pub(super) fn cut_over(data_dir: &Path, args: &ImportArgs, output: &Output) -> Outcome {
    let request = Request {
        source_is_quiet: args.source_is_quiet,
        limit_seconds: args.limit,
    };
    let done = give(data_dir, &args.name, request)?;
    output.result(&done, |_| done.text(args.name.as_str()))
}

/// Ends the reservation and removes the position.
fn abandon(access: &Access, reserve: &Api, output: &Output) -> Outcome {
    reserve.reserve(&access.key)?;
    let mut target = access.connect().map_err(ErrorBody::from)?;
    copy::abandon(&mut target)?;
    reserve.release()?;
    let abandoned = Abandoned {
        event: "abandoned",
        database: access.name.to_string(),
    };
    output.result(&abandoned, |_| {
        format!(
            "{} follows nothing any more, and takes statements\n",
            access.name
        )
    })
}

/// A key that nobody can guess.
fn key() -> Outcome<String> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| ErrorBody::new("machine", format!("cannot read /dev/urandom: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
