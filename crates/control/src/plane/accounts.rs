//! The accounts that may log in: from the notes while a database sleeps, else read from its server.

use std::time::{Duration, Instant};

use dormouse_policy::lifecycle::Notes;
use dormouse_types::{Account, State};

use crate::database::context::Context;
use crate::database::{Database, View};
use crate::error::Error;
use crate::time::{now, within};

/// Delay before a server that did not answer is queried again, unless the view changes earlier.
const AGAIN: Duration = Duration::from_millis(100);

/// One login's query.
struct Question<'a> {
    user: &'a str,
    /// The client's address.
    address: &'a str,
    /// Deadline of the answer.
    deadline: Instant,
    /// Reason for the missing answer, if the server gave one.
    heard: Option<String>,
    /// A transition of the database has been seen since the query began.
    on_its_way: bool,
}

/// The accounts that this user name may use, within `patience`. `address`: the client's.
pub(super) async fn read(
    context: &Context,
    database: &Database,
    (user, address): (&str, &str),
    patience: Duration,
) -> Result<Vec<Account>, Error> {
    let mut question = Question {
        user,
        address,
        deadline: now() + patience,
        heard: None,
        on_its_way: false,
    };
    let asked = ask(context, database, &mut question);
    if let Ok(answer) = tokio::time::timeout(patience, asked).await {
        return answer;
    }
    let View { state, reason, .. } = database.view();
    let waits = || match state {
        State::Active => "its server has not answered yet".to_owned(),
        state => format!("it is {state} ({reason})"),
    };
    Err(Error::Accounts {
        database: database.name.clone(),
        reason: question.heard.unwrap_or_else(waits),
    })
}

/// Reads the notes or queries the server; again after each change of the view.
async fn ask(
    context: &Context,
    database: &Database,
    question: &mut Question<'_>,
) -> Result<Vec<Account>, Error> {
    loop {
        let view = database.view();
        if view.notes() == Notes::Fresh {
            let user = question.user;
            let of_user = |a: &&Account| a.user == user || a.user.is_empty();
            let accounts = view.noted.accounts.iter();
            return Ok(accounts.filter(of_user).cloned().collect());
        }
        let news = database.until(|now| differs(now, &view));
        match view.state {
            State::Active => {
                let limit = context.host.deadlines.ask;
                let asked = async {
                    let server = database.server()?;
                    context.host.servers.accounts(&server, question.user).await
                };
                // a server that is being frozen does not answer: use the notes
                let asked = tokio::select! {
                    asked = within(limit, asked) => asked,
                    () = database.until(asleep) => continue,
                };
                match asked {
                    Ok(accounts) => return Ok(accounts),
                    Err(error) => question.heard = Some(format!("its server was asked: {error}")),
                }
                // the server may have died; the view changes then
                let _ = tokio::time::timeout(AGAIN, news).await;
                continue;
            }
            State::Failed => {
                // the start that this login waited for has failed
                if question.on_its_way || view.retry_at() > Some(question.deadline) {
                    return Err(Error::Accounts {
                        database: database.name.clone(),
                        reason: view.reason.as_ref().to_owned(),
                    });
                }
                database.want_accounts(question.user, question.address);
            }
            State::Dropping => return Err(Error::NotFound(database.name.clone())),
            _ => question.on_its_way = true,
        }
        question.heard = None;
        news.await;
    }
}

/// Whether the view has changed such that there may be an answer.
fn differs(now: &View, then: &View) -> bool {
    let of = |view: &View| (view.state, view.since, view.generation, view.incarnation());
    of(now) != of(then) || now.notes() == Notes::Fresh
}

/// Whether the server cannot or need not be queried.
pub(super) fn asleep(view: &View) -> bool {
    view.state != State::Active || view.notes() == Notes::Fresh
}
