//! The commands that call the API of a running `dormouse up`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use dormouse_api::error::ErrorBody;
use dormouse_api::model::{
    By, Cap, CreateRequest, Created, Database, EventQuery, SettingsPatch, UsageQuery,
};
use dormouse_api::{Client, client::ClientError};
use dormouse_types::{DatabaseName, Money, Month};
use jiff::Timestamp;
use serde_json::json;

use crate::Outcome;
use crate::cli::{
    Command, CreateArgs, DropArgs, EventsArgs, Global, PlaceArgs, SetArgs, UsageArgs,
};
use crate::import::checkpoint;
use crate::output::{Colours, Output, Style};
use crate::{credentials, format, up};

mod backup;
mod branch;
pub(crate) mod connect;
pub(crate) mod doctor;
pub(crate) mod export;
mod follow;
mod history;
pub(crate) mod import;
pub(crate) mod keys;
mod record;
mod relocate;
pub(crate) mod simulate;
mod token;
pub(crate) mod transfer;
mod user;

/// Runs a command to its end.
pub(crate) fn run(global: &Global, command: Command, output: &Output) -> Outcome {
    let data_dir = || global.data_dir();
    let client = global.remote.client(|| Ok(up::api_socket(&data_dir()?)))?;
    if let Some(warning) = global.remote.warning() {
        output.remark(&warning);
    }
    // where this machine keeps passwords for `connect`, which uses the local socket
    let data_dir = match global.remote.is_local() {
        true => Some(data_dir()?),
        false => None,
    };
    let data_dir = data_dir.as_deref();
    block_on(async {
        match command {
            Command::Create(args) => create(&client, data_dir, args, output).await,
            Command::Branch(args) => branch::run(&client, data_dir, args, output).await,
            Command::Reset(args) => {
                if !args.yes {
                    client.database(&args.name).await.map_err(told)?;
                    confirm(&args.name, "reset")?;
                }
                let made = client.reset(&args.name).await.map_err(told)?;
                output.result(&made, |colours| branch::shown(&made, colours))
            }
            Command::Move(args) => relocate::run(&client, args, output).await,
            Command::Set(args) => set(&client, args, output).await,
            Command::Ls => {
                let all = client.databases().await.map_err(told)?;
                output.result(&all, |colours| {
                    format::databases(&all, Timestamp::now(), colours)
                })
            }
            Command::Show(args) => {
                let d = client.database(&args.name).await.map_err(told)?;
                output.result(&d, |colours| {
                    format::database(&d, Timestamp::now(), colours)
                })
            }
            Command::Sessions(args) => {
                let all = client.sessions(&args.name).await.map_err(told)?;
                output.result(&all, |colours| format::sessions(&all, colours))
            }
            Command::Pool(args) => {
                let pool = client.pool(&args.name).await.map_err(told)?;
                output.result(&pool, |_| format::pool(&pool))
            }
            Command::Metrics => {
                let text = client.metrics().await.map_err(told)?;
                output.result(&text, |_| text.clone())
            }
            Command::Usage(args) => usage(&client, args, output).await,
            Command::Wakes(args) => {
                let report = client.wakes(&args.name, args.since).await.map_err(told)?;
                output.result(&report, |colours| format::wakes::wakes(&report, colours))
            }
            Command::Wake(args) => done(client.wake(&args.name).await, output),
            Command::Suspend(args) => done(client.suspend(&args.name).await, output),
            Command::Park(args) if args.force => {
                done(client.park_and_lose(&args.name).await, output)
            }
            Command::Park(args) => done(client.park(&args.name).await, output),
            Command::Drop(args) => drop_database(&client, data_dir, args, output).await,
            Command::Backup(command) => backup::run(&client, command, output).await,
            Command::Restore(args) => backup::restore(&client, args, output).await,
            Command::History(args) => history::run(&client, &args, output).await,
            Command::Key(args) => keys::run(&client, args.command, output).await,
            Command::Events(args) => events(&client, args, output).await,
            Command::Token(command) => token::run(&client, command, output).await,
            Command::User(command) => user::run(&client, command, output).await,
            // These are not requests; `main` runs them.
            Command::Up(_)
            | Command::Recover(_)
            | Command::Doctor(_)
            | Command::Tls
            | Command::Connect(_)
            | Command::Import(_)
            | Command::Export(_)
            | Command::Simulate(_) => Ok(()),
        }
    })
}

/// Runs a future on a small runtime of its own.
fn block_on<T>(future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| {
        ErrorBody::new(
            "machine",
            format!("cannot start the asynchronous runtime: {e}"),
        )
    })?;
    runtime.block_on(future)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function for map_err"
)]
fn told(error: ClientError) -> ErrorBody {
    error.body()
}

async fn create(
    client: &Client,
    data_dir: Option<&Path>,
    args: CreateArgs,
    output: &Output,
) -> Outcome {
    let PlaceArgs { root, series } = args.place;
    let root = root
        .map(std::path::absolute)
        .transpose()
        .map_err(|e| ErrorBody::new("invalid", format!("cannot resolve the path of --in: {e}")))?;
    if root.is_some() || series.is_some() {
        output.remark("none is kept ready there, so this takes a few seconds …");
    }
    let request = CreateRequest {
        name: args.name,
        root,
        version: series,
        settings: args.settings.into(),
    };
    let limit = request.settings.spend_limit;
    let created = client.create(&request).await.map_err(told)?;
    // prints the result first: saving the password may fail
    output.result(&created, |colours| created_text(&created, colours))?;
    remark_unpriced(client, &created.name, limit, output).await;
    if let Some(data_dir) = data_dir.filter(|_| !args.no_save) {
        credentials::save(data_dir, &created)?;
        output.remark(&format!("or: dormouse connect {}", created.name));
    }
    Ok(())
}

