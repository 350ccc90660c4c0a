//! Running servers, reached with Dormouse's own account in each.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_engine::admin::check::{check_tables, undefined_tables};
use dormouse_engine::admin::quiesce::quiesce;
use dormouse_engine::admin::replay::ReplayError;
use dormouse_engine::{Admin, AdminError, Secret, Version, buffer_pool, repair};
use dormouse_tenant::render::text;
use dormouse_tenant::{Caller, Outcome, Statement};
use dormouse_types::{Account, Bytes, Ended, InstanceId, RunAgain, UserChange, Variables};
use tokio::sync::Mutex as AsyncMutex;
use tracing::debug;

use super::{
    Converted, EventStates, Fenced, Following, Origin, PoolHits, Progress, Replay, Server,
    ServerError, Servers, Snapshot,
};

/// Time limit for a resize of the buffer pool. Callers have their own deadlines; this ends a resize whose
/// caller was cancelled.
const RESIZE: Duration = Duration::from_secs(60);

/// Time limit for reading hot pages back: at [`buffer_pool::HYDRATION`], 220 GiB.
const HYDRATE: Duration = Duration::from_secs(3600);

/// Running servers, reached with Dormouse's own account in each. One connection per awake server is kept for
/// the queries of logins; maintenance opens its own, so that no login waits for it.
pub struct AdminServers {
    secret: Secret,
    version: String,
    kept: Mutex<HashMap<InstanceId, Arc<Kept>>>,
    /// Held while a statement about accounts or global variables runs.
    managing: Mutex<HashMap<InstanceId, Arc<AsyncMutex<()>>>>,
}

type Kept = AsyncMutex<Option<Admin>>;
type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, AdminError>> + Send + 'a>>;

impl AdminServers {
    /// For servers of this version. Dormouse's accounts in them derive from this secret.
    #[must_use]
    pub fn new(secret: Secret, version: &Version) -> Self {
        Self {
            secret,
            version: version.greeting(),
            kept: Mutex::default(),
            managing: Mutex::default(),
        }
    }

    async fn connect(&self, server: &Server) -> Result<Admin, AdminError> {
        Admin::connect(&server.endpoint, &self.secret, server.origin).await
    }

    /// Held while accounts of a server are changed.
    fn turn(&self, instance: InstanceId) -> Arc<AsyncMutex<()>> {
        let mut all = self.managing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(instance).or_default())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query over the kept connection, or a new one, which is then kept. A cancelled query closes its
    /// connection, whose next reply would be of unknown origin.
    async fn ask<T>(
        &self,
        server: &Server,
        question: impl for<'a> Fn(&'a mut Admin) -> Asking<'a, T>,
    ) -> Result<T, ServerError> {
        let kept = Arc::clone(self.kept().entry(server.instance).or_default());
        let mut kept = kept.lock().await;
        if let Some(mut admin) = kept.take() {
            match question(&mut admin).await {
                Ok(answer) => {
                    *kept = Some(admin);
                    return Ok(answer);
                }
                Err(error) if is_answer(&error) => {
                    *kept = Some(admin);
                    return Err(error.into());
                }
                // it may have been a connection to an earlier server
                Err(error) => debug!(instance = %server.instance, %error, "connecting again"),
            }
        }
        let mut admin = self.connect(server).await?;
        let answer = question(&mut admin).await;
        if answer.as_ref().map_or_else(is_answer, |_| true) {
            *kept = Some(admin);
        }
        Ok(answer?)
    }
}

/// Whether the error is the server's reply, so that the connection is still usable.
fn is_answer(error: &AdminError) -> bool {
    matches!(error, AdminError::Sql { .. })
}

