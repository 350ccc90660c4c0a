//! Before the server of a database that is awake stops for a move: its changed pages are written while statements go on, so that
//! its stop is short.

use std::time::Duration;

use dormouse_policy::Act;
use tracing::debug;

use super::actor::Actor;
use crate::servers::ServerError;
use crate::time::{Late, within};

/// How long the door is shut for the server to begin: while statements fill its redo log, it writes only what the log asks for.
const PULSE: Duration = Duration::from_millis(30);

/// How long it then writes at most, with the door open.
const WRITING: Duration = Duration::from_millis(1500);

/// How often that is done at most: each time statements change fewer meanwhile.
const PULSES: u32 = 4;

/// Shuts the door when the server has few changed pages; `false` as for [`Actor::shut`].
pub(super) async fn shut_when_written(actor: &mut Actor, act: &Act) -> bool {
    for _ in 0..PULSES {
        if !actor.shut(act).await {
            return false;
        }
        match write(actor, PULSE).await {
            Ok(false) => {}
            Ok(true) => return true,
            Err(error) => {
                debug!(%error, "changed pages are written by the server's stop");
                return true;
            }
        }
        actor.open("its changed pages are written");
        if let Err(error) = write(actor, WRITING).await {
            debug!(%error, "changed pages are written by the server's stop");
        }
    }
    actor.shut(act).await
}

/// Has the server write them for so long; returns whether there are few.
async fn write(actor: &Actor, limit: Duration) -> Result<bool, Late<ServerError>> {
    let host = &actor.context.host;
    let written = async {
        let server = actor.instance.server()?;
        host.servers.write_pages(&server, limit).await
    };
    within(host.deadlines.ask, written).await
}
