//! How the primary and its replicas are.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dormouse_driver::{Observed, Run};
use dormouse_policy::placement::Stay;
use dormouse_types::{Replica, State};
use tracing::{error, warn};

use super::Keeper;
use crate::replicas::{Member, ReplicaDoing, ReplicaStatus};
use crate::servers::Server;
use crate::time::{Late, now, within};

/// A replica that is further behind than this, in seconds, is not read.
const NEAR: u64 = 2;

/// How long the primary may take for an answer.
const ANSWER: Duration = Duration::from_secs(1);

impl Keeper {
    /// Whether the primary answers; kills its server if it hangs: it does not answer, and uses no CPU, for longer than it
    /// may be frozen for a copy. One that is slow uses some.
    pub(super) async fn answers(&mut self, primary: &Server) -> bool {
        let context = Arc::clone(&self.creator.context);
        let host = &context.host;
        let began = now();
        match within(ANSWER, host.servers.events(primary)).await {
            Ok(events) => {
                let known = &self.replicas.events;
                *known.lock().unwrap_or_else(PoisonError::into_inner) = events;
                self.silent = None;
                return true;
            }
            Err(Late::Failed(_)) => {
                self.silent = None;
                return false;
            }
            Err(Late::TimedOut(_)) => {}
        }
        let seen = within(host.deadlines.ask, host.driver.observe(primary.instance)).await;
        let Ok(seen) = seen else {
            return false;
        };
        let same = |then: &Observed| {
            then.incarnation == seen.incarnation && then.cpu.is_some() && then.cpu == seen.cpu
        };
        let since = match &self.silent {
            Some((since, then)) if same(then) => *since,
            _ => {
                self.silent = Some((began, seen));
                return false;
            }
        };
        let silent = since.elapsed();
        if silent <= context.frozen_at_most || self.database.state() != State::Active {
            return false;
        }
        self.silent = None;
        error!(database = %self.database.name, ?silent, "its server does not answer and does nothing: it is killed");
        let killed = within(host.deadlines.freeze, host.driver.kill(primary.instance));
        if let Err(error) = killed.await {
            warn!(%error, "cannot kill the server of a primary that hangs");
        }
        self.database.wake_actor();
        false
    }

    /// Starts a replica if it does not run, lets it follow the present server of the primary, and asks how far it is.
    pub(super) async fn look(
        &self,
        member: &mut Member,
        purge_to: &mut Option<String>,
    ) -> ReplicaStatus {
        let instance = member.follower.id();
        let status = |doing, error| ReplicaStatus {
            instance,
            doing,
            behind_s: None,
            applied: String::new(),
            error,
        };
        if self.found || member.follower.instance.run() != Run::Running {
            // one that an earlier Dormouse has started may run already
            member.follower.instance.observe().await;
            member.follower.instance.set_follows();
            if member.follower.instance.run() != Run::Running
                && let Err(reason) = self.reserve(member)
            {
                return status(ReplicaDoing::CatchingUp, Some(reason));
            }
            let _admitted = self
                .creator
                .context
                .admission
                .start(crate::admission::Importance::Background)
                .await;
            if let Err(error) = member.follower.instance.start().await {
                warn!(%instance, %error, "a replica cannot be started: it is made anew");
                return status(ReplicaDoing::Broken, Some(error.to_string()));
            }
            member.follows = None;
        } else {
            let look = member.follower.instance.observe().await;
            if look.lost.is_some() || look.ended.is_some() {
                member.follows = None;
                return status(ReplicaDoing::CatchingUp, None);
            }
        }
        let primary = self.database.view().incarnation();
        if member.follows != primary || primary.is_none() {
            let source = self.database.server().map_err(|error| error.to_string());
            let follows = async { member.follower.follow(&source?, true).await };
            match follows.await {
                Ok(()) => member.follows = primary,
                Err(error) => {
                    warn!(%instance, %error, "a replica cannot follow");
                    // its port may be lost with an earlier Dormouse: a new server has another one
                    member.stop().await;
                    return status(ReplicaDoing::CatchingUp, Some(error));
                }
            }
        }
        let progress = match member.follower.progress().await {
            Ok(progress) => progress,
            Err(error) => return status(ReplicaDoing::CatchingUp, Some(error)),
        };
        let near = progress.behind.is_some_and(|behind| behind <= NEAR);
        let doing = match &progress.error {
            Some(error) => {
                warn!(%instance, error, "a replica cannot follow: it is made anew");
                ReplicaDoing::Broken
            }
            None if progress.connected && progress.applies && near => ReplicaDoing::Following,
            None => ReplicaDoing::CatchingUp,
        };
        let earliest = match purge_to.take() {
            Some(before) if before < progress.source_file => before,
            _ => progress.source_file,
        };
        *purge_to = Some(earliest);
        ReplicaStatus {
            instance,
            doing,
            behind_s: progress.behind,
            applied: progress.applied,
            error: progress.error,
        }
    }

    /// Reserves room for a replica that is about to start.
    fn reserve(&self, member: &mut Member) -> Result<(), String> {
        let room = &self.creator.context.host.room;
        let instance = &mut member.follower.instance;
        let wanted = self.database.view().units;
        let units = room.reserve_follower(instance.id(), wanted, Stay::Lasting)?;
        instance.set_units(units);
        Ok(())
    }

    pub(super) fn readable(&self, member: &Member) -> Option<Replica> {
        let instance = &member.follower.instance;
        let serving = instance.serving()?;
        Some(Replica {
            instance: instance.id(),
            origin: self.database.instance,
            // a run of a server has a number of its own: enough of it tells two apart
            generation: u64::try_from(serving.incarnation.0 & u128::from(u64::MAX)).unwrap_or(0)
                ^ u64::try_from(serving.incarnation.0 >> 64).unwrap_or(0),
            endpoint: serving.endpoint.clone(),
        })
    }
}
