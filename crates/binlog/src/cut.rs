//! Where to stop.

use std::fmt;
use std::ops::ControlFlow;

use crate::anchor::Anchors;
use crate::group::{Group, Gtid};
use crate::place::Place;

/// Up to where a log is to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before the first group that was committed at this time or later, in seconds since 1970.
    At(i64),
    /// Before this group.
    Before(Gtid),
    /// Everything.
    End,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(seconds) => write!(f, "the time {seconds}"),
            Self::Before(gtid) => write!(f, "before {gtid}"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Looks for the position to stop at, group by group in the log's order.
///
/// For a time: every group whose commit was acknowledged before it stands before the position, and no group whose last
/// statement began at it or later does. Timestamps are those of the statement that commits, as its client would have
/// it; a false one moves the position by no more than the time between two anchors.
#[derive(Debug)]
pub struct Cutter<'a> {
    stop: Stop,
    anchors: &'a Anchors,
    from: Place,
    /// The first group that is not to be applied.
    found: Option<Place>,
    last: Option<(Gtid, i64)>,
}

impl<'a> Cutter<'a> {
    /// Groups before `from` are applied already.
    #[must_use]
    pub fn new(stop: Stop, anchors: &'a Anchors, from: Place) -> Self {
        Self {
            stop,
            anchors,
            from,
            found: None,
            last: None,
        }
    }

    /// Looks at the next group; breaks when the position is found.
    pub fn group(&mut self, group: &Group) -> ControlFlow<()> {
        let time = self.anchors.time_of(group);
        let stops = match self.stop {
            Stop::At(seconds) => time >= seconds.saturating_mul(1000),
            Stop::Before(gtid) => group.gtid == gtid,
            Stop::End => false,
        };
        if stops {
            self.found = Some(group.start.clone());
            return ControlFlow::Break(());
        }
        self.last = Some((group.gtid, time));
        ControlFlow::Continue(())
    }

    /// The position, if a group was found that is not to be applied. It may stand before where the log is to be applied
    /// from ([`Cutter::is_too_early`]).
    #[must_use]
    pub fn found(&self) -> Option<&Place> {
        self.found.as_ref()
    }

    /// Whether what is applied already reaches beyond the position.
    #[must_use]
    pub fn is_too_early(&self) -> bool {
        self.found.as_ref().is_some_and(|found| *found < self.from)
    }

    /// The last group that is to be applied, and when it was committed, in milliseconds since 1970.
    #[must_use]
    pub fn last(&self) -> Option<(Gtid, i64)> {
        self.last
    }
}
