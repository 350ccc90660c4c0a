//! The status of a database, for callers of the plane.

use dormouse_driver::Driver;
use dormouse_types::{Bytes, Units};

use super::Database;
use crate::doors::Doors;
use crate::status::{Spend, Status};

impl Database {
    /// Its status, for callers of the plane.
    pub(crate) fn status(
        &self,
        driver: &dyn Driver,
        doors: &dyn Doors,
        spend: Option<Spend>,
    ) -> Status {
        let view = self.view();
        let place = driver.place(view.seat).unwrap_or_default();
        let activity = doors.activity(&self.name);
        Status {
            name: self.name.clone(),
            state: view.state,
            since: view.since,
            pid: view.incarnation().and_then(|i| driver.pid(i)),
            layers: view
                .incarnation()
                .map(|i| driver.layers(view.seat, i))
                .unwrap_or_default(),
            instance: view.seat,
            root: place.root,
            series: place.series,
            generation: view.generation,
            spec: self.spec(),
            units: if view.serving.is_some() {
                view.units
            } else {
                Units(0)
            },
            sessions: activity.sessions,
            held: activity.held,
            transactions: activity.transactions,
            memory: view.memory.filter(|m| *m > Bytes(0)),
            cpu_ms: view.cpu_ms,
            storage: view.storage,
            read_only: self.restricted().as_deref().map(str::to_owned),
            memory_tables: view.memory_tables(),
            encryption: None,
            spend,
            branch: self.branch.as_deref().cloned(),
            replicas: self.replicas_wanted(),
            followers: self.replicas().map(|all| all.status()).unwrap_or_default(),
            moving: self.moving().map(|moving| moving.status()),
            last_reason: view.reason.as_ref().to_owned(),
        }
    }
}
