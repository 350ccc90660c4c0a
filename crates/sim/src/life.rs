//! Simulation of one database: its server, door and actor.
//!
//! As in the plane, [`decide`] is called whenever something may have changed: after each action, at
//! the time that it returned, and when a request arrives at a shut door. Requests that arrive at an
//! open door run without a decision; so they cost almost nothing.

use std::time::Instant;

use dormouse_policy::lifecycle::{Agenda, Door, Failures, Load, Notes, Observed, Server};
use dormouse_policy::spend::Prices;
use dormouse_policy::{Spec, Verb, decide};
use dormouse_types::{State, Units};

use crate::fleet::{Kind, Request};
use crate::model::Machines;
use crate::size::{self, Scaler};
use crate::tally::{self, Days, Tally};
use crate::time::{Clock, Micros};

const NEVER: Request = Request {
    at: Micros::MAX,
    statements: 0,
    takes: 0,
    cpu: 0,
};

/// A database at its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Birth {
    pub(crate) spec: Spec,
    pub(crate) state: State,
    pub(crate) kind: Option<Kind>,
    /// Whether it is created then, with a server that was started for it.
    pub(crate) made: bool,
    /// Beginning and end of its existence.
    pub(crate) from: Micros,
    pub(crate) to: Micros,
}

/// A database during the simulation.
pub(crate) struct Living<R> {
    born: Birth,
    clock: Clock,
    requests: R,
    /// The next request; after the last one, a request in the infinite future.
    next: Request,
    now: Micros,
    /// Time up to which it is accounted for.
    told: Micros,
    state: State,
    since: Instant,
    opened: Option<Instant>,
    /// Its size, while it is not the smallest or may grow.
    scaler: Option<Box<Scaler>>,
    /// End of the last running request.
    busy_until: Option<Micros>,
    days: Days,
    life: tally::Life,
}

impl<R: Iterator<Item = Request>> Living<R> {
    pub(crate) fn new(born: Birth, mut requests: R, clock: Clock) -> Self {
        let next = requests.next().unwrap_or(NEVER);
        Self {
            clock,
            requests,
            next,
            now: born.from,
            told: born.from,
            state: born.state,
            since: clock.at(born.from),
            opened: (born.state == State::Active).then(|| clock.at(born.from)),
            scaler: None,
            busy_until: None,
            days: Days::begin(born.from),
            life: tally::Life::default(),
            born,
        }
    }

    /// Simulates until the next server start and returns its time; `None` at the end.
    pub(crate) fn live(&mut self, machines: &Machines, tally: &mut Tally) -> Option<Micros> {
        while self.now < self.born.to {
            let plan = decide(&self.born.spec, &self.observed(), self.clock.at(self.now));
            let timing = &machines.timing;
            match plan.act.map(|act| act.verb) {
                Some(Verb::Start) => return Some(self.now),
                Some(Verb::Thaw) => {
                    self.life.thaws += 1;
                    self.days.wake(self.now, &mut tally.daily_wakes);
                    self.open(self.now + timing.thaw, machines, tally);
                }
                Some(Verb::Suspend) => {
                    let frozen = self.now + timing.suspend;
                    if !self.given_up(frozen, machines, tally) {
                        self.life.suspends += 1;
                        self.life.transitions_cpu += timing.suspend_cpu;
                        self.sleep(State::Suspended, frozen, machines);
                    }
                }
                Some(Verb::Park) => {
                    let stopped = self.now + timing.park;
                    if !self.given_up(stopped.saturating_sub(timing.stop), machines, tally) {
                        self.life.parks += 1;
                        self.life.transitions_cpu += timing.park_cpu;
                        self.sleep(State::Parked, stopped, machines);
                    }
                }
                // failures, orders and spend limits are not simulated
                None
                | Some(
                    Verb::Settle(_)
                    | Verb::Bar
                    | Verb::Rearm
                    | Verb::GiveUp
                    | Verb::Move
                    | Verb::Drop
                    | Verb::Refuse,
                ) => {
                    let until = plan.look_again.map(|at| self.clock.micros(at));
                    self.rest(until.unwrap_or(self.born.to), machines, tally);
                }
            }
        }
        None
    }

    /// Its server was admitted and is ready at `opened`.
    pub(crate) fn started(&mut self, opened: Micros, machines: &Machines, tally: &mut Tally) {
        self.life.starts += 1;
        self.life.transitions_cpu += machines.timing.start_cpu;
        self.days.wake(self.now, &mut tally.daily_wakes);
        self.open(opened, machines, tally);
    }

    /// Ends the simulation of the database.
    pub(crate) fn finish(mut self, machines: &Machines, prices: &Prices, tally: &mut Tally) {
        self.pass(self.born.to, machines);
        self.life.existed = self.born.to - self.born.from;
        if self.born.made {
            self.life.transitions_cpu += machines.timing.start_cpu;
        }
        self.days.finish(self.born.to, &mut tally.daily_wakes);
        tally.add(&self.life, &self.born.spec, self.born.kind, prices);
    }

