//! Backends on understudies: servers without data, which answer in place of those of sleeping databases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_types::{InstanceId, Target};

use crate::config::PoolLimits;
use crate::pool::Pool;

/// Most backends on one understudy.
const MOST: u32 = 128;

/// How long one may be idle.
const IDLE: Duration = Duration::from_secs(60);

/// The pools of backends on understudies, one for each.
#[derive(Default)]
pub(crate) struct Understudies(Mutex<BTreeMap<InstanceId, Arc<Pool>>>);

impl Understudies {
    fn pools(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Arc<Pool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of this understudy.
    pub(crate) fn pool(&self, target: &Target) -> Arc<Pool> {
        let mut pools = self.pools();
        let pool = pools.entry(target.instance).or_insert_with(|| {
            Pool::new(PoolLimits {
                backends_max: MOST,
                backends_min: 0,
                open_after: Duration::ZERO,
                backend_idle: IDLE,
                ..PoolLimits::default()
            })
        });
        Arc::clone(pool)
    }

    /// Closes backends that have been idle for too long, and forgets pools that have none.
    pub(crate) fn trim(&self, now: Instant) {
        self.pools().retain(|_, pool| {
            pool.trim(now);
            pool.status().backends > 0
        });
    }
}
