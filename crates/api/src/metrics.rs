//! Metrics for Prometheus, in OpenMetrics text.
//!
//! Values are read from the plane and the data path at each request. The only labels are the names of
//! the database and of the pin, which are few; what concerns all backups, understudies or moves has none.

use std::collections::BTreeMap;
use std::fmt;

use dormouse_control::backups::Counts;
use dormouse_control::{MoveCounts, Plane, ReplicaDoing, Status, UnderstudyCounts};
use dormouse_types::{PoolStatus, State, Usage};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The media type of [`text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Values of one database.
type Figures = (Status, PoolStatus, Usage);

/// A metric of each database.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

/// Type of a metric, and the function that reads it.
enum Kind {
    Gauge(fn(&Figures) -> i64),
    Counter(fn(&Figures) -> u64),
    /// A counter with fractions, such as seconds.
    Amount(fn(&Figures) -> f64),
}

const fn gauge(name: &'static str, help: &'static str, of: fn(&Figures) -> i64) -> Figure {
    let kind = Kind::Gauge(of);
    Figure { name, help, kind }
}

const fn counter(name: &'static str, help: &'static str, of: fn(&Figures) -> u64) -> Figure {
    let kind = Kind::Counter(of);
    Figure { name, help, kind }
}

const fn amount(name: &'static str, help: &'static str, of: fn(&Figures) -> f64) -> Figure {
    let kind = Kind::Amount(of);
    Figure { name, help, kind }
}

/// Factor from MiB times milliseconds to bytes times seconds.
const MIB_MS: f64 = (1 << 20) as f64 / 1000.0;

/// All metrics but the pins. The names of counters get the suffix `_total` in the text.
const FIGURES: [Figure; 37] = [
    gauge("awake", "1 while its server runs and is not frozen", |of| {
        i64::from(of.0.state == State::Active)
    }),
    gauge(
        "units",
        "compute units its server has, 0 if there is none",
        |of| of.0.pid.map_or(0, |_| i64::from(of.0.units.0)),
    ),
    gauge("memory_bytes", "memory its server holds", |of| {
        of.0.memory
            .map_or(0, |bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX))
    }),
    gauge("storage_bytes", "disk space of its files", |of| {
        of.0.storage
            .map_or(0, |bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX))
    }),
    gauge("read_only", "1 while it is read-only", |of| {
        i64::from(of.0.read_only.is_some())
    }),
    gauge("sessions", "client sessions", |of| i64::from(of.0.sessions)),
    gauge(
        "held_statements",
        "statements that wait for its server",
        |of| i64::from(of.0.held),
    ),
    gauge("transactions", "sessions with an open transaction", |of| {
        i64::from(of.0.transactions)
    }),
    gauge("backends", "connections to its server", |of| {
        i64::from(of.1.backends)
    }),
    gauge(
        "backends_idle",
        "connections to its server without a session",
        |of| i64::from(of.1.idle),
    ),
    gauge("waiting", "sessions that wait for a backend", |of| {
        i64::from(of.1.waiting)
    }),
    counter("leases", "backends given to sessions", |of| of.1.leases),
    counter(
        "lease_seconds",
        "time for which sessions held backends",
        |of| of.1.held_s,
    ),
    counter(
        "steals",
        "backends released by a session for another",
        |of| of.1.steals,
    ),
    counter(
        "restores",
        "session states restored on a backend of another session",
        |of| of.1.restores,
    ),
    counter("backends_opened", "backends opened", |of| of.1.opened),
    counter("waits", "sessions that had to wait for a backend", |of| {
        of.1.waits
    }),
    counter(
        "lease_timeouts",
        "waits for a backend that timed out",
        |of| of.1.timeouts,
    ),
    counter(
        "departures",
        "statements ended because their clients had disconnected",
        |of| of.1.departures,
    ),
    counter(
        "faults",
        "replies to no current command; their connections were closed",
        |of| of.1.faults,
    ),
    counter(
        "commits_found_committed",
        "interrupted commits that had committed, as the server's log told",
        |of| of.1.found_committed,
    ),
    counter(
        "commits_found_rolled_back",
        "interrupted commits that had not committed, as the server's log told",
        |of| of.1.found_rolled_back,
    ),
    counter(
        "commits_unresolved",
        "interrupted commits of which no log could tell",
        |of| of.1.unresolved,
    ),
    counter(
        "transactions_replayed",
        "interrupted transactions that were run again on the next server",
        |of| of.1.replayed,
    ),
    counter(
        "transactions_not_replayed",
        "interrupted transactions that could not be run again",
        |of| of.1.not_replayed,
    ),
    counter(
        "queries_read_again",
        "interrupted queries that were run again on the next server",
        |of| of.1.read_again,
    ),
    counter(
        "sleeping_answers",
        "statements answered while the database slept",
        |of| of.1.sleeping_answers,
    ),
    counter(
        "replica_reads",
        "statements that have run on replicas",
        |of| of.1.reads.on_replicas,
    ),
    counter(
        "replica_waits",
        "waits until a replica had what a session had seen",
        |of| of.1.reads.waits,
    ),
    counter(
        "replica_fallbacks",
        "reads that the primary has run because a replica could not",
        |of| of.1.reads.fallbacks,
    ),
    amount("cpu_seconds", "CPU time of its server", |of| {
        of.2.cpu_us as f64 / 1e6
    }),
    amount("active_seconds", "time for which it was awake", |of| {
        of.2.active_ms as f64 / 1e3
    }),
    amount(
        "memory_byte_seconds",
        "memory allotted while awake and held while suspended, times time",
        |of| of.2.memory_mib_ms as f64 * MIB_MS,
    ),
    amount(
        "storage_byte_seconds",
        "disk space of its files, times time",
        |of| of.2.storage_mib_ms as f64 * MIB_MS,
    ),
    counter("statements", "statements sent by clients", |of| {
        of.1.carried.statements
    }),
    counter("received_bytes", "bytes sent by clients", |of| {
        of.1.carried.bytes_in
    }),
    counter("sent_bytes", "bytes sent to clients", |of| {
        of.1.carried.bytes_out
    }),
];

/// The values of one moment: of each database, of all backups, of all understudies, and of all moves.
struct Snapshot(Vec<Figures>, Counts, UnderstudyCounts, MoveCounts);

/// A metric of each database with replicas.
type ReplicaFigure = (&'static str, &'static str, fn(&Status) -> Option<i64>);

/// Those metrics; without a value there is no line.
const REPLICAS: [ReplicaFigure; 3] = [
    ("replicas_wanted", "replicas it should have now", |of| {
        Some(i64::from(of.replicas.get()))
    }),
    (
        "replicas_following",
        "replicas that have all, or almost",
        |of| {
            let all = of.followers.iter();
            let following = all.filter(|one| one.doing == ReplicaDoing::Following);
            i64::try_from(following.count()).ok()
        },
    ),
    (
        "replicas_behind_seconds",
        "age of the transaction that the last of its replicas applies",
        |of| {
            let behind = of.followers.iter().filter_map(|one| one.behind_s).max()?;
            i64::try_from(behind).ok()
        },
    ),
];

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of {} databases", self.0.len())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for figure in &FIGURES {
            let kind = match figure.kind {
                Kind::Gauge(_) => MetricType::Gauge,
                Kind::Counter(_) | Kind::Amount(_) => MetricType::Counter,
            };
            let mut metric = encoder.encode_descriptor(figure.name, figure.help, None, kind)?;
            for of in &self.0 {
                let labels = [("database", of.0.name.as_str())];
                let one = metric.encode_family(&labels)?;
                encode(&figure.kind, of, one)?;
            }
        }
        let help = "times a pin prevented a backend from being released to another session";
        let mut metric = encoder.encode_descriptor("pins", help, None, MetricType::Counter)?;
        for of in &self.0 {
            for (pin, count) in &of.1.pins {
                let labels = [("database", of.0.name.as_str()), ("pin", pin.as_str())];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        self.states(&mut encoder)?;
        self.replicas(&mut encoder)?;
        self.moves(&mut encoder)?;
        self.understudies(&mut encoder)?;
        self.backups(&mut encoder)
    }
}

impl Snapshot {
    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (status, ..) in &self.0 {
            *counts.entry(status.state.as_str()).or_default() += 1;
        }
        let help = "databases in each state";
        let mut metric = encoder.encode_descriptor("databases", help, None, MetricType::Gauge)?;
        for (state, count) in counts {
            let labels = [("state", state)];
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn replicas(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let has_some = |of: &&Status| of.spec.replicas.has_some() || !of.followers.is_empty();
        for (name, help, value) in REPLICAS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for of in self.0.iter().map(|(status, ..)| status).filter(has_some) {
                if let Some(value) = value(of) {
                    let labels = [("database", of.name.as_str())];
                    ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn moves(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let MoveCounts {
            made,
            failed,
            failovers,
        } = self.3;
        for (name, help, value) in [
            ("moves", "databases that have moved or were upgraded", made),
            ("moves_failed", "moves and upgrades that failed", failed),
            (
                "failovers",
                "replicas that took the place of a lost primary",
                failovers,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        Ok(())
    }

    fn understudies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let UnderstudyCounts {
            wanted: _,
            running,
            restarts,
        } = self.2;
        let help = "servers that answer in place of those of sleeping databases";
        let metric = encoder.encode_descriptor("understudies", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(running).unwrap_or(i64::MAX)).encode(metric)?;
        let (name, help) = ("understudy_restarts", "understudies that have died");
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(restarts).encode(metric)
    }

    fn backups(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Counts {
            made,
            sent,
            failed,
            verified,
            damaged,
            late,
        } = self.1;
        for (name, help, value) in [
            ("backups_made", "backups made", made),
            (
                "backups_sent_bytes",
                "bytes sent to the backup repository",
                sent,
            ),
            (
                "backups_failed",
                "attempts to make a backup that failed",
                failed,
            ),
            (
                "backups_verified",
                "backups restored for a test with success",
                verified,
            ),
            (
                "backups_damaged",
                "backups that could not be restored for a test",
                damaged,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let help = "databases whose last good backup is too old";
        let metric = encoder.encode_descriptor("backups_late", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(late).unwrap_or(i64::MAX)).encode(metric)
    }
}

fn encode(kind: &Kind, of: &Figures, metric: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        Kind::Gauge(value) => ConstGauge::new(value(of)).encode(metric),
        Kind::Counter(value) => ConstCounter::new(value(of)).encode(metric),
        Kind::Amount(value) => ConstCounter::new(value(of)).encode(metric),
    }
}

/// All metrics at this moment.
///
/// # Errors
/// None are known: writing to a text does not fail.
pub(crate) fn text(plane: &Plane) -> Result<String, fmt::Error> {
    let figures = plane.list().into_iter().map(|status| {
        let pool = plane.pool(&status.name).unwrap_or_default();
        let used = plane.used(&status.name).unwrap_or_default();
        (status, pool, used)
    });
    let mut registry = Registry::with_prefix("dormouse");
    registry.register_collector(Box::new(Snapshot(
        figures.collect(),
        plane.backups().counts(),
        plane.understudies().counts(),
        plane.moves().counts(),
    )));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}
