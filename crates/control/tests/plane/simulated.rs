//! A ledger replayed in the simulator gives the plane's own figures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dormouse_control::{Event, EventKind, Spec};
use dormouse_sim::model::usual_prices;
use dormouse_sim::report::Figures;
use dormouse_sim::trace::ledger::{Entry, Known, Recorder, What};
use dormouse_sim::{Fleet, Report, Simulation, Trace};
use dormouse_testkit::Dice;
use dormouse_types::{DatabaseName, State};

use crate::machine::Machine;
use crate::run::{MS, Run, S, name, spec, virtually};

/// The start of the virtual time, in a ledger's milliseconds.
const EPOCH: u64 = 1_764_000_000_000;

/// A plane after hours of random load.
struct Lived {
    /// Its ledger, with the virtual time of each entry, and the end of the run.
    events: Vec<(u64, Event)>,
    to: u64,
    known: Vec<Known>,
    /// CPU time used by all servers.
    cpu: Duration,
}

fn lived(specs: &[(&str, Spec)], hours: u64, seed: u64) -> Lived {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        let began = tokio::time::Instant::now();
        let since = move || u64::try_from(began.elapsed().as_millis()).unwrap();
        let mut live = run.plane.subscribe();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let listening = tokio::spawn(async move {
            while let Ok(event) = live.recv().await {
                hears.lock().unwrap().push((EPOCH + since(), event));
            }
        });
        let end = began + S * u32::try_from(hours * 3600).unwrap();
        let mut clients = tokio::task::JoinSet::new();
        for (n, (database, spec)) in (0..).zip(specs) {
            let database = name(database);
            run.plane.create(&database, spec.clone()).await.unwrap();
            let (plane, lanes) = (run.plane.clone(), run.lanes.clone());
            let mut dice = Dice::new(seed + n);
            clients.spawn(async move {
                loop {
                    let [pause, takes] = [20, 15].map(|most| {
                        let power = dice.below(most);
                        dice.below(1 << power)
                    });
                    let takes = Duration::from_millis(takes);
                    let next = tokio::time::Instant::now() + MS * u32::try_from(pause).unwrap();
                    if next >= end {
                        return;
                    }
                    tokio::time::sleep_until(next).await;
                    lanes.statement(&plane, &database, takes).await.unwrap();
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        tokio::time::sleep_until(end).await;
        let known = run.plane.list().into_iter().map(|status| Known {
            database: status.name,
            spec: status.spec,
            state: status.state,
            cpu: status.cpu_ms,
        });
        let (known, to) = (known.collect(), EPOCH + since());
        let instances = run.plane.list().into_iter().map(|status| status.instance);
        let cpu = instances.map(|id| run.machine.lock().burnt(id)).sum();
        listening.abort();
        let events = std::mem::take(&mut *heard.lock().unwrap());
        Lived {
            events,
            to,
            known,
            cpu,
        }
    })
    .unwrap()
}

/// The entry in the simulator's format; `None` for one that is no transition.
fn entry(at: u64, event: &Event) -> Option<Entry> {
    Some(Entry {
        at,
        database: event.database.clone()?,
        what: match event.event {
            EventKind::Created => What::Created,
            EventKind::Changed => What::Changed,
            EventKind::Refused => What::Refused,
            EventKind::Dropped => What::Dropped,
            EventKind::Noted
            | EventKind::Scaled
            | EventKind::Set
            | EventKind::BackedUp
            | EventKind::Token
            | EventKind::Imported
            | EventKind::Exported => {
                return None;
            }
        },
        from: event.from,
        to: event.to,
        took: event.duration_ms.unwrap(),
        idle: event.figures.idle_ms.unwrap_or(0),
        cpu: event.figures.cpu_ms,
        took_cpu: event.figures.took_cpu_ms,
    })
}

/// Figures from the ledger itself.
#[derive(Debug, Default)]
struct Ledger {
    thaws: u64,
    starts: u64,
    suspends: u64,
    parks: u64,
    /// Milliseconds in each resting state.
    in_state: BTreeMap<&'static str, u64>,
}

impl Ledger {
    fn of(events: &[(u64, Event)], to: u64) -> Self {
        let mut ledger = Self::default();
        let mut states: BTreeMap<&DatabaseName, (State, u64)> = BTreeMap::new();
        let mut rest = |state: State, from: u64, to: u64| {
            *ledger.in_state.entry(state.as_str()).or_default() += to.saturating_sub(from);
        };
        for (at, event) in events {
            let awake = event.event == EventKind::Refused;
            let state = if awake { event.from } else { event.to }.unwrap();
            let began = at - event.duration_ms.unwrap();
            if let Some((before, since)) =
                states.insert(event.database.as_ref().unwrap(), (state, *at))
            {
                rest(before, since, began);
            }
        }
        for (state, since) in states.into_values() {
            rest(state, since, to);
        }
        let changes = events.iter().filter(|(_, e)| e.event == EventKind::Changed);
        for (_, event) in changes {
            match (event.from.unwrap(), event.to.unwrap()) {
                (State::Suspended, State::Active) => ledger.thaws += 1,
                (State::Parked, State::Active) => ledger.starts += 1,
                (_, State::Suspended) => ledger.suspends += 1,
                (_, State::Parked) => ledger.parks += 1,
                other => unreachable!("{other:?}"),
            }
        }
        ledger
    }
}

fn simulated(trace: Trace) -> Figures {
    let simulation = Simulation::new(Fleet::Recorded(trace), usual_prices(), Instant::now());
    let asked = dormouse_policy::SettingsPatch::default();
    let tally = simulation.live(0, asked.clone());
    Report::new(&simulation, asked, &tally, &[]).figures
}

#[test]
fn a_replayed_ledger_gives_the_figures_of_the_ledger() {
    let specs = [
        ("shop", spec("10s", "5m")),
        ("blog", spec("10s", "5m")),
        ("wiki", spec("1s", "30s")),
        ("mail", spec("2s", "never")),
        ("jobs", spec("never", "1m")),
        ("tiny", spec("200ms", "2s")),
    ];
    let Lived {
        events,
        to,
        known,
        cpu,
    } = lived(&specs, 24, 7);
    let ledger = Ledger::of(&events, to);
    let mut recorder = Recorder::new(known);
    for (at, event) in &events {
        if let Some(entry) = entry(*at, event) {
            recorder.note(&entry);
        }
    }
    let (trace, left_out) = recorder.finish(to).unwrap();
    assert_eq!(left_out, 0);
    let figures = simulated(trace);
    let hours = |state: State| ledger.in_state[state.as_str()] as f64 / 3_600_000.0;
    for (what, says, comes_to) in [
        ("thaws", ledger.thaws as f64, figures.thaws as f64),
        ("starts", ledger.starts as f64, figures.starts as f64),
        ("suspends", ledger.suspends as f64, figures.suspends as f64),
        ("parks", ledger.parks as f64, figures.parks as f64),
        ("active", hours(State::Active), figures.hours.active),
        (
            "suspended",
            hours(State::Suspended),
            figures.hours.suspended,
        ),
        ("parked", hours(State::Parked), figures.hours.parked),
        ("CPU", cpu.as_secs_f64() / 3600.0, figures.cpu_hours),
    ] {
        println!("{what}: it was {says:.3}, the simulation has {comes_to:.3}");
        assert!(says > 0.1, "too little happened: {what} {says}");
        assert!(
            (says - comes_to).abs() <= says * 0.02,
            "{what}: it was {says}, the simulation has {comes_to}"
        );
    }
}