    fn observed(&self) -> Observed {
        let (server, door) = match self.state {
            State::Active => (Server::Running, Door::Open),
            State::Suspended => (Server::Frozen, Door::Shut),
            _ => (Server::Stopped, Door::Shut),
        };
        let running = self.busy_until.is_some_and(|end| end > self.now)
            || self.scaler.as_ref().is_some_and(|scaler| scaler.is_busy());
        let waits = door == Door::Shut && self.next.at <= self.now;
        Observed {
            state: self.state,
            since: self.since,
            server,
            door,
            load: Load {
                sessions: 1,
                running: u32::from(running),
                held: u32::from(waits),
                transactions: 0,
                last_statement: self.busy_until.map(|end| self.clock.at(end.min(self.now))),
            },
            opened: self.opened,
            notes: Notes::Fresh,
            suspend_denied: None,
            park_denied: None,
            failures: Failures::default(),
            agenda: Agenda::default(),
            barred: false,
            order: None,
        }
    }

    /// Advances the time; if asleep, until a request arrives.
    fn rest(&mut self, until: Micros, machines: &Machines, tally: &mut Tally) {
        let mut until = until.min(self.born.to);
        if self.state == State::Active {
            self.run_arrived(until, 0, machines, tally);
        } else {
            until = until.min(self.next.at.max(self.now));
        }
        self.now = until;
        self.pass(until, machines);
    }

    /// Whether a request cancels the transition to sleep, which is possible until `last`.
    fn given_up(&mut self, last: Micros, machines: &Machines, tally: &mut Tally) -> bool {
        if self.next.at >= last {
            return false;
        }
        self.life.given_up += 1;
        self.now = self.next.at.max(self.now);
        self.open(self.now + machines.timing.reopen, machines, tally);
        true
    }

    /// Enters the active state at `opened`; the time before counts as transition.
    fn open(&mut self, opened: Micros, machines: &Machines, tally: &mut Tally) {
        self.state = State::Waking;
        self.pass(opened, machines);
        self.state = State::Active;
        if let Some(scaler) = &mut self.scaler {
            scaler.wake(opened);
        }
        self.since = self.clock.at(opened);
        self.opened = Some(self.since);
        self.now = opened;
        self.run_arrived(opened, opened, machines, tally);
    }

    fn sleep(&mut self, state: State, at: Micros, machines: &Machines) {
        self.state = State::Suspending;
        self.pass(at, machines);
        if state == State::Parked {
            // it starts with the minimum
            self.scaler = None;
        }
        self.state = state;
        self.since = self.clock.at(at);
        self.now = at;
    }

    /// Runs the requests that have arrived by `until`, none before `not_before`.
    fn run_arrived(
        &mut self,
        until: Micros,
        not_before: Micros,
        machines: &Machines,
        tally: &mut Tally,
    ) {
        let range = self.born.spec.units;
        while self.next.at <= until {
            let request = std::mem::replace(&mut self.next, self.requests.next().unwrap_or(NEVER));
            let begin = request.at.max(not_before);
            if begin > request.at {
                tally.waits.add(begin - request.at);
            }
            let large = range.min < range.max && size::is_large(&request, range.min);
            if large || self.scaler.is_some() {
                self.size(&request, large, begin, machines);
            }
            if !large {
                self.ends(begin + size::takes(&request, self.units()));
            }
            self.life.cpu += request.cpu;
            self.life.requests += 1;
            self.life.statements += u64::from(request.statements);
        }
    }

    /// Handles a request that may change the size, or that arrives while the size may change.
    fn size(&mut self, request: &Request, large: bool, begin: Micros, machines: &Machines) {
        self.pass(begin, machines);
        if large {
            let (range, clock) = (self.born.spec.units, self.clock);
            let scaler = self
                .scaler
                .get_or_insert_with(|| Box::new(Scaler::new(range, range.min, begin, clock)));
            scaler.add(request);
        } else if let Some(scaler) = &mut self.scaler {
            scaler.add_small(request.cpu);
        }
    }

    fn units(&self) -> Units {
        let scaler = self.scaler.as_ref();
        scaler.map_or(self.born.spec.units.min, |scaler| scaler.units)
    }

    /// Records the end of a request.
    fn ends(&mut self, end: Micros) {
        self.busy_until = Some(self.busy_until.map_or(end, |busy| busy.max(end)));
    }

    /// Accounts for the time until `until` in the current state.
    fn pass(&mut self, until: Micros, machines: &Machines) {
        let until = until.min(self.born.to);
        let passed = until.saturating_sub(self.told);
        self.told += passed;
        match self.state {
            State::Active => {
                self.life.active += passed;
                self.life.memory += self.worked(until, passed);
            }
            State::Suspended => {
                let kept = u128::from(machines.frozen_memory.0 >> 20);
                self.life.suspended += passed;
                self.life.memory += kept * u128::from(passed);
            }
            State::Parked => self.life.parked += passed,
            _ => {
                self.life.between += passed;
                self.life.memory += tally::memory(self.units(), passed);
            }
        }
    }

    /// Accounts for active time until `until`; returns the allotted memory.
    fn worked(&mut self, until: Micros, passed: Micros) -> u128 {
        let Some(scaler) = &mut self.scaler else {
            return tally::memory(self.born.spec.units.min, passed);
        };
        let worked = scaler.work(until);
        if scaler.is_done() {
            self.scaler = None;
        }
        if let Some(end) = worked.ended {
            self.ends(end);
        }
        worked.memory
    }
}