async fn set(client: &Client, args: SetArgs, output: &Output) -> Outcome {
    let settings: SettingsPatch = args.settings.into();
    if settings == SettingsPatch::default() {
        let hint = "give at least one setting, as in: dormouse set shop --units 1..4";
        return Err(ErrorBody::new("invalid", "no setting to change").with_hint(hint));
    }
    let changed = client.set(&args.name, &settings).await.map_err(told)?;
    output.result(&changed, |colours| {
        format::database(&changed, Timestamp::now(), colours)
    })?;
    remark_unpriced(client, &args.name, settings.spend_limit, output).await;
    Ok(())
}

/// Warns if a spend limit was set but no prices are configured.
async fn remark_unpriced(
    client: &Client,
    name: &DatabaseName,
    limit: Option<Cap<Money>>,
    output: &Output,
) {
    if let Some(Cap(Some(_))) = limit
        && let Ok(report) = client.usage(Some(name), UsageQuery::default()).await
        && report.cost.is_none()
    {
        output.remark(
            "note: this limit is never reached, because all [prices] of the configuration are 0",
        );
    }
}

fn created_text(created: &Created, colours: Colours) -> String {
    format!(
        "created {}\n\n  {}\n  {}\n",
        created.name,
        colours.paint(Style::Bold, &created.command),
        created.url,
    )
}

fn done(answer: Result<Database, ClientError>, output: &Output) -> Outcome {
    let d = answer.map_err(told)?;
    output.result(&d, |_| format!("{} is {}", d.name, d.state))
}

async fn drop_database(
    client: &Client,
    data_dir: Option<&Path>,
    args: DropArgs,
    output: &Output,
) -> Outcome {
    let name = args.name;
    if !args.yes {
        // checks that the database exists before asking
        client.database(&name).await.map_err(told)?;
        confirm(&name, "dropped")?;
    }
    client.drop_database(&name).await.map_err(told)?;
    if let Some(data_dir) = data_dir {
        checkpoint::forget(data_dir, &name);
    }
    if let Some(data_dir) = data_dir
        && let Err(error) = credentials::forget(data_dir, &name)
    {
        output.remark(&format!("cannot remove its saved password: {error}"));
    }
    output.result(&json!({"name": name, "dropped": true}), |_| {
        format!("dropped {name}")
    })
}

/// Asks for confirmation on the terminal: the user must type the database's name.
/// Asks for the name before its data is lost; `done` says what was not done otherwise.
fn confirm(name: &DatabaseName, done: &str) -> Outcome {
    if !io::stdin().is_terminal() {
        let message = format!("{name} was not {done}: there is no terminal for the confirmation");
        return Err(ErrorBody::new("refused", message).with_hint("confirm with --yes"));
    }
    let failed = |e: io::Error| ErrorBody::new("machine", format!("cannot ask: {e}"));
    let mut stderr = io::stderr().lock();
    write!(
        stderr,
        "This deletes {name} and all its data. Type its name to confirm: "
    )
    .and_then(|()| stderr.flush())
    .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == name.as_str() {
        Ok(())
    } else {
        Err(ErrorBody::new("refused", format!("{name} was not {done}")))
    }
}

async fn usage(client: &Client, args: UsageArgs, output: &Output) -> Outcome {
    if args.by == Some(By::Minute) && args.name.is_none() {
        let message = "use by minute is available for one database only";
        let hint = "name it, as in: dormouse usage shop --by minute";
        return Err(ErrorBody::new("invalid", message).with_hint(hint));
    }
    let now = Month::of(Timestamp::now());
    if let Some(month) = args.month.filter(|month| *month > now) {
        let hint = format!("the current month is {now}, in UTC");
        return Err(ErrorBody::new("invalid", format!("{month} has not begun")).with_hint(hint));
    }
    let one = if args.name.is_some() {
        By::Day
    } else {
        By::Month
    };
    let query = UsageQuery {
        month: args.month,
        by: args.by.unwrap_or(one),
    };
    let report = client
        .usage(args.name.as_ref(), query)
        .await
        .map_err(told)?;
    output.result(&report, |colours| format::usage(&report, colours))
}

/// Checks that a database exists, or that the ledger has entries of it.
async fn was_there(client: &Client, name: Option<&DatabaseName>) -> Outcome {
    let Some(name) = name else {
        return Ok(());
    };
    let one = EventQuery {
        database: Some(name.clone()),
        limit: Some(1),
        ..EventQuery::default()
    };
    if client.events(&one).await.map_err(told)?.is_empty() {
        client.database(name).await.map_err(told)?;
    }
    Ok(())
}

async fn events(client: &Client, args: EventsArgs, output: &Output) -> Outcome {
    if args.trace {
        return record::run(client, output).await;
    }
    let query = EventQuery {
        database: args.name,
        after: None,
        limit: Some(args.limit),
        follow: args.follow,
    };
    if !args.follow {
        let all = client.events(&query).await.map_err(told)?;
        if all.is_empty() {
            was_there(client, query.database.as_ref()).await?;
            output.remark("there are no events yet");
        }
        return output.result(&all, |colours| {
            all.iter()
                .map(|e| format::event(e, colours) + "\n")
                .collect()
        });
    }
    was_there(client, query.database.as_ref()).await?;
    let mut stream = client.follow(&query).await.map_err(told)?;
    while let Some(event) = stream.next().await.map_err(told)? {
        output.result(&event, |colours| format::event(&event, colours))?;
    }
    Err(ErrorBody::new("stopped", "dormouse was stopped"))
}
