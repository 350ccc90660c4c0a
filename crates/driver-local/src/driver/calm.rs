//! A server whose files are copied while it runs changes them little meanwhile.
//!
//! It keeps the pages that it changes in memory as long as its redo log has room for the changes. So but for that log, little
//! is to be copied at the end, when it stands still.

use std::fs;

use dormouse_engine::config::log_size;
use dormouse_engine::{Admin, AdminError, Layout};
use dormouse_types::{Bytes, Endpoint, InstanceId};
use tracing::warn;

use super::Shared;

/// A server that keeps its changed pages. When this is dropped, it writes them as ever.
pub(super) struct Calm {
    id: InstanceId,
    admin: Option<Admin>,
    /// Size of its redo log before it was enlarged.
    log: Option<Bytes>,
}

impl Calm {
    /// Calms a server; `None` if it cannot be asked.
    pub(super) async fn begin(
        shared: &Shared,
        id: InstanceId,
        endpoint: &Endpoint,
    ) -> Option<Self> {
        let admin = Admin::connect(endpoint, &shared.config.secret, id).await;
        let mut calm = Self {
            id,
            admin: Some(admin.inspect_err(|error| refused(id, error)).ok()?),
            log: None,
        };
        if let Some(admin) = &mut calm.admin
            && let Err(error) = admin.dirty_pages().keep().await
        {
            refused(id, &error);
        }
        Some(calm)
    }

    /// Enlarges its redo log to this size, if it is smaller.
    pub(super) async fn enlarge_log(&mut self, layout: &Layout, size: Bytes) {
        let configured = fs::read_to_string(layout.config()).ok();
        let configured = configured.and_then(|text| log_size(&text));
        let (Some(admin), Some(before)) = (&mut self.admin, configured) else {
            return;
        };
        // also if that fails, or ends in the middle
        self.log = Some(before).filter(|before| *before < size);
        let enlarge = async {
            if admin.redo_log().size().await? < size {
                admin.redo_log().resize(size).await?;
            }
            Ok(())
        };
        if let Err(error) = enlarge.await {
            refused(self.id, &error);
        }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        let Some(mut admin) = self.admin.take() else {
            return;
        };
        let (id, log) = (self.id, self.log);
        tokio::spawn(async move {
            let usual = async {
                admin.dirty_pages().as_usual().await?;
                if let Some(log) = log {
                    // with a server that writes much this takes long
                    admin.redo_log().resize(log).await?;
                }
                Ok::<_, AdminError>(())
            };
            if let Err(error) = usual.await {
                warn!(instance = %id, %error, "what a copy has set stays until the server's next start");
            }
        });
    }
}

fn refused(id: InstanceId, error: &AdminError) {
    warn!(instance = %id, %error, "the server cannot be told to change its files little while they are copied");
}
