//! From an accepted socket to a running session.

use std::sync::Arc;

use dormouse_session::SessionState;
use dormouse_session::sleeping::login_changes;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::reply::{ErrPacket, OkPacket};
use dormouse_wire::status::Status;
use tracing::debug;

use super::statement::Unready;
use super::{Attendant, Over};
use crate::accept::{HandshakePlace, Shared};
use crate::backend::Schema;
use crate::handshake::prove::has_expired;
use crate::handshake::{PacketIo, admit};
use crate::inbox::Inbox;
use crate::refusal;
use crate::stream::{ClientStream, Peer, Socket};

/// Leads one client through the login and serves it until it leaves.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    socket: Socket,
    peer: Peer,
    id: u32,
    place: HandshakePlace,
) {
    // the login's state is large and short-lived: it does not stay in the session's task
    let attendant = Box::pin(enter(shared, socket, peer, id)).await;
    drop(place);
    if let Some(attendant) = attendant {
        attendant.run().await;
    }
}

async fn enter(shared: Arc<Shared>, socket: Socket, peer: Peer, id: u32) -> Option<Attendant> {
    let mut client = ClientStream::Plain(socket);
    let mut io = PacketIo::new(&mut client, 0);
    let admitted = admit(&shared, &mut io, peer, id).await?;
    let seq = io.seq();
    let compress = admitted.compress;
    let limits = &shared.config.limits;
    let idle_default = if admitted.interactive {
        limits.interactive_timeout.as_secs()
    } else {
        limits.wait_timeout.as_secs()
    };
    debug!(database = %admitted.membership.database.name, user = admitted.identity.user, id, "login");
    let never_wakes = admitted.identity.is_one_of(&shared.config.never_wakes);
    let state = SessionState::new(admitted.schema.map(Into::into))
        .with_collation(admitted.identity.collation)
        .with_status(Status(admitted.account.login_status));
    let state = match admitted.identity.believes_the_greeting() {
        true => state.with_autocommit(),
        false => state,
    };
    let mut attendant = Attendant {
        never_wakes,
        enrolled: admitted.account.enrolled,
        expired: has_expired(&admitted.account),
        state: Box::new(state),
        identity: Arc::new(admitted.identity),
        membership: admitted.membership,
        client,
        inbox: Inbox::default(),
        backend: None,
        lost: Vec::new(),
        context: 0,
        edit: None,
        counted_transaction: false,
        salt: admitted.salt,
        change_refusals: 0,
        idle_default,
        timeout: None,
        shared,
    };
    match attendant.arrive().await {
        Ok(()) => {
            let ok = attendant.login_ok().await;
            attendant.reply_as(seq, &ok).await.ok()?;
            if compress {
                attendant.client = attendant.client.compressed();
            }
            attendant.limit_idle(idle_default);
            attendant.is_idle();
            Some(attendant)
        }
        Err(error) => {
            let packet = error.encode(attendant.identity.capabilities);
            let _ = attendant.reply_as(seq, &packet).await;
            None
        }
    }
}

impl Attendant {
    /// If the login names a schema and the server is awake, connects at once: the server's own
    /// word on the schema is part of the login's answer.
    pub(super) async fn arrive(&mut self) -> Result<(), ErrPacket> {
        if self.state.schema().is_none() {
            return Ok(());
        }
        let Some(pass) = self.database().door.enter_quietly() else {
            return Ok(());
        };
        match self.take_lease(&pass, Schema::Required).await {
            Ok(Ok(())) => {
                drop(pass);
                self.rest().await;
                Ok(())
            }
            Ok(Err(Unready::Refused(error) | Unready::Lost(error))) => Err(error),
            // it is going away just now; the first statement will wait for it
            Ok(Err(Unready::Gone | Unready::Shutting)) => Ok(()),
            Err(Over) => Err(refusal::ended()),
        }
    }

    /// The answer to the login.
    async fn login_ok(&mut self) -> Vec<u8> {
        let capabilities = self.identity.capabilities;
        if !capabilities.contains(Capabilities::SESSION_TRACK) {
            return self.ok();
        }
        let plane = Arc::clone(&self.shared.plane);
        let variables = self.database().present_variables(&*plane).await;
        let ok = OkPacket {
            status: self.state.status(),
            session_changes: self.on_ground(variables.as_ref(), |state, ground| {
                login_changes(ground, state.schema().map(|schema| &**schema))
            }),
            ..OkPacket::default()
        };
        ok.encode(capabilities, false)
    }

    /// The answer to a command that went well and changed nothing but what we track.
    pub(super) fn ok(&self) -> Vec<u8> {
        let ok = OkPacket {
            status: self.state.status(),
            ..OkPacket::default()
        };
        ok.encode(self.identity.capabilities, false)
    }

    /// Answers the command just read with OK.
    pub(super) async fn reply_ok(&mut self) -> Result<(), Over> {
        let ok = self.ok();
        self.reply(&ok).await
    }

    /// Answers the command just read with an error; the session goes on.
    pub(super) async fn reply_error(&mut self, error: &ErrPacket) -> Result<(), Over> {
        let packet = error.encode(self.identity.capabilities);
        self.reply(&packet).await
    }

    /// Answers the command just read with an error and ends the session.
    pub(super) async fn end_with(&mut self, error: &ErrPacket) -> Over {
        let _ = self.reply_error(error).await;
        Over
    }
}
