//! Making and removing instances that no database has: those of the warm pool, and understudies.

use std::sync::Arc;

use dormouse_driver::Place;
use dormouse_types::{InstanceId, Units};
use tracing::warn;

use crate::admission::{Admission, Importance};
use crate::catalog::{Catalog, Change, Durability};
use crate::error::Error;
use crate::instance::host::Host;
use crate::instance::{Instance, rekeying};
use crate::time::within;

/// Makes and removes instances that no database has.
pub(crate) struct Spares {
    pub(crate) host: Arc<Host>,
    pub(crate) catalog: Catalog,
    pub(crate) admission: Arc<Admission>,
}

impl Spares {
    /// Creates an instance and starts it. After a crash, the next start removes it, unless its phase was changed.
    pub(crate) async fn make(
        &self,
        units: Units,
        importance: Importance,
        place: &Place,
    ) -> Result<Instance, Error> {
        let version = self.host.version(place.series);
        let id = self.catalog.new_instance(version).await?;
        match self.start(id, units, importance, place).await {
            Ok(instance) => Ok(instance),
            Err(error) => {
                self.discard(id).await;
                Err(error)
            }
        }
    }

    async fn start(
        &self,
        id: InstanceId,
        units: Units,
        importance: Importance,
        place: &Place,
    ) -> Result<Instance, Error> {
        let host = &self.host;
        within(host.deadlines.start, host.driver.provision(id, place))
            .await
            .map_err(|error| Error::Machine {
                doing: format!("making instance {id}"),
                reason: error.to_string(),
            })?;
        let _admitted = self.admission.start(importance).await?;
        let mut instance = Instance::new(Arc::clone(host), id, units);
        instance.start().await.map_err(|error| Error::Machine {
            doing: format!("starting instance {id}"),
            reason: error.to_string(),
        })?;
        let encrypted = async {
            let server = instance.server().map_err(|error| error.to_string())?;
            rekeying::first(host, id, &server).await
        };
        within(host.deadlines.start, encrypted)
            .await
            .map_err(|error| Error::Machine {
                doing: format!("encrypting instance {id}"),
                reason: error.to_string(),
            })?;
        Ok(instance)
    }

    /// Removes an instance that no database has. If that fails, the next start tries again.
    pub(crate) async fn discard(&self, id: InstanceId) {
        if let Err(error) = self.host.remove(id).await {
            warn!(instance = %id, %error, "an unused instance is left to the next start");
            return;
        }
        let gone = vec![Change::InstanceGone(id)];
        if let Err(error) = self.catalog.write(Durability::Soon, gone).await {
            warn!(instance = %id, %error, "an unused instance is left to the next start");
        }
    }
}
