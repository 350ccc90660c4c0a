//! Out of the world.

use dormouse_driver::Error as DriverError;
use dormouse_policy::Act;
use dormouse_policy::lifecycle::{Door, Order};
use dormouse_types::State;
use tracing::error;

use super::{Actor, Done};
use crate::catalog::{Change, Durability};
use crate::world::{now, within};
use crate::{Error, EventKind};

impl Actor {
    /// Ends the sessions and the server, removes the files, forgets the rest.
    pub(super) async fn remove(&mut self, act: Act) -> Done {
        let began = now();
        let from = self.database.state();
        if from != State::Dropping {
            self.show(State::Dropping, &act.reason);
            let changes = vec![self.state_change()];
            if let Err(error) = self.world.catalog.write(Durability::Now, changes).await {
                self.show(from, "it could not be dropped");
                self.database.answer(&[Order::Drop], Err(error));
                return Done::Again;
            }
        }
        self.growing = None;
        self.world.doors.remove(&self.database.name);
        self.door = Door::Shut;
        if let Err(error) = self.erase(from, &act, began).await {
            error!(database = %self.database.name, %error, hint = error.hint(), "cannot remove it yet");
            self.deny(State::Dropping);
            self.database.answer(&[Order::Drop], Err(error));
            return Done::Again;
        }
        self.world.edit(|d| d.known.remove(&self.database.name));
        self.database.answer(&[Order::Drop], Ok(()));
        Done::Gone
    }

    async fn erase(
        &mut self,
        from: State,
        act: &Act,
        began: std::time::Instant,
    ) -> Result<(), Error> {
        let instance = self.database.instance;
        // what its server has used until now is the last to be counted
        self.look().await;
        self.world.servers.forget(instance).await;
        let remove = async {
            match self.world.driver.remove(instance).await {
                Err(DriverError::Unknown(_)) => Ok(()),
                other => other,
            }
        };
        within(self.world.config.deadlines.stop, remove)
            .await
            .map_err(|reason| Error::Machine {
                doing: format!("removing instance {instance}"),
                reason,
            })?;
        self.run = dormouse_driver::Run::Stopped;
        self.note_room();
        self.database.change(|v| v.serving = None);
        self.database.meter().end(self.world.moment());
        let name = self.database.name.clone();
        let entry = self.entry(
            EventKind::Dropped,
            from,
            State::Dropping,
            act.cause,
            &act.reason,
            began,
        );
        self.world
            .catalog
            .write(
                Durability::Soon,
                vec![
                    Change::Gone { name, instance },
                    Change::Ledger(Box::new(entry)),
                    Change::Meter(self.database.shared_meter()),
                ],
            )
            .await
    }
}
