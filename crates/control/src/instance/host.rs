//! What instances run on.

use std::sync::Arc;

use dormouse_driver::{Driver, Error as DriverError};
use dormouse_types::InstanceId;

use super::room::Room;
use crate::config::Deadlines;
use crate::servers::Servers;
use crate::time::{Late, within};

/// What instances run on: the driver, their servers, and the room they share.
pub(crate) struct Host {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) servers: Arc<dyn Servers>,
    pub(crate) room: Room,
    pub(crate) deadlines: Deadlines,
}

impl Host {
    /// Ends an instance's server and removes its files, if there are any.
    pub(crate) async fn remove(&self, id: InstanceId) -> Result<(), Late<DriverError>> {
        let remove = async {
            match self.driver.remove(id).await {
                Err(DriverError::Unknown(_)) => Ok(()),
                other => other,
            }
        };
        within(self.deadlines.stop, remove).await
    }
}
