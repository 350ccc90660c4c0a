//! The machine's room, shared by the databases that are awake.
//!
//! Each actor reports here the units and CPU use of its server, reserves room before it grows, and queries whether
//! it must give room back. [`dormouse_policy::placement`] decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_policy::autoscale::{SizeStep, Why};
use dormouse_policy::placement::{self, Capacity, Claim, Growth, Stay};
use dormouse_types::{InstanceId, UnitRange, Units};

use crate::error::Error;

/// The machine's room.
pub(crate) struct Room {
    capacity: Capacity,
    awake: Mutex<All>,
}

/// All awake instances.
#[derive(Default)]
struct All {
    each: HashMap<InstanceId, Claim>,
    /// Those of them that follow another one: replicas, and instances to which a database moves.
    followers: HashSet<InstanceId>,
    /// Sum of their units.
    allotted: u64,
}

impl All {
    fn put(&mut self, instance: InstanceId, awake: Option<Claim>) {
        self.followers.remove(&instance);
        let before = match awake {
            Some(awake) => self.each.insert(instance, awake),
            None => self.each.remove(&instance),
        };
        let units = |awake: Option<Claim>| awake.map_or(0, |awake| u64::from(awake.units.0));
        self.allotted = self.allotted + units(awake) - units(before);
    }

    fn put_follower(&mut self, instance: InstanceId, units: Option<Units>) {
        match units {
            Some(units) => {
                let claim = Claim {
                    units,
                    min: units,
                    used: 0,
                };
                self.put(instance, Some(claim));
                self.followers.insert(instance);
            }
            None if self.followers.contains(&instance) => self.put(instance, None),
            None => {}
        }
    }
}

impl Room {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            awake: Mutex::default(),
        }
    }

    /// Whether a database of this range is possible: its minimum must fit on the machine.
    pub(crate) fn check_range(&self, units: UnitRange) -> Result<(), Error> {
        let memory = self.capacity.memory;
        let most = (memory.0 / Units(1).memory().0).max(1);
        if u64::from(units.min.0) <= most {
            return Ok(());
        }
        Err(Error::Limit {
            what: format!(
                "{} units at all times are {} of memory, and this machine has {memory}",
                units.min.0,
                units.min.memory()
            ),
            most,
        })
    }

    /// Records the units and use of a server; `None`: it sleeps.
    pub(crate) fn note(&self, instance: InstanceId, awake: Option<Claim>) {
        self.all().put(instance, awake);
    }

    /// Records the units of a server that follows another one; `None`: it does not run.
    pub(crate) fn note_follower(&self, instance: InstanceId, units: Option<Units>) {
        self.all().put_follower(instance, units);
    }

    /// Whether there is room for a server that is to follow another one.
    ///
    /// # Errors
    /// There is none: why.
    pub(crate) fn has_room(&self, wanted: Units, stay: Stay) -> Result<(), String> {
        let others: Vec<Claim> = self.all().each.values().copied().collect();
        placement::follow(self.capacity, &others, wanted, stay).map(drop)
    }

    /// Reserves the units of a server that is about to follow another one, as many as there is room for; the end of its server
    /// ends that.
    ///
    /// # Errors
    /// There is no room: why.
    pub(crate) fn reserve_follower(
        &self,
        instance: InstanceId,
        wanted: Units,
        stay: Stay,
    ) -> Result<Units, String> {
        let mut all = self.all();
        let others = all.each.iter().filter(|(id, _)| **id != instance);
        let others: Vec<Claim> = others.map(|(_, claim)| *claim).collect();
        let units = placement::follow(self.capacity, &others, wanted, stay)?;
        all.put_follower(instance, Some(units));
        Ok(units)
    }

    /// Reserves room for a server to grow by this step, as far as the budget allows; returns how far it may
    /// grow.
    pub(crate) fn reserve_growth(&self, instance: InstanceId, step: &SizeStep) -> Growth {
        let mut all = self.all();
        let Some(asking) = all.each.get(&instance).copied() else {
            return Growth {
                to: step.units,
                limit: None,
            };
        };
        let others = all.each.iter().filter(|(id, _)| **id != instance);
        let others: Vec<Claim> = others.map(|(_, awake)| *awake).collect();
        let growth = placement::grow(self.capacity, &others, asking, step.units, step.why);
        let units = asking.units.max(growth.to);
        all.put(instance, Some(Claim { units, ..asking }));
        growth
    }

    /// The step by which a server must shrink to make room for others. Called at each poll of each server, so it
    /// compares with the others only if the budget is exceeded and this server has units to spare.
    pub(crate) fn must_give_back(&self, instance: InstanceId) -> Option<SizeStep> {
        let mut each: Vec<(InstanceId, Claim)> = {
            let all = self.all();
            if all.allotted <= self.capacity.budget() || all.each.get(&instance)?.spare() == 0 {
                return None;
            }
            all.each.iter().map(|(id, awake)| (*id, *awake)).collect()
        };
        // databases with equal load keep their order
        each.sort_unstable_by_key(|(id, _)| *id);
        let awake: Vec<Claim> = each.iter().map(|(_, awake)| *awake).collect();
        let mine = placement::give_back(self.capacity, &awake)
            .into_iter()
            .find(|shrink| {
                each.get(shrink.index)
                    .is_some_and(|(id, _)| *id == instance)
            })?;
        Some(SizeStep {
            units: mine.to,
            why: Why::Memory,
            reason: mine.reason,
        })
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
