//! `COM_CHANGE_USER`: a new login on the same connection. It is proved here like the first one, so
//! it wakes nobody; the backend is left and a new one taken when a statement needs it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::SessionState;
use dormouse_types::Transport;
use dormouse_wire::login::ChangeUser;
use dormouse_wire::status::Status;

use super::taking::Incoming;
use super::{Attendant, Over};
use crate::directory::{Full, Membership, Who};
use crate::handshake::prove::{Claim, Proof, has_expired, prove};
use crate::handshake::{PacketIo, Rejected, sessions_of};
use crate::refusal;

/// How often a session may be refused before the command is unknown to it (`sql/sql_parse.cc`,
/// `COM_CHANGE_USER`).
const MOST_REFUSALS: u8 = 3;

/// How long a server waits before it refuses.
const RELUCTANCE: Duration = Duration::from_secs(1);

impl Attendant {
    /// The user stays who they were, and what the session has set up is gone.
    fn change_refused(&mut self) -> Result<(), Over> {
        self.change_refusals += 1;
        self.drop_state();
        // where the character set would be another than the client believes, it is not to go on
        if self.state.change_refused() {
            Ok(())
        } else {
            Err(Over)
        }
    }

    /// Leaves the backend; what it held is not missed.
    fn drop_state(&mut self) {
        self.retire();
        self.lost.clear();
        self.limit_idle(self.idle_default);
    }

    pub(super) async fn change_user(&mut self, incoming: Incoming) -> Result<(), Over> {
        if !incoming.is_whole() {
            return Err(Over);
        }
        if self.change_refusals >= MOST_REFUSALS {
            tokio::time::sleep(RELUCTANCE).await;
            return self.reply_error(&refusal::unknown_command()).await;
        }
        let Ok(login) = ChangeUser::parse(incoming.argument(), self.identity.capabilities) else {
            return Err(self.end_with(&refusal::malformed()).await);
        };
        let name = String::from_utf8_lossy(&login.user).into_owned();
        let own = format!("{}.", self.database().name);
        let user = name.strip_prefix(&own).unwrap_or(&name);

        let mut io = PacketIo::new(&mut self.client, 1);
        let claim = Claim {
            database: &self.membership.database,
            user,
            peer: self.identity.peer,
            capabilities: self.identity.capabilities,
            plugin: login.plugin.as_deref(),
            reply: &login.auth,
            salt: self.salt,
        };
        let timeout = self.shared.config.limits.handshake_timeout;
        let proof = tokio::time::timeout(timeout, prove(&self.shared, &mut io, claim)).await;
        let account = match proof {
            Ok(Ok(Proof::Given(account))) => account,
            Ok(Ok(Proof::Missing(error)) | Err(Rejected::With(error))) => {
                // as long as a server waits, so that nobody can try many passwords
                tokio::time::sleep(RELUCTANCE).await;
                io.refuse(&error).await;
                return self.change_refused();
            }
            Ok(Err(Rejected::Silently)) | Err(_) => return Err(Over),
        };
        let who = Who {
            user: user.to_owned(),
            account_host: account.host.clone(),
        };
        let Membership { database, handle } = &self.membership;
        if let Err(Full::Account | Full::Database) =
            database.change_user(handle, who, sessions_of(&account))
        {
            io.refuse(&refusal::too_many_of_account(user, &account))
                .await;
            return self.change_refused();
        }
        let seq = io.seq();

        self.change_refusals = 0;
        self.drop_state();
        self.expired = has_expired(&account);
        let identity = Arc::make_mut(&mut self.identity);
        user.clone_into(&mut identity.user);
        identity.account_host = account.host;
        identity.account_version = account.version;
        identity.tls = account.transport == Transport::Tls;
        // the packet has two bytes, a login but one
        identity.collation = u8::try_from(login.collation).unwrap_or(identity.collation);
        identity.attributes = login.attributes;
        self.never_wakes = identity.is_one_of(&self.shared.config.never_wakes);
        self.enrolled = account.enrolled;
        let schema = login.schema.filter(|schema| !schema.is_empty());
        *self.state = SessionState::new(schema.map(Into::into))
            .with_collation(self.identity.collation)
            .with_status(Status(account.login_status));
        match self.arrive().await {
            Ok(()) => {
                let ok = self.ok();
                self.reply_as(seq, &ok).await
            }
            Err(error) => {
                let packet = error.encode(self.identity.capabilities);
                let _ = self.reply_as(seq, &packet).await;
                Err(Over)
            }
        }
    }
}
