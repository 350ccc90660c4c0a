//! One machine: its databases share only the queue for server starts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dormouse_policy::spend::Prices;

use crate::fleet::Request;
use crate::life::Living;
use crate::model::Machines;
use crate::tally::Tally;
use crate::time::Micros;

/// Simulates the databases of one machine to their end. Each runs alone until its next start; the
/// earliest start of all is admitted next.
pub(crate) fn live<R: Iterator<Item = Request>>(
    mut all: Vec<Living<R>>,
    machines: &Machines,
    prices: &Prices,
) -> Tally {
    let mut tally = Tally::default();
    let mut line: BinaryHeap<Reverse<(Micros, usize)>> = BinaryHeap::new();
    for (n, database) in all.iter_mut().enumerate() {
        line.extend(
            database
                .live(machines, &mut tally)
                .map(|at| Reverse((at, n))),
        );
    }
    let mut free: BinaryHeap<Reverse<Micros>> = (0..machines.starts_at_once.max(1))
        .map(|_| Reverse(0))
        .collect();
    while let Some(Reverse((at, n))) = line.pop() {
        let Reverse(slot) = free.pop().unwrap_or(Reverse(0));
        let opened = at.max(slot) + machines.timing.start;
        free.push(Reverse(opened));
        let Some(database) = all.get_mut(n) else {
            continue;
        };
        database.started(opened, machines, &mut tally);
        line.extend(
            database
                .live(machines, &mut tally)
                .map(|at| Reverse((at, n))),
        );
    }
    for database in all {
        database.finish(machines, prices, &mut tally);
    }
    tally
}
