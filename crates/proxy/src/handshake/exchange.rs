//! The exchange in which a client proves that it has an account's password.
//!
//! Its first reply is used if it proves the account: a native scramble, no password, or the user of the
//! process at the other end of the Unix socket. A client that begins with `caching_sha2_password` is
//! asked, over TLS or the Unix socket only, for full authentication: the password itself, which can be
//! checked against any stored format, and is wiped. Any other client is asked to switch to the account's
//! plugins in the account's order, as the server would ask it.

use std::fs;
use std::sync::Arc;

use dormouse_types::Verifier;
use dormouse_wire::auth::{CACHING_SHA2, NATIVE, caching_sha2, ed25519, native, parsec};
use dormouse_wire::login::{AuthSwitch, auth_more};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::claim::Claim;
use super::io::PacketIo;
use super::random::{random, salt};
use super::rejected::Rejected;
use crate::refusal;
use crate::stream::Peer;

/// The exchange with one client.
pub(super) struct Exchange<'a, 'io> {
    io: &'a mut PacketIo<'io>,
    claim: &'a Claim<'a>,
    slow_checks: &'a Arc<Semaphore>,
    with_password: bool,
}

impl<'a, 'io> Exchange<'a, 'io> {
    pub(super) fn new(
        io: &'a mut PacketIo<'io>,
        claim: &'a Claim<'a>,
        slow_checks: &'a Arc<Semaphore>,
    ) -> Self {
        let with_password = !is_empty(claim.reply);
        Self {
            io,
            claim,
            slow_checks,
            with_password,
        }
    }

    /// Whether only the proxy can read what the client sends.
    pub(super) fn is_secret(&self) -> bool {
        self.io.is_tls() || self.claim.peer == Peer::Unix
    }

    /// Whether the client's last proof was one of a password, for the error text.
    pub(super) fn with_password(&self) -> bool {
        self.with_password
    }

