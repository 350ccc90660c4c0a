//! `dormouse import`: runs a dump, or one that another server gives now, in a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_api::model::{CreateRequest, Direction};
use dormouse_api::{Client, ErrorBody};

use super::follow;
use super::transfer::Transfer;
use crate::Outcome;
use crate::cli::ImportArgs;
use crate::import::accounts::Plan;
use crate::import::bring;
use crate::import::checkpoint::{Checkpoint, State};
use crate::import::connection::Connection;
use crate::import::input::{self, Input, Part};
use crate::import::journal::Journal;
use crate::import::live::{Address, OptionFile};
use crate::import::progress::{Figures, Progress};
use crate::import::run::{Importer, OnError};
use crate::output::Output;
use crate::{credentials, up};

/// Runs the command.
pub(crate) fn run(data_dir: &Path, args: ImportArgs, output: &Output) -> Outcome {
    if args.cut_over {
        return follow::cut_over(data_dir, &args, output);
    }
    let api = Client::new(&up::api_socket(data_dir));
    let socket = super::block_on(async {
        if args.create {
            create(&api, data_dir, &args, output).await?;
        }
        api.database(&args.name).await.map_err(super::told)?;
        let status = api.status().await.map_err(super::told)?;
        Ok(status.listen.socket)
    })?;
    let password = credentials::password(data_dir, &args.name, &args.user)?;
    let checkpoint = Checkpoint::lock(data_dir, &args.name)?;
    if args.follow || args.abandon {
        return follow::run(data_dir, args, (socket, password), output);
    }
    let connect = || Connection::open(&socket, &args.name, &args.user, &password);
    let what = match (&args.from, &args.dump) {
        (Some(from), _) => format!("from the server {}", from.host),
        (None, Some(dump)) if dump == Path::new("-") => "from standard input".to_owned(),
        (None, Some(dump)) => format!("from the dump {}", dump.display()),
        (None, None) => return Err(ErrorBody::new("usage", "name a dump or a server")),
    };
    let figures = Arc::<Figures>::default();
    let api = up::api_socket(data_dir);
    let transfer = Transfer::begin(api, &args.name, Direction::Import, what, &figures);
    let done = match (&args.from, &args.dump) {
        (Some(from), _) => {
            let to = (connect()?, figures);
            from_server(data_dir, &args, from, to, &checkpoint, output)
        }
        (None, dump) => {
            let dump = dump.as_deref().unwrap_or(Path::new("-"));
            let connected = || Ok((connect()?, figures));
            from_dump(&args, dump, connected, checkpoint, output)
        }
    };
    let error = done.as_ref().err().map(|error| error.message.as_str());
    if let Err(error) = transfer.end(error) {
        output.remark(&format!("the ledger has no entry of it: {}", error.message));
    }
    done
}

/// A database to import into, and figures of the progress.
type Target = (Connection, Arc<Figures>);

/// Creates the database if it is missing.
async fn create(api: &Client, data_dir: &Path, args: &ImportArgs, output: &Output) -> Outcome {
    let all = api.databases().await.map_err(super::told)?;
    if all.iter().any(|database| database.name == args.name) {
        return Ok(());
    }
    let request = CreateRequest {
        root: None,
        version: None,
        name: args.name.clone(),
        settings: dormouse_api::model::SettingsPatch::default(),
    };
    let created = api.create(&request).await.map_err(super::told)?;
    output.result(&created, |colours| super::created_text(&created, colours))?;
    credentials::save(data_dir, &created).map(drop)
}

fn on_error(args: &ImportArgs) -> OnError {
    match args.force {
        true => OnError::GoOn,
        false => OnError::Stop,
    }
}

fn from_dump(
    args: &ImportArgs,
    dump: &Path,
    connect: impl FnOnce() -> Outcome<Target>,
    checkpoint: Checkpoint,
    output: &Output,
) -> Outcome {
    let parts = input::parts(dump, args.schema.as_deref())?;
    let path = match dump == Path::new("-") {
        true => PathBuf::from("-"),
        false => std::path::absolute(dump).unwrap_or_else(|_| dump.to_owned()),
    };
    let left = checkpoint.load()?;
    let state = match (left, args.resume) {
        (Some(state), true) if state.dump == path => state,
        (Some(state), true) => {
            let message = format!(
                "the import that has stopped was one of {}",
                state.dump.display()
            );
            let hint = "name that dump; without --resume the import begins anew";
            return Err(ErrorBody::new("invalid", message).with_hint(hint));
        }
        (None, true) => {
            let message = format!("no import into {} has stopped", args.name);
            let hint = "without --resume it begins at the beginning";
            return Err(ErrorBody::new("invalid", message).with_hint(hint));
        }
        (left, false) => {
            if left.is_some() {
                output.remark("an earlier import has stopped in the middle; this one begins anew");
            }
            checkpoint.clear()?;
            State {
                dump: path,
                ..State::default()
            }
        }
    };
    let mut again = format!("dormouse import {} --dump {}", args.name, dump.display());
    if let Some(schema) = &args.schema {
        again.push_str(&format!(" --schema {schema}"));
    }
    let (mut connection, figures) = connect()?;
    let mut journal = Journal::new(Some(checkpoint), state);
    if args.resume {
        journal.resume(&mut connection, args.unsure)?;
    }
    let mut importer = Importer::new(connection, journal, output, on_error(args), again, figures)?;
    let progress = Progress::of(importer.figures(), output);
    let done = importer.parts(&parts);
    drop(progress);
    done?;
    tell(importer, args, output)
}

fn from_server(
    data_dir: &Path,
    args: &ImportArgs,
    from: &Address,
    (connection, figures): Target,
    checkpoint: &Checkpoint,
    output: &Output,
) -> Outcome {
    let options = data_dir
        .join("imports")
        .join(format!("{}.source", args.name));
    let source = OptionFile::of(from, options)?;
    let schemas = match &from.schema {
        Some(schema) => vec![schema.clone()],
        None => source.schemas()?,
    };
    checkpoint.clear()?;
    let again = format!("dormouse import {} --from mysql://…", args.name);
    // the next dump of a server in use is another one: nothing to go on from
    let journal = Journal::new(None, State::default());
    let mut importer = Importer::new(connection, journal, output, on_error(args), again, figures)?;
    let mut plan = Plan::default();
    if !args.no_accounts && from.schema.is_none() {
        bring::accounts(&source, &mut importer, &mut plan)?;
    }
    if !schemas.is_empty() {
        let program = source.dump(&schemas, &[])?;
        let part = Part {
            name: format!("dump of {}", from.host),
            path: None,
            schema: None,
            delimiter: b";",
            size: 0,
        };
        let failed = |e| input::unreadable(&part.name, &e);
        let input = Input::program(program, "mariadb-dump", None, None).map_err(failed)?;
        let progress = Progress::of(importer.figures(), output);
        let done = importer.part(&part, input, 0);
        drop(progress);
        done?;
    }
    bring::grants(&mut importer, plan)?;
    tell(importer, args, output)
}

fn tell(importer: Importer<'_>, args: &ImportArgs, output: &Output) -> Outcome {
    let mut summary = importer.finish()?;
    summary.database = args.name.to_string();
    output.result(&summary, |_| summary.text())?;
    if summary.error_count > 0 {
        let message = format!("{} statements were refused", summary.error_count);
        return Err(ErrorBody::new("refused", message).with_hint("the summary lists them"));
    }
    Ok(())
}