impl From<AdminError> for ServerError {
    fn from(error: AdminError) -> Self {
        match error {
            ref denied if denied.is_denial() => Self::LockedOut(error.to_string()),
            AdminError::BadUser(reason) => Self::BadRequest(reason),
            AdminError::Sql { .. }
            | AdminError::Refused(_)
            | AdminError::Cut(_)
            | AdminError::Broken(_) => Self::Refused(error.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

#[async_trait]
impl Servers for AdminServers {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn repair_sql(&self) -> String {
        repair::sql(&self.secret)
    }

    async fn harden(&self, server: &Server) -> Result<Vec<String>, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.harden().await?)
    }

    async fn secure_owner(&self, server: &Server, stage2: [u8; 20]) -> Result<(), ServerError> {
        self.ask(server, |admin| {
            Box::pin(admin.accounts().secure_owner(stage2))
        })
        .await
    }

    async fn change_user(&self, server: &Server, change: &UserChange) -> Result<bool, ServerError> {
        let turn = self.turn(server.instance);
        let _alone = turn.lock().await;
        let mut admin = self.connect(server).await?;
        Ok(admin.change_user(change).await?)
    }

    async fn accounts(&self, server: &Server, user: &str) -> Result<Vec<Account>, ServerError> {
        let user: Arc<str> = user.into();
        self.ask(server, move |admin| {
            let user = Arc::clone(&user);
            Box::pin(async move { admin.accounts().list(Some(&user)).await })
        })
        .await
    }

    async fn enroll(&self, server: &Server, user: &str, host: &str) -> Result<bool, ServerError> {
        // not in the middle of a rename, which takes the credential away first
        let turn = self.turn(server.instance);
        let _alone = turn.lock().await;
        let account: Arc<(String, String)> = Arc::new((user.to_owned(), host.to_owned()));
        self.ask(server, move |admin| {
            let account = Arc::clone(&account);
            Box::pin(async move {
                let (user, host) = &*account;
                admin.accounts().enroll(user, host).await?;
                let accounts = admin.accounts().list(Some(user)).await?;
                Ok(accounts
                    .iter()
                    .any(|a| a.user == *user && a.host == *host && a.enrolled))
            })
        })
        .await
    }

    async fn make_understudy(&self, server: &Server) -> Result<(), ServerError> {
        self.ask(server, |admin| Box::pin(admin.understudy().prepare()))
            .await
    }

    async fn enroll_on_understudy(
        &self,
        server: &Server,
        user: &str,
        host: &str,
    ) -> Result<(), ServerError> {
        let account: Arc<(String, String)> = Arc::new((user.to_owned(), host.to_owned()));
        self.ask(server, move |admin| {
            let account = Arc::clone(&account);
            Box::pin(async move { admin.understudy().enroll(&account.0, &account.1).await })
        })
        .await
    }

    async fn empty_understudy(&self, server: &Server) -> Result<(), ServerError> {
        self.ask(server, |admin| {
            Box::pin(async move { admin.understudy().drop_accounts().await })
        })
        .await
    }

    async fn take_over(&self, server: &Server, from: &Origin) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.accounts().take_over(from).await?)
    }

    async fn replay(
        &self,
        server: &Server,
        origin: &Origin,
        replay: &Replay,
    ) -> Result<(), ServerError> {
        let secret = origin.secret.as_ref().unwrap_or(&self.secret);
        let mut admin = Admin::connect(&server.endpoint, secret, server.origin).await?;
        let mut events = admin.replay().events().await?;
        for (schema, text) in &replay.definitions {
            events.follow(schema, text);
        }
        let applied = admin.replay().apply(&replay.stretches, &events).await;
        applied.map_err(|error| match error {
            ReplayError::Admin(error) => error.into(),
            other => ServerError::Refused(other.to_string()),
        })
    }