    /// Whether the client proves any of the verifiers. A user that does not exist goes through the same
    /// exchange as one with a native password.
    pub(super) async fn proves_any(&mut self, verifiers: &[Verifier]) -> Result<bool, Rejected> {
        let Claim { plugin, reply, .. } = *self.claim;
        let native = matches!(plugin, None | Some(NATIVE)) && matches!(reply.len(), 0 | 20);
        if self.is_socket_user(verifiers) || native && fits(verifiers, reply, &self.claim.salt) {
            return Ok(true);
        }
        if plugin == Some(CACHING_SHA2) && self.is_secret() {
            // MySQL's own client sends no proof at first if the greeting names another plugin
            return match reply {
                [] => self.by_sha2(verifiers).await,
                reply => self.by_password(reply, verifiers).await,
            };
        }
        let mut ask_native = !native;
        let others: Vec<_> = verifiers.iter().filter(|v| self.can_ask(v)).collect();
        if others.is_empty() && ask_native && !self.is_hopeless(verifiers) {
            return self.by_native(verifiers).await;
        }
        for verifier in others {
            let proved = match verifier {
                Verifier::Native(_) | Verifier::NoPassword if std::mem::take(&mut ask_native) => {
                    self.by_native(verifiers).await?
                }
                Verifier::Ed25519(key) => self.by_ed25519(key).await?,
                Verifier::Parsec {
                    doublings,
                    salt,
                    key,
                } => {
                    let stretch = parsec::Stretch {
                        doublings: *doublings,
                        salt: *salt,
                    };
                    self.by_parsec(stretch, key).await?
                }
                Verifier::CachingSha2(_) => return self.by_sha2(verifiers).await,
                _ => false,
            };
            if proved {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether this client can be asked for such a proof. MySQL's clients lack MariaDB's own plugins and
    /// would end the connection.
    fn can_ask(&self, verifier: &Verifier) -> bool {
        match verifier {
            Verifier::Native(_) | Verifier::NoPassword => true,
            Verifier::Ed25519(_) | Verifier::Parsec { .. } => {
                self.claim.plugin != Some(CACHING_SHA2)
            }
            Verifier::CachingSha2(_) => self.is_secret(),
            Verifier::UnixSocket(_) | Verifier::Other(_) => false,
        }
    }

    /// Whether the account can be proved only by sending the password itself, and the connection is not
    /// secret.
    pub(super) fn is_hopeless(&self, verifiers: &[Verifier]) -> bool {
        let needs_tls = |verifier: &Verifier| match verifier {
            Verifier::CachingSha2(_) => true,
            Verifier::Ed25519(_) | Verifier::Parsec { .. } => !self.can_ask(verifier),
            _ => false,
        };
        !self.is_secret()
            && verifiers.iter().any(needs_tls)
            && !verifiers.iter().any(|v| self.can_ask(v))
    }

    /// Whether the process at the other end of the Unix socket runs as the user of an account.
    fn is_socket_user(&self, verifiers: &[Verifier]) -> bool {
        let mut names = verifiers.iter().filter_map(|verifier| match verifier {
            Verifier::UnixSocket(name) => Some(name),
            _ => None,
        });
        let uid = self.io.peer_user();
        names.any(|name| uid.is_some_and(|uid| has_id(name, uid)))
    }

    async fn by_native(&mut self, verifiers: &[Verifier]) -> Result<bool, Rejected> {
        let salt = salt()?;
        let reply = self.switch(&AuthSwitch::with_salt(NATIVE, &salt)).await?;
        Ok(fits(verifiers, &reply, &salt))
    }

    async fn by_sha2(&mut self, verifiers: &[Verifier]) -> Result<bool, Rejected> {
        let switch = AuthSwitch::with_salt(CACHING_SHA2, &salt()?);
        let reply = self.switch(&switch).await?;
        self.by_password(&reply, verifiers).await
    }

    async fn by_ed25519(&mut self, key: &[u8; 32]) -> Result<bool, Rejected> {
        let nonce: [u8; ed25519::NONCE] = random()?;
        let reply = self.switch(&switch(ed25519::CLIENT, &nonce)).await?;
        Ok(ed25519::verify(&reply, &nonce, key))
    }

    async fn by_parsec(
        &mut self,
        stretch: parsec::Stretch,
        key: &[u8; 32],
    ) -> Result<bool, Rejected> {
        let nonce: [u8; parsec::NONCE] = random()?;
        if !self
            .switch(&switch(parsec::PLUGIN, &nonce))
            .await?
            .is_empty()
        {
            return Err(refusal::bad_handshake("parsec begins with an empty packet").into());
        }
        self.io.send(&auth_more(&stretch.encode())).await?;
        let reply = self.io.receive().await?;
        self.with_password = true;
        Ok(parsec::verify(&reply, &nonce, key))
    }

    /// Asks for the password itself, unless the client has said that it has none.
    async fn by_password(
        &mut self,
        reply: &[u8],
        verifiers: &[Verifier],
    ) -> Result<bool, Rejected> {
        let mut password = Zeroizing::new(Vec::new());
        if !is_empty(reply) {
            self.io
                .send(&auth_more(&[caching_sha2::PERFORM_FULL]))
                .await?;
            let payload = Zeroizing::new(self.io.receive().await?);
            let shown = caching_sha2::password(&payload)
                .ok_or_else(|| refusal::bad_handshake("no password where one was due"))?;
            password.extend_from_slice(shown);
        }
        let slow = |v: &Verifier| matches!(v, Verifier::CachingSha2(_) | Verifier::Parsec { .. });
        let verifiers = verifiers.to_vec();
        if !verifiers.iter().any(slow) {
            return Ok(verifiers.iter().any(|v| is_password(v, &password)));
        }
        // takes milliseconds, and other sessions share this thread; a flood of such checks waits here, and
        // each only until its login's deadline, so that it cannot take all cores
        let permit = Arc::clone(self.slow_checks).acquire_owned().await;
        let permit = permit.map_err(|_| Rejected::Silently)?;
        let check = move || {
            // kept to the end, also if the login is given up meanwhile
            let _permit = permit;
            verifiers.iter().any(|v| is_password(v, &password))
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.map_err(|_| Rejected::Silently)
    }

    async fn switch(&mut self, switch: &AuthSwitch) -> Result<Vec<u8>, Rejected> {
        self.io.send(&switch.encode()).await?;
        let reply = self.io.receive().await?;
        self.with_password = !is_empty(&reply);
        Ok(reply)
    }
}

/// A switch to a plugin that takes random bytes without an end mark.
fn switch(plugin: &str, nonce: &[u8]) -> AuthSwitch {
    AuthSwitch {
        plugin: plugin.to_owned(),
        data: nonce.to_vec(),
    }
}

/// Whether a proof says that there is no password. Clients of MySQL send a NUL for that.
fn is_empty(reply: &[u8]) -> bool {
    matches!(reply, [] | [0])
}

/// Whether a native proof for this salt fits one of the verifiers; an empty one fits no password.
fn fits(verifiers: &[Verifier], reply: &[u8], salt: &[u8; 20]) -> bool {
    verifiers.iter().any(|verifier| match verifier {
        Verifier::NoPassword => reply.is_empty(),
        Verifier::Native(stage2) => native::verify(reply, salt, stage2),
        _ => false,
    })
}

/// Whether this is the password. An account without one accepts only the empty password.
fn is_password(verifier: &Verifier, password: &[u8]) -> bool {
    match verifier {
        Verifier::NoPassword => password.is_empty(),
        Verifier::Native(stage2) => {
            let shown = Zeroizing::new(native::stage1(password));
            native::stage2(&shown) == *stage2
        }
        Verifier::Ed25519(key) => ed25519::key(password) == *key,
        Verifier::Parsec {
            doublings,
            salt,
            key,
        } => {
            let stretch = parsec::Stretch {
                doublings: *doublings,
                salt: *salt,
            };
            stretch.key(password) == *key
        }
        Verifier::CachingSha2(stored) => caching_sha2::verify_stored(password, stored),
        Verifier::UnixSocket(_) | Verifier::Other(_) => false,
    }
}

/// Whether `/etc/passwd` gives this name to this id.
fn has_id(name: &str, uid: u32) -> bool {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    is_listed(&users, name, uid)
}

/// Lines of `passwd(5)`: name, password, id, other fields.
fn is_listed(users: &str, name: &str, uid: u32) -> bool {
    users.lines().any(|line| {
        let mut fields = line.split(':');
        let found = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
        found == (Some(name), Some(uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_checked_against_every_stored_format() {
        let stretch = parsec::Stretch {
            doublings: 1,
            salt: [9; 18],
        };
        // mysql.user of MySQL 9.7 after CREATE USER ... IDENTIFIED BY 'secret'
        let stored =
            "$A$00A$GOG\u{1e}6=y\\\u{13}e\u{4},.M(pr^J;i6wjHsSZ89v3R.wNrTncai8lvnX1yrW1kfsilZ19OHC";
        for verifier in [
            Verifier::Native(native::stage2(&native::stage1(b"secret"))),
            Verifier::Ed25519(ed25519::key(b"secret")),
            Verifier::Parsec {
                doublings: 1,
                salt: [9; 18],
                key: stretch.key(b"secret"),
            },
            Verifier::CachingSha2(stored.to_owned()),
        ] {
            assert!(is_password(&verifier, b"secret"), "{verifier:?}");
            assert!(!is_password(&verifier, b"Secret"), "{verifier:?}");
            assert!(!is_password(&verifier, b""), "{verifier:?}");
        }
        assert!(is_password(&Verifier::NoPassword, b""));
        assert!(!is_password(&Verifier::NoPassword, b"secret"));
        for nobody in [
            Verifier::UnixSocket(String::new()),
            Verifier::Other("pam".to_owned()),
        ] {
            assert!(!is_password(&nobody, b""));
        }
    }

    #[test]
    fn a_user_is_known_by_name_and_id_together() {
        let users = "root:x:0:0:root:/root:/bin/sh\n+\napp:x:1000:1000::/:\n:x:7:7::/:\n";
        assert!(is_listed(users, "root", 0));
        assert!(is_listed(users, "app", 1000));
        assert!(!is_listed(users, "app", 0));
        assert!(!is_listed(users, "nobody", 1000));
        assert!(!is_listed("", "", 0));
    }
}
