//! The machine's room, shared by the databases that are awake.
//!
//! Each actor says here what its server has and uses, asks before it grows, and looks whether it
//! must give back. What follows is decided by [`dormouse_policy::placement`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_policy::autoscale::{Step, Why};
use dormouse_policy::placement::{self, Awake, Capacity, Growth};
use dormouse_types::InstanceId;

/// The machine's room.
pub(crate) struct Room {
    capacity: Capacity,
    awake: Mutex<BTreeMap<InstanceId, Awake>>,
}

impl Room {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            awake: Mutex::default(),
        }
    }

    /// What a server has and uses now; `None`: it sleeps.
    pub(crate) fn note(&self, instance: InstanceId, awake: Option<Awake>) {
        let mut all = self.awake();
        match awake {
            Some(awake) => all.insert(instance, awake),
            None => all.remove(&instance),
        };
    }

    /// How far a server may grow; if it may, the room is taken at once.
    pub(crate) fn grow(&self, instance: InstanceId, step: &Step) -> Growth {
        let mut all = self.awake();
        let others: Vec<Awake> = all
            .iter()
            .filter(|(id, _)| **id != instance)
            .map(|(_, awake)| *awake)
            .collect();
        let Some(asking) = all.get_mut(&instance) else {
            return Growth {
                to: step.units,
                limit: None,
            };
        };
        let growth = placement::grow(self.capacity, &others, *asking, step.units, step.why);
        asking.units = asking.units.max(growth.to);
        growth
    }

    /// Whether a server must shrink to make room for others.
    pub(crate) fn give_back(&self, instance: InstanceId) -> Option<Step> {
        let all = self.awake();
        let awake: Vec<Awake> = all.values().copied().collect();
        let place = all.keys().position(|id| *id == instance)?;
        let mine = placement::give_back(self.capacity, &awake)
            .into_iter()
            .find(|shrink| shrink.index == place)?;
        Some(Step {
            units: mine.to,
            why: Why::Memory,
            reason: mine.reason,
        })
    }

    fn awake(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Awake>> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
