//! The accounts that may log in: as noted while a database sleeps, else read from its server.

use std::time::{Duration, Instant};

use dormouse_policy::lifecycle::Notes;
use dormouse_types::{Account, State};

use crate::database::context::Context;
use crate::database::{Database, View};
use crate::error::Error;
use crate::time::{now, within};

/// How long to wait for news of a server that does not answer before it is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// One login's question.
struct Question<'a> {
    user: &'a str,
    /// Until when its answer is waited for.
    deadline: Instant,
    /// Why there is none yet, where the server said so itself.
    heard: Option<String>,
    /// Its server was seen on its way since it was asked.
    on_its_way: bool,
}

/// The accounts that this user name may log in as, within `patience`.
pub(super) async fn read(
    context: &Context,
    database: &Database,
    user: &str,
    patience: Duration,
) -> Result<Vec<Account>, Error> {
    let mut question = Question {
        user,
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

/// Asks its notes or its server; again when something changes.
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
                // a server that is being frozen does not answer: its notes do
                let asked = tokio::select! {
                    asked = within(limit, asked) => asked,
                    () = database.until(asleep) => continue,
                };
                match asked {
                    Ok(accounts) => return Ok(accounts),
                    Err(error) => question.heard = Some(format!("its server was asked: {error}")),
                }
                // it may have died, and that be news soon
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
                database.want_accounts();
            }
            State::Dropping => return Err(Error::NotFound(database.name.clone())),
            _ => question.on_its_way = true,
        }
        question.heard = None;
        news.await;
    }
}

/// Whether something has come about that may bring an answer.
fn differs(now: &View, then: &View) -> bool {
    let of = |view: &View| (view.state, view.since, view.generation, view.incarnation());
    of(now) != of(then) || now.notes() == Notes::Fresh
}

/// Whether the server cannot, or need not, be asked.
pub(super) fn asleep(view: &View) -> bool {
    view.state != State::Active || view.notes() == Notes::Fresh
}
