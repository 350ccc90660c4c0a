//! The measures; each adds its rows to the report.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod crowd;
pub(crate) mod failover;
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod hydration;
pub(crate) mod latency;
mod load;
pub(crate) mod memory;
pub(crate) mod reads;
pub(crate) mod relocation;
pub(crate) mod scale;
pub(crate) mod share;
pub(crate) mod throughput;
mod traffic;
pub(crate) mod wake;

use dormouse_api::Client as Api;
use dormouse_testkit::Dormouse;

/// A clock tick of `/proc/PID/stat`, in microseconds (`USER_HZ` is 100 on every Linux).
const TICK: f64 = 10_000.0;

/// API client for orders whose time is measured: it starts no process.
struct Orders {
    runtime: tokio::runtime::Runtime,
    api: Api,
}

impl Orders {
    fn to(dormouse: &Dormouse) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            api: Api::new(&dormouse.data_dir().join("api.sock")),
        })
    }
}

/// A duration in milliseconds.
fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
