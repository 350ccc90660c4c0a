//! Nothing is in the way: calling a state what it is.

use dormouse_driver::Run;
use dormouse_policy::{Act, Cause};
use dormouse_types::State;
use tracing::warn;

use super::apply::Unmet;
use super::{Actor, Done};
use crate::world::now;

impl Actor {
    /// Calls the state what the process makes it, and sets the door to match.
    pub(super) async fn settle(&mut self, state: State, act: Act) -> Done {
        let began = now();
        let from = self.database.state();
        match state {
            State::Active => {
                // running is not yet ready: the driver knows when it takes connections
                let limit = self.world.config.deadlines.start;
                if let Err(unmet) = self.try_apply(Run::Running, limit).await {
                    return self.hung(unmet, began).await;
                }
                if self.database.view().noted.fresh {
                    // it may be a new process; for the old one this changes nothing
                    self.restore_globals().await;
                }
                self.open(&act.reason);
                self.grow();
            }
            State::Suspended | State::Parked => {
                self.shut_by_force();
                self.show(state, &act.reason);
            }
            other => {
                warn!(database = %self.database.name, state = %other, "no state to settle in");
                self.show(other, &act.reason);
            }
        }
        if from != self.database.state() {
            self.record(from, &act, began, None).await;
        }
        Done::Again
    }

    /// The process has died; there may be another already, which is in nobody's way.
    async fn gone(&mut self, unmet: Unmet, began: std::time::Instant) -> Done {
        let before = self.failures;
        self.look().await;
        if self.failures == before {
            self.count_failure(&unmet);
        }
        let reason = unmet.reason();
        self.last_failure.clone_from(&reason);
        self.shut_by_force();
        self.record_refusal(State::Active, Cause::Failed, &reason, began)
            .await;
        Done::Again
    }

    /// A process that does not serve is in the way of one that would.
    async fn hung(&mut self, unmet: Unmet, began: std::time::Instant) -> Done {
        if matches!(unmet, Unmet::Died(_)) {
            return self.gone(unmet, began).await;
        }
        self.count_failure(&unmet);
        let reason = unmet.reason();
        warn!(database = %self.database.name, reason, "the server does not serve: stopping it");
        self.last_failure.clone_from(&reason);
        self.shut_by_force();
        if self
            .apply(Run::Stopped, self.world.config.deadlines.stop)
            .await
            .is_err()
        {
            self.look().await;
            tokio::time::sleep(super::PAUSE).await;
        }
        self.record_refusal(State::Active, Cause::Failed, &reason, began)
            .await;
        Done::Again
    }
}