    async fn keeps_log(&self, server: &Server) -> Result<bool, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.query("SELECT @@GLOBAL.log_bin").await?.text(0, 0) == "1")
    }

    async fn keep_log(&self, server: &Server, keeps: bool) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().keep_log(keeps).await?)
    }

    async fn go_on_as_usual(&self, server: &Server, keeps_log: bool) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        admin.follow().unfence().await?;
        admin.dirty_pages().as_usual().await?;
        Ok(admin.follow().keep_log(keeps_log).await?)
    }

    async fn write_pages(&self, server: &Server, limit: Duration) -> Result<bool, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.dirty_pages().write(limit).await?)
    }

    async fn write_pages_as_usual(&self, server: &Server) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.dirty_pages().as_usual().await?)
    }

    async fn logged(&self, server: &Server) -> Result<String, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().logged().await?)
    }

    async fn begin_to_follow(&self, server: &Server, position: &str) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().begin_at(position).await?)
    }

    async fn follow(
        &self,
        server: &Server,
        address: SocketAddr,
        password: &str,
        acknowledges: bool,
    ) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin
            .follow()
            .start(address, password, acknowledges)
            .await?)
    }

    async fn following(&self, server: &Server) -> Result<Following, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().progress().await?)
    }

    async fn reaches(
        &self,
        server: &Server,
        position: &str,
        limit: Duration,
    ) -> Result<bool, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().reaches(position, limit).await?)
    }

    async fn wait_for_replica(&self, server: &Server, waits: bool) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().wait_for_follower(waits).await?)
    }

    async fn remind_replica(&self, server: &Server) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().remind_follower().await?)
    }

    async fn release_commits(&self, server: &Server, others: usize) -> Result<bool, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().release_commits(others).await?)
    }

    async fn purge_own_log(&self, server: &Server) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().purge_own_log().await?)
    }

    async fn events(&self, server: &Server) -> Result<EventStates, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().events().await?)
    }

    async fn fence(&self, server: &Server) -> Result<Fenced, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().fence().await?)
    }

    async fn unfence(&self, server: &Server) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().unfence().await?)
    }

    async fn promote(
        &self,
        server: &Server,
        events: &EventStates,
        waits: bool,
    ) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.follow().promote(events, waits).await?)
    }

    async fn purge_log(&self, server: &Server, to: &str) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        let sql = format!("PURGE BINARY LOGS TO {}", text(to));
        admin.query(&sql).await?;
        Ok(())
    }

    async fn quiesce(&self, server: &Server) -> Result<Box<dyn Send>, ServerError> {
        let mut admin = self.connect(server).await?;
        quiesce(&mut admin).await?;
        Ok(Box::new(admin))
    }

    async fn check(&self, server: &Server) -> Result<Vec<String>, ServerError> {
        let mut admin = self.connect(server).await?;
        let mut damaged = undefined_tables(&mut admin).await?;
        damaged.extend(check_tables(&mut admin).await?);
        Ok(damaged)
    }

    async fn manage(
        &self,
        server: &Server,
        caller: &Caller,
        statement: &Statement,
    ) -> Result<Outcome, ServerError> {
        let turn = self.turn(server.instance);
        let _alone = turn.lock().await;
        let mut admin = self.connect(server).await?;
        Ok(admin.accounts().run(statement, caller).await?)
    }

    async fn variables(&self, server: &Server) -> Result<Variables, ServerError> {
        self.ask(server, |admin| Box::pin(admin.settings().variables()))
            .await
    }

    async fn hides_changes(&self, server: &Server) -> Result<bool, ServerError> {
        // a connection of its own: it may take long, and a KILL does not wait for it
        let mut admin = self.connect(server).await?;
        Ok(admin.settings().hides_changes().await?)
    }

    async fn run_again(&self, server: &Server) -> Result<RunAgain, ServerError> {
        self.ask(server, |admin| Box::pin(admin.settings().run_again()))
            .await
    }

    async fn end(&self, server: &Server, thread: u32, what: Ended) -> Result<(), ServerError> {
        self.ask(server, move |admin| Box::pin(admin.kill(thread, what)))
            .await
    }

    async fn snapshot(&self, server: &Server) -> Result<Snapshot, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(Snapshot {
            accounts: admin.accounts().list(None).await?,
            schemas: admin.settings().schemas().await?,
            globals: admin.settings().changed_globals().await?,
            variables: Some(admin.settings().variables().await?),
            events: admin.events().await?,
        })
    }

    async fn memory_tables(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<Option<Vec<String>>, ServerError> {
        self.ask(server, move |admin| Box::pin(admin.memory_tables(patience)))
            .await
    }

    async fn apply_globals(
        &self,
        server: &Server,
        globals: &[(String, String)],
    ) -> Result<Vec<String>, ServerError> {
        let mut admin = self.connect(server).await?;
        let not_set = admin.settings().apply_globals(globals).await?;
        Ok(not_set
            .into_iter()
            .map(|n| format!("{}: {}", n.name, n.reason))
            .collect())
    }

    async fn shrink(&self, server: &Server, to: Bytes) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        admin.buffer_pool().note_hot_pages().await?;
        if to <= buffer_pool::suspended() {
            admin.buffer_pool().leave_hot_pages().await?;
        }
        admin.buffer_pool().resize(to, RESIZE).await?;
        if to <= buffer_pool::suspended() {
            // a cancelled load may have written its last status in between
            admin.buffer_pool().leave_hot_pages().await?;
        }
        Ok(())
    }

    async fn grow(&self, server: &Server, to: Bytes) -> Result<(), ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.buffer_pool().resize(to, RESIZE).await?)
    }

    async fn hydrate(&self, server: &Server) -> Result<Bytes, ServerError> {
        let mut admin = self.connect(server).await?;
        let before = admin.buffer_pool().hits().await?.holds;
        admin.buffer_pool().load_hot_pages(HYDRATE).await?;
        let after = admin.buffer_pool().hits().await?.holds;
        Ok(Bytes(after.0.saturating_sub(before.0)))
    }

    async fn hits(&self, server: &Server) -> Result<PoolHits, ServerError> {
        self.ask(server, |admin| Box::pin(admin.buffer_pool().hits()))
            .await
    }

    async fn encrypt(&self, server: &Server) -> Result<Option<Converted>, ServerError> {
        let mut admin = self.connect(server).await?;
        Ok(admin.encryption().convert().await?)
    }

    async fn encryption(&self, server: &Server) -> Result<(Progress, Vec<String>), ServerError> {
        self.ask(server, |admin| {
            Box::pin(async move {
                let progress = admin.encryption().progress().await?;
                Ok((progress, admin.encryption().plain_tables().await?))
            })
        })
        .await
    }

    async fn forget(&self, instance: InstanceId) {
        self.managing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&instance);
        let kept = self.kept().remove(&instance);
        if let Some(kept) = kept {
            // a running query ends first
            kept.lock().await.take();
        }
    }
}
