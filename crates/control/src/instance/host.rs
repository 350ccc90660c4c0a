//! Dependencies of instances.

use std::sync::Arc;

use dormouse_driver::{Driver, Error as DriverError};
use dormouse_engine::Keeper;
use dormouse_types::InstanceId;

use super::room::Room;
use crate::config::Deadlines;
use crate::servers::Servers;
use crate::time::{Late, within};

/// Dependencies of instances: the driver, the servers' connections, and the machine's room.
pub(crate) struct Host {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) servers: Arc<dyn Servers>,
    pub(crate) keys: Arc<Keeper>,
    pub(crate) room: Room,
    pub(crate) deadlines: Deadlines,
}

impl Host {
    /// Ends an instance's server and removes its files, if they exist.
    pub(crate) async fn remove(&self, id: InstanceId) -> Result<(), Late<DriverError>> {
        self.room.note_follower(id, None);
        let remove = async {
            match self.driver.remove(id).await {
                Err(DriverError::Unknown(_)) => Ok(()),
                other => other,
            }
        };
        within(self.deadlines.stop, remove).await
    }
}
