//! The servers of the simulated machine, as the plane queries them.

use super::*;
use dormouse_types::Ended;

#[async_trait]
impl Servers for Machine {
    fn version(&self) -> String {
        "5.5.5-10.11.0-MariaDB".to_owned()
    }

    fn repair_sql(&self) -> String {
        String::new()
    }

    async fn harden(&self, server: &Server) -> Result<Vec<String>, ServerError> {
        self.asked("harden", server, |i| {
            i.hardened = true;
            vec!["'x'@'%': SUPER".to_owned()]
        })
        .await
    }

    async fn secure_owner(&self, server: &Server, stage2: [u8; 20]) -> Result<(), ServerError> {
        self.asked("secure", server, |i| i.owner = Some(stage2))
            .await
    }

    async fn change_user(
        &self,
        server: &Server,
        _: &dormouse_types::UserChange,
    ) -> Result<bool, ServerError> {
        self.asked("user", server, |_| true).await
    }

    async fn accounts(&self, server: &Server, user: &str) -> Result<Vec<Account>, ServerError> {
        let mut all = self.snapshot_of("accounts", server).await?.accounts;
        all.retain(|a| a.user == user);
        Ok(all)
    }

    async fn quiesce(&self, server: &Server) -> Result<Box<dyn Send>, ServerError> {
        self.asked("quiesce", server, |_| Box::new(()) as Box<dyn Send>)
            .await
    }

    async fn check(&self, server: &Server) -> Result<Vec<String>, ServerError> {
        self.asked("check", server, |_| Vec::new()).await
    }

    async fn take_over(&self, server: &Server, from: &Origin) -> Result<(), ServerError> {
        let from = from.instance;
        self.asked("take over", server, |instance| {
            if instance.credentials_of == Some(from) {
                instance.credentials_of = None;
            }
        })
        .await
    }

    async fn enroll(&self, server: &Server, user: &str, _host: &str) -> Result<bool, ServerError> {
        self.asked("enroll", server, |_| user == "admin").await
    }

    async fn make_understudy(&self, server: &Server) -> Result<(), ServerError> {
        self.asked("make understudy", server, |_| ()).await
    }

    async fn enroll_on_understudy(
        &self,
        server: &Server,
        user: &str,
        host: &str,
    ) -> Result<(), ServerError> {
        let account = format!("{user}@{host}");
        self.asked("enroll on understudy", server, |i| i.guests.push(account))
            .await
    }

    async fn empty_understudy(&self, server: &Server) -> Result<(), ServerError> {
        self.asked("empty understudy", server, |i| i.guests.clear())
            .await
    }

    async fn manage(
        &self,
        server: &Server,
        _: &dormouse_tenant::Caller,
        _: &dormouse_tenant::Statement,
    ) -> Result<dormouse_tenant::Outcome, ServerError> {
        self.asked("manage", server, |_| {
            dormouse_tenant::Outcome::Done(Vec::new())
        })
        .await
    }

    async fn variables(&self, server: &Server) -> Result<dormouse_types::Variables, ServerError> {
        self.asked("variables", server, |_| variables()).await
    }

    async fn hides_changes(&self, server: &Server) -> Result<bool, ServerError> {
        self.asked("hides_changes", server, |_| false).await
    }

    async fn end(&self, server: &Server, thread: u32, _: Ended) -> Result<(), ServerError> {
        let kill = format!("end {thread}");
        self.asked(&kill, server, |_| ()).await
    }

    async fn snapshot(&self, server: &Server) -> Result<Snapshot, ServerError> {
        self.snapshot_of("snapshot", server).await
    }

    async fn apply_globals(
        &self,
        server: &Server,
        globals: &[(String, String)],
    ) -> Result<Vec<String>, ServerError> {
        self.asked("globals", server, |i| i.globals = globals.to_vec())
            .await?;
        Ok(Vec::new())
    }

    async fn memory_tables(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<Option<Vec<String>>, ServerError> {
        let takes = self.lock().tables_take;
        let tables = self
            .asked("tables", server, |i| i.memory_tables.clone())
            .await?;
        tokio::time::sleep(takes.min(patience)).await;
        Ok((takes <= patience).then_some(tables))
    }

    async fn shrink(&self, server: &Server, to: Bytes) -> Result<(), ServerError> {
        let takes = self.lock().shrink_takes;
        tokio::time::sleep(takes).await;
        self.asked("shrink", server, |i| i.pool = to).await
    }

    async fn grow(&self, server: &Server, to: Bytes) -> Result<(), ServerError> {
        let done = self.asked("grow", server, |i| {
            i.pool = to;
            buffer_pool::awake(i.units) < to
        });
        if done.await? {
            let id = server.instance;
            self.set(|m| {
                m.violations
                    .push(format!("the pool of {id} outgrew its limits"))
            });
        }
        Ok(())
    }

    async fn hydrate(&self, server: &Server) -> Result<Bytes, ServerError> {
        let hydrate = |i: &mut Instance| {
            i.hydrated = true;
            i.hot
        };
        self.asked("hydrate", server, hydrate).await
    }

    async fn hits(&self, server: &Server) -> Result<PoolHits, ServerError> {
        self.asked("hits", server, |i| i.hits).await
    }

    async fn encrypt(
        &self,
        _: &Server,
    ) -> Result<Option<dormouse_control::Converted>, ServerError> {
        Ok(None)
    }
    async fn encryption(
        &self,
        _: &Server,
    ) -> Result<(dormouse_control::Progress, Vec<String>), ServerError> {
        let progress = dormouse_control::Progress {
            done: 0,
            all: 0,
            version: 0,
        };
        Ok((progress, Vec::new()))
    }
    async fn forget(&self, _instance: InstanceId) {}
}

impl Machine {
    async fn snapshot_of(&self, label: &str, server: &Server) -> Result<Snapshot, ServerError> {
        let extra = self.lock().extra_account.clone();
        let next = self.lock().next_event;
        self.asked(label, server, |i| Snapshot {
            accounts: i
                .owner
                .map(|owner| account("admin", owner))
                .into_iter()
                .chain(extra.map(|user| account(&user, [7; 20])))
                .collect(),
            schemas: vec!["mysql".to_owned(), "shop".to_owned()],
            globals: i.globals.clone(),
            variables: Some(variables()),
            events: Events {
                next,
                running: false,
            },
        })
        .await
    }
}

fn variables() -> dormouse_types::Variables {
    "version=10.11.0-MariaDB\n".to_owned().into()
}
