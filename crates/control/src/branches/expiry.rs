//! Drops branches whose time is over.

use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::lifecycle::Order;
use dormouse_types::State;
use jiff::Timestamp;
use tracing::{info, warn};

use crate::calendar::Calendar;
use crate::principal::Principal;
use crate::registry::Registry;
use crate::tasks::Tasks;

/// How often the branches are looked at.
const POLL: Duration = Duration::from_secs(5);

/// Drops branches whose time is over, until Dormouse stops. One that cannot be dropped is tried again.
pub(crate) async fn watch(registry: Arc<Registry>, calendar: Calendar, tasks: Arc<Tasks>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = tasks.ending() => return,
        }
        let now = calendar.moment().wall;
        let is_over = |at: Timestamp| at.as_millisecond() <= now;
        for database in registry.all() {
            let expires = database.branch.as_ref().and_then(|branch| branch.expires);
            if !expires.is_some_and(is_over) || database.state() == State::Dropping {
                continue;
            }
            info!(database = %database.name, "its time as a branch is over: dropping it");
            // the actor tries until it succeeds; nobody waits for the answer
            if let Err(error) = database.order(Order::Drop, Principal::Dormouse) {
                warn!(database = %database.name, %error, "cannot drop it yet");
            }
        }
    }
}
