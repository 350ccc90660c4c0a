//! Who may log in, from whoever knows best: what is noted while a database sleeps, else its server.

use std::time::{Duration, Instant};

use dormouse_policy::lifecycle::Notes;
use dormouse_types::{Account, DatabaseName, State};

use super::Plane;
use crate::Error;
use crate::database::{Database, View};
use crate::world::{now, within};

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

impl Plane {
    /// The accounts that somebody of this user name may be, anonymous ones included: from the server while it is active, else as noted when it went
    /// to sleep. It wakes a database only if nobody else knows its accounts, and then waits, for `patience`
    /// at most, through deaths and restarts of its server. One that cannot be started is tried again
    /// when that is due, and not before.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Accounts`] if they cannot be had in time.
    pub async fn accounts(
        &self,
        name: &DatabaseName,
        user: &str,
        patience: Duration,
    ) -> Result<Vec<Account>, Error> {
        let database = self.find(name)?;
        let mut question = Question {
            user,
            deadline: now() + patience,
            heard: None,
            on_its_way: false,
        };
        let asked = self.ask_accounts(&database, &mut question);
        if let Ok(answer) = tokio::time::timeout(patience, asked).await {
            return answer;
        }
        let View { state, reason, .. } = database.view();
        let waits = || match state {
            State::Active => "its server has not answered yet".to_owned(),
            state => format!("it is {state} ({reason})"),
        };
        Err(Error::Accounts {
            database: name.clone(),
            reason: question.heard.unwrap_or_else(waits),
        })
    }

    /// Asks whoever knows best; again when that changes.
    async fn ask_accounts(
        &self,
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
                    let limit = self.world.config.deadlines.ask;
                    let asked = async {
                        let server = database.server()?;
                        self.world.servers.accounts(&server, question.user).await
                    };
                    // a server that is being frozen does not answer: its notes do
                    let asked = tokio::select! {
                        asked = within(limit, asked) => asked,
                        () = database.until(asleep) => continue,
                    };
                    match asked {
                        Ok(accounts) => return Ok(accounts),
                        Err(reason) => {
                            question.heard = Some(format!("its server was asked: {reason}"))
                        }
                    }
                    // it may have died, and that be news soon
                    let _ = tokio::time::timeout(AGAIN, news).await;
                    continue;
                }
                State::Failed => {
                    // whoever saw a start fail is told so, like those whose statements were held
                    if question.on_its_way || view.rests_until() > Some(question.deadline) {
                        return Err(Error::Accounts {
                            database: database.name.clone(),
                            reason: view.reason.as_ref().to_owned(),
                        });
                    }
                    database.ask();
                }
                State::Dropping => return Err(Error::NotFound(database.name.clone())),
                _ => question.on_its_way = true,
            }
            question.heard = None;
            news.await;
        }
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
