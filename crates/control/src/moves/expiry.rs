//! Removes the files from which databases have moved, when the time is over for which they are kept.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::create::Creator;

/// How often it is looked.
const POLL: Duration = Duration::from_secs(20);

/// Removes files whose time is over, until Dormouse stops.
pub(crate) async fn watch(creator: Creator) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = creator.context.tasks.ending() => return,
        }
        let over = creator.context.catalog.former(None, Timestamp::now()).await;
        let over = over.unwrap_or_else(|error| {
            warn!(%error, "cannot see from which instances databases have moved");
            Vec::new()
        });
        for id in over {
            info!(instance = %id, "a database has moved away from it: removing its files");
            creator.warm.discard(id).await;
        }
    }
}
