//! SIGTERM and SIGINT: the first signal stops in order, the second one at once. SIGHUP: certificates and lists are
//! read again.

use dormouse_api::ErrorBody;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Outcome;

/// The signals that stop `dormouse up`.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the handlers; from now on the signals do not end the process by themselves.
    pub(super) fn listen() -> Outcome<Self> {
        let on = |kind| {
            signal(kind)
                .map_err(|e| ErrorBody::new("machine", format!("cannot catch signals: {e}")))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal that stops and returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for the next signal: the name of one that stops, or `None` for SIGHUP.
    pub(super) async fn any(&mut self) -> Option<&'static str> {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Some("SIGTERM"),
            _ = self.interrupt.recv() => Some("SIGINT"),
            _ = self.hangup.recv() => None,
        }
    }
}
