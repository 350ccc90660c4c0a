//! An instance's size: its share of the machine's room, and growing and shrinking.

use std::sync::Arc;

use dormouse_driver::{Observed, Run};
use dormouse_policy::autoscale::{SizeStep, Why};
use dormouse_policy::placement::{Claim, Growth};
use dormouse_types::Units;

use super::shrink::Shrink;
use super::{Instance, STARVED, Unmet};
use crate::servers::ServerError;
use crate::time::{Late, now};

/// Progress of a shrink.
pub(crate) enum Shrinking {
    /// Under way.
    Busy,
    /// The limits are lowered.
    Done(Observed),
    /// The limits are as before. The pool may be smaller.
    Failed(ShrinkError),
}

/// Why an instance could not shrink.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShrinkError {
    /// Shrinking the buffer pool failed.
    #[error(transparent)]
    Pool(#[from] Late<ServerError>),
    /// Setting the limits failed.
    #[error(transparent)]
    Limits(#[from] Unmet),
    /// The task that shrinks the pool has panicked.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl Instance {
    /// Reports its units and CPU use to the machine's room; `least` is the minimum of its range.
    pub(crate) fn note_room(&self, least: Units) {
        let claim = (self.run == Run::Running).then(|| Claim {
            units: self.units,
            min: least,
            used: { self.awake.as_ref() }
                .and_then(|awake| awake.window.millicores())
                .unwrap_or(0),
        });
        self.host.room.note(self.id, claim);
    }

    /// Reserves room to grow by this step, as far as the budget allows; returns how far it may grow.
    pub(crate) fn reserve_growth(&self, step: &SizeStep) -> Growth {
        self.host.room.reserve_growth(self.id, step)
    }

    /// Whether it must shrink to make room for others.
    pub(crate) fn must_give_back(&self) -> Option<SizeStep> {
        self.host.room.must_give_back(self.id)
    }

    /// Reserves the units of a server that is about to start: `least`, or more if its predecessor was killed
    /// for lack of memory. The text is the reason for more.
    pub(crate) fn reserve_first_units(&self, least: Units, most: Units) -> (Units, Option<String>) {
        let Some(units) = self.awake.as_ref().and_then(|awake| awake.next_units) else {
            return (least, None);
        };
        let step = SizeStep {
            units: units.clamp(least, most),
            why: Why::Memory,
            reason: STARVED.to_owned(),
        };
        let claim = Claim {
            units: least,
            min: least,
            used: 0,
        };
        self.host.room.note(self.id, Some(claim));
        let growth = self.host.room.reserve_growth(self.id, &step);
        let limit = growth
            .limit
            .or_else(|| (units > most).then(|| format!("the most it may have is {}", most.0)));
        let told = limit.map_or(step.reason, |limit| format!("{STARVED}; {limit}"));
        (growth.to, Some(told))
    }

    /// Clears the load window after a change of size, because its samples are of the old size.
    pub(crate) fn resized(&mut self) {
        self.awake().resized(now());
    }

    /// Whether a shrink is under way.
    pub(crate) fn is_shrinking(&self) -> bool {
        self.awake.as_ref().is_some_and(|a| a.shrink.is_some())
    }

    /// Cancels the shrink that is under way, if any.
    pub(crate) fn stop_shrinking(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.shrink = None;
        }
    }

    /// Starts to shrink the buffer pool. Calls `done` at its end; then call [`Instance::shrink`].
    pub(crate) fn begin_to_shrink(&mut self, to: Units, done: impl FnOnce() + Send + 'static) {
        let (host, server) = (Arc::clone(&self.host), self.server());
        let awake = self.awake();
        awake.warming = None;
        awake.shrink = Some(Shrink::begin(host, server, to, done));
    }

    /// Continues a shrink: lowers the limits when the pool is small and the kernel has freed the memory.
    pub(crate) async fn shrink(&mut self) -> Shrinking {
        let Some(mut shrink) = self.awake().shrink.take() else {
            return Shrinking::Busy;
        };
        match shrink.pool().await {
            None => {
                self.awake().shrink = Some(shrink);
                return Shrinking::Busy;
            }
            Some(Ok(Some(hits))) => self.count(hits),
            Some(Ok(None)) => {}
            Some(Err(error)) => return Shrinking::Failed(error),
        }
        let before = std::mem::replace(&mut self.units, shrink.to);
        match self.limit().await {
            Ok(seen) => {
                self.resized();
                Shrinking::Done(seen)
            }
            Err(unmet) => {
                self.units = before;
                if unmet
                    .in_use()
                    .is_some_and(|held| shrink.goes_on(held, now()))
                {
                    self.awake().shrink = Some(shrink);
                    return Shrinking::Busy;
                }
                Shrinking::Failed(unmet.into())
            }
        }
    }
}
