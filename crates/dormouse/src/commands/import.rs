//! `dormouse import`: runs a dump, or one that another server gives now, in a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_api::model::{CreateRequest, Direction};
use dormouse_api::{Client, ErrorBody};

use super::transfer::Transfer;
use crate::Outcome;
use crate::cli::ImportArgs;
use crate::import::accounts::{Account, Plan};
use crate::import::checkpoint::{Checkpoint, State};
use crate::import::connection::{Connection, Failure};
use crate::import::input::{self, Input, Part};
use crate::import::journal::Journal;
use crate::import::live::{Address, OptionFile};
use crate::import::progress::{Figures, Progress};
use crate::import::run::{Importer, OnError};
use crate::import::text::literal;
use crate::output::Output;
use crate::{credentials, up};

/// Runs the command.
pub(crate) fn run(data_dir: &Path, args: ImportArgs, output: &Output) -> Outcome {
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
        let found = accounts(&source);
        match found {
            Ok(accounts) => {
                for account in accounts {
                    bring(&mut importer, &account, &mut plan)?;
                }
            }
            Err(error) => {
                let text = format!("accounts: they cannot be read: {}", error.message);
                importer.summary().not_brought.push(text);
            }
        }
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
        let input = Input::program(program, "mariadb-dump", None).map_err(failed)?;
        let progress = Progress::of(importer.figures(), output);
        let done = importer.part(&part, input, 0);
        drop(progress);
        done?;
    }
    for grant in &plan.grants {
        if let Err(error) = account_statement(&mut importer, grant)? {
            let text = format!("{}: {error}", without_secret(grant));
            importer.summary().not_brought.push(text);
        }
    }
    importer.summary().not_brought.append(&mut plan.not_brought);
    tell(importer, args, output)
}

/// The accounts of another server.
fn accounts(source: &OptionFile) -> Outcome<Vec<Account>> {
    // MySQL has roles too, but no column that says so
    let all = source
        .query("SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host");
    let all = match all {
        Ok(all) => all,
        Err(_) => source.query("SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host")?,
    };
    let first = |rows: Vec<Vec<String>>| {
        rows.into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect()
    };
    let mut accounts = Vec::new();
    for row in all {
        let [user, host, is_role] = <[String; 3]>::try_from(row).unwrap_or_default();
        let mut account = Account {
            user,
            host,
            is_role: is_role == "Y",
            ..Account::default()
        };
        if account.left_behind().is_none() {
            let name = account.sql();
            if !account.is_role {
                account.create = first(source.query(&format!("SHOW CREATE USER {name}"))?);
            }
            account.grants = first(source.query(&format!("SHOW GRANTS FOR {name}"))?);
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// Makes an account; its grants come when the data is there.
fn bring(importer: &mut Importer<'_>, account: &Account, plan: &mut Plan) -> Outcome {
    let Plan {
        create,
        grants,
        mut not_brought,
    } = account.plan();
    plan.not_brought.append(&mut not_brought);
    if create.is_empty() {
        return Ok(());
    }
    let host = if account.is_role {
        ""
    } else {
        account.host.as_str()
    };
    let there = format!(
        "SELECT 1 FROM mysql.user WHERE User = {} AND Host = {}",
        literal(&account.user),
        literal(host)
    );
    if !importer.connection().ask(&there)?.is_empty() {
        let text = "it is there already and keeps its password; its grants are added";
        plan.not_brought
            .push(format!("{}: {text}", account.label()));
        plan.grants.extend(grants);
        return Ok(());
    }
    for statement in &create {
        if let Err(error) = account_statement(importer, statement)? {
            plan.not_brought
                .push(format!("{}: {error}", account.label()));
            return Ok(());
        }
    }
    plan.grants.extend(grants);
    importer.summary().accounts.push(account.label());
    Ok(())
}

/// Runs a statement about an account; the inner error is the server's refusal.
fn account_statement(importer: &mut Importer<'_>, text: &str) -> Outcome<Result<(), String>> {
    match importer.connection().run(text.as_bytes()) {
        Ok(_) => Ok(Ok(())),
        Err(Failure::Refused(error)) => Ok(Err(error.to_string())),
        Err(Failure::Gone(error)) => Err(gone(&error)),
    }
}

fn gone(error: &str) -> ErrorBody {
    ErrorBody::new(
        "machine",
        format!("the connection to dormouse broke: {error}"),
    )
    .with_hint("run it again: the dump makes each table anew")
}

fn without_secret(statement: &str) -> &str {
    statement.split(" IDENTIFIED ").next().unwrap_or_default()
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
