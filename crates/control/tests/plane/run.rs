//! One run of Dormouse on a simulated machine, in virtual time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_control::{Error, Event, EventFilter, Plane, PlaneConfig, Spec, Status};
use dormouse_types::{DatabaseName, State};

use crate::doors::Lanes;
use crate::machine::Machine;

pub const S: Duration = Duration::from_secs(1);
pub const MS: Duration = Duration::from_millis(1);
/// Maximum wait of a login for its accounts.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

pub struct Run {
    pub plane: Plane,
    pub lanes: Lanes,
    pub machine: Machine,
}

impl Run {
    pub async fn start(machine: &Machine, dir: &Path) -> Result<Self, Error> {
        Self::start_with(machine, config(dir)).await
    }

    pub async fn start_with(machine: &Machine, config: PlaneConfig) -> Result<Self, Error> {
        let lanes = Lanes::new(machine);
        machine.set(|m| m.catalog = Some(config.data_dir.join("catalog.sqlite")));
        let plane = Plane::start(
            config,
            Arc::new(machine.clone()),
            Arc::new(machine.clone()),
            Arc::new(lanes.clone()),
        );
        let plane = Box::pin(plane).await?;
        Ok(Self {
            plane,
            lanes,
            machine: machine.clone(),
        })
    }

    /// A short statement; returns the generation of the server that ran it.
    pub async fn query(&self, database: &DatabaseName) -> Result<u64, String> {
        let statement = self.lanes.statement(&self.plane, database, MS);
        let late = tokio::time::timeout(S * 3600, statement).await;
        late.unwrap_or_else(|_| Err(format!("held for ever: {:?}", self.plane.show(database))))
    }

    pub fn status(&self, database: &DatabaseName) -> Status {
        self.plane.show(database).unwrap()
    }

    pub fn state(&self, database: &DatabaseName) -> State {
        self.status(database).state
    }

    /// Waits until the database is in a state; fails after an hour.
    pub async fn until(&self, database: &DatabaseName, state: State) {
        let waited = async {
            while self.plane.show(database).map(|s| s.state).ok() != Some(state) {
                tokio::time::sleep(MS * 10).await;
            }
        };
        let late = tokio::time::timeout(S * 3600, waited).await.is_err();
        assert!(
            !late,
            "{database} is {:?}, not {state}",
            self.plane.show(database)
        );
    }

    pub fn events(&self, database: &DatabaseName) -> Vec<Event> {
        let filter = EventFilter {
            database: Some(database.clone()),
            present: false,
            after: None,
            limit: usize::MAX,
        };
        self.plane.events(filter).unwrap()
    }

    /// The ledger of a database, a line per entry, without times.
    pub fn ledger(&self, database: &DatabaseName) -> Vec<String> {
        let word = |s: Option<State>| s.map_or("-", State::as_str);
        let line = |e: &Event| {
            let (from, to) = (word(e.from), word(e.to));
            format!(
                "{} {from} {to} {}: {}",
                e.event.as_str(),
                e.cause.as_str(),
                e.reason
            )
        };
        self.events(database).iter().map(line).collect()
    }
}

pub fn config(dir: &Path) -> PlaneConfig {
    PlaneConfig {
        warm_pool: 0,
        understudies: 0,
        wakes_at_once: 2,
        ..PlaneConfig::new(dir)
    }
}

pub fn spec(suspend: &str, park: &str) -> Spec {
    Spec {
        idle_suspend: suspend.parse().unwrap(),
        idle_park: park.parse().unwrap(),
        ..Spec::default()
    }
}

/// Runs a test on a machine of its own; fails if an invariant was violated.
pub fn with(test: impl AsyncFnOnce(Run)) {
    with_config(|config| config, test);
}

/// The same, with another configuration.
pub fn with_config(change: impl FnOnce(PlaneConfig) -> PlaneConfig, test: impl AsyncFnOnce(Run)) {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let config = change(config(dir.path()));
    virtually(&machine, async {
        test(Run::start_with(&machine, config).await.unwrap()).await;
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

/// Runs Dormouse until the script ends or Dormouse is killed (then `None`); all its tasks end with it.
pub fn virtually<T>(machine: &Machine, script: impl Future<Output = T>) -> Option<T> {
    machine.reborn();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::select! {
            done = script => Some(done),
            () = machine.crash() => None,
        }
    })
}
