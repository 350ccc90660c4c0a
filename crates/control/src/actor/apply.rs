//! Telling the driver what a process should be.

use std::time::Duration;

use dormouse_driver::{Desired, Error as DriverError, Run};

use super::Actor;
use crate::world::no_answer;

/// Why a process is not what it should be.
pub(super) enum Unmet {
    /// It died, or was killed: another may be started.
    Died(String),
    /// It is the fault of the server or the machine.
    Fault(String),
}

impl Unmet {
    /// For a human.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Died(reason) | Self::Fault(reason) => reason,
        }
    }
}

impl Actor {
    /// Tells the driver what the process should be, and takes note of what it is. A process that
    /// died meanwhile and was replaced is a failure: the next [`Actor::look`] finds out.
    pub(super) async fn apply(&mut self, run: Run, limit: Duration) -> Result<(), String> {
        self.try_apply(run, limit).await.map_err(Unmet::reason)
    }

    /// The same, for whom it matters whose fault it is.
    pub(super) async fn try_apply(&mut self, run: Run, limit: Duration) -> Result<(), Unmet> {
        let units = self.database.view().units;
        let desired = Desired { run, units };
        let apply = self.world.driver.apply(self.database.instance, desired);
        let before = self.database.view().incarnation();
        match tokio::time::timeout(limit, apply).await {
            Ok(Ok(seen))
                if before.is_some() && seen.incarnation.is_some() && seen.incarnation != before =>
            {
                Err(Unmet::Died("its server died and came back".to_owned()))
            }
            Ok(Ok(seen)) if seen.run == run => {
                self.note(&seen);
                Ok(())
            }
            Ok(Ok(seen)) => {
                self.note(&seen);
                let reason = format!("its process is {:?} where it should be {run:?}", seen.run);
                // it was as it should be, and then died
                Err(match seen.run {
                    Run::Stopped => Unmet::Died(reason),
                    Run::Running | Run::Frozen => Unmet::Fault(reason),
                })
            }
            Ok(Err(error @ DriverError::Killed { .. })) => Err(Unmet::Died(error.to_string())),
            Ok(Err(error)) => Err(Unmet::Fault(error.to_string())),
            Err(_) => Err(Unmet::Fault(no_answer(limit))),
        }
    }
}
