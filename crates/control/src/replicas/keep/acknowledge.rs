//! Whether commits wait for a replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dormouse_types::{CommitDurability, InstanceId};
use tracing::{info, warn};

use super::Keeper;
use crate::create::Creator;
use crate::database::Database;
use crate::history::archive::{When, archive};
use crate::servers::{Server, ServerError};
use crate::time::{Late, within};

/// How long a statement that reminds a replica may take: commits that hold the log do not let it in.
const REMIND: Duration = Duration::from_secs(1);

impl Keeper {
    /// Lets commits wait for a replica, or not; these follow now.
    pub(super) async fn acknowledge(
        &mut self,
        primary: &Server,
        following: BTreeSet<InstanceId>,
        wanted: usize,
    ) {
        let connected = !following.is_empty();
        let another = !following.is_subset(&self.following);
        let before = std::mem::replace(&mut self.following, following);
        let host = &self.creator.context.host;
        let waits = match self.database.spec().durability {
            CommitDurability::Local => false,
            // there will be none: they would wait for good
            CommitDurability::Replica if wanted == 0 => false,
            // without a replica it would wait for the first one before that can be made
            CommitDurability::Replica if connected => true,
            CommitDurability::Replica => return,
        };
        // its log is to go on from the history of the primary if it takes the place
        let begins = connected && std::mem::take(&mut self.is_new) && self.database.spec().history;
        let set = within(
            host.deadlines.ask,
            host.servers.wait_for_replica(primary, waits),
        );
        self.commits_wait = waits;
        let mut set = set.await;
        if set.is_ok() && ((waits && another) || begins) {
            set = self.remind(primary, waits && another).await;
            if set.is_err() {
                // it is new once more at the next look
                self.following = before;
            }
        }
        if begins {
            let (creator, database) = (self.creator.clone(), Arc::clone(&self.database));
            self.creator.context.tasks.spawn(async move {
                archive_for_successor(&creator, &database).await;
            });
        }
        if let Err(error) = set {
            self.commits_wait = true;
            warn!(database = %self.database.name, %error, "cannot set whether commits wait for a replica");
        }
    }

    /// Writes something to the log that a replica acknowledges, and with it all that it has from its copy. `waited_for`: commits
    /// may wait for that, and may hold the log.
    async fn remind(&self, primary: &Server, waited_for: bool) -> Result<(), Late<ServerError>> {
        let host = &self.creator.context.host;
        let limit = match waited_for {
            true => REMIND,
            false => host.deadlines.ask,
        };
        let reminded = within(limit, host.servers.remind_replica(primary)).await;
        match reminded {
            Err(Late::TimedOut(_)) if waited_for => {
                let members = self.replicas.members.lock().await.len();
                let others = members.saturating_sub(self.following.len());
                let released = host.servers.release_commits(primary, others);
                let released = within(host.deadlines.ask, released);
                let released = released.await?;
                info!(database = %self.database.name, released, "commits held the log while they waited for a replica");
                match released {
                    true => Ok(()),
                    false => reminded,
                }
            }
            reminded => reminded,
        }
    }
}

/// Archives the log of the primary up to where that of a new replica has begun.
async fn archive_for_successor(creator: &Creator, database: &Database) {
    if creator.context.backups.vault().is_ok()
        && let Err(error) = archive(creator, database, When::Changed).await
    {
        warn!(database = %database.name, %error, "its history is not archived yet");
    }
}
