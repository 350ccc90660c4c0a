//! Encryption at rest, for callers of the plane: keys, their rotation, and encrypting a database.

use dormouse_engine::KeyError;
use dormouse_types::{DatabaseName, State};

use super::Plane;
use crate::database::Database;
use crate::error::Error;
use crate::instance::rekeying::with_keys;
use crate::status::{DatabaseKeys, Encryption, EncryptionState, KeyList, Status};
use crate::time::within;

/// Of a refused restart.
const NEW_KEY: &str = "it has a new key, which takes effect when its server starts next";

impl Plane {
    /// The master key and the keys of each database, by fingerprint and version.
    pub async fn keys(&self) -> KeyList {
        let keeper = &self.context.host.keys;
        let mut all = self.context.registry.all();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut databases = Vec::with_capacity(all.len());
        for database in all {
            let (encryption, error) = match self.encryption(&database).await {
                Ok(encryption) => (encryption, None),
                Err(error) => (None, Some(error.to_string())),
            };
            databases.push(DatabaseKeys {
                name: database.name.clone(),
                encryption,
                error,
            });
        }
        KeyList {
            master: keeper.master().map(|key| key.to_string()),
            source: keeper.source().map(ToString::to_string),
            new_databases: keeper.encrypts_new(),
            databases,
        }
    }

    /// Reads the master key anew from its source and wraps the keys of all databases by it. Returns the fingerprints
    /// before and after.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no new master key; [`Error::Machine`].
    pub async fn rotate_master_key(&self) -> Result<(String, String), Error> {
        let keeper = &self.context.host.keys;
        let rotated = with_keys(keeper, |keys| keys.rotate_master()).await;
        let (old, new) = rotated.map_err(|error| failed("rotating the master key", error))?;
        let (old, new) = (old.to_string(), new.to_string());
        tracing::info!(old, new, "the master key was rotated");
        Ok((old, new))
    }

    /// Encrypts a database that is not: gives it a key, restarts its server with it, and encrypts its files in the
    /// background, while it is awake. Does nothing if it has a key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] without a master key; [`Error::Refused`] if the server cannot be
    /// restarted now: its next start has the key.
    pub async fn encrypt(&self, name: &DatabaseName) -> Result<Status, Error> {
        let id = self.find(name)?.seat();
        let given = with_keys(&self.context.host.keys, move |keys| keys.encrypt(id));
        let new = given.await;
        if new.map_err(|error| failed(&format!("encrypting database '{name}'"), error))? {
            self.restart(name, NEW_KEY).await?;
        }
        self.look(name).await
    }

    /// Gives an encrypted database a new key, restarts its server with it, and encrypts its files with it in the
    /// background, while it is awake. Then the old key is forgotten.
    ///
    /// # Errors
    /// As [`Plane::encrypt`]; [`Error::Invalid`] if it is not encrypted, or an earlier rotation has not ended.
    pub async fn rotate_key(&self, name: &DatabaseName) -> Result<Status, Error> {
        let id = self.find(name)?.seat();
        let given = with_keys(&self.context.host.keys, move |keys| keys.rotate(id));
        let doing = format!("rotating the key of database '{name}'");
        given.await.map_err(|error| failed(&doing, error))?;
        self.restart(name, NEW_KEY).await?;
        self.look(name).await
    }

    /// Parks and wakes a database; its sessions stay. `later` says what holds if that is not possible now.
    pub(super) async fn restart(&self, name: &DatabaseName, later: &str) -> Result<(), Error> {
        match self.park(name).await {
            Err(Error::Refused {
                database,
                state,
                mut reasons,
            }) => {
                reasons.insert(0, later.to_owned());
                Err(Error::Refused {
                    database,
                    state,
                    reasons,
                })
            }
            Err(error) => Err(error),
            Ok(_) => self.wake(name).await.map(drop),
        }
    }

    /// Encryption of a database; asks its server if that is awake.
    pub(super) async fn encryption(
        &self,
        database: &Database,
    ) -> Result<Option<Encryption>, KeyError> {
        let host = &self.context.host;
        let id = database.seat();
        let Some(ring) = with_keys(&host.keys, move |keys| keys.status(id)).await? else {
            return Ok(None);
        };
        let mut encryption = Encryption {
            state: if ring.is_settled {
                EncryptionState::Encrypted
            } else {
                EncryptionState::Converting
            },
            master: ring.master,
            percent: ring.is_settled.then_some(100),
            plain_tables: None,
            versions: ring.versions,
        };
        if database.state() != State::Active {
            return Ok(Some(encryption));
        }
        let asked = within(host.deadlines.ask, async {
            host.servers.encryption(&database.server()?).await
        });
        let asked = tokio::select! {
            asked = asked => asked.ok(),
            () = database.until(|now| now.state != State::Active) => None,
        };
        if let Some((progress, plain)) = asked {
            encryption.plain_tables = Some(plain);
            let newest = encryption.versions.last().copied().unwrap_or_default();
            if !ring.is_settled && progress.version > 0 && progress.version != newest {
                encryption.state = EncryptionState::AtNextStart;
                encryption.percent = Some(0);
            } else if !ring.is_settled {
                let share = progress.done * 100 / progress.all.max(1);
                // Aria tables may be left
                encryption.percent = u8::try_from(share.min(99)).ok();
            }
        }
        Ok(Some(encryption))
    }
}

fn failed(doing: &str, error: KeyError) -> Error {
    match error {
        KeyError::Io { .. } | KeyError::Source { .. } | KeyError::Damaged { .. } => {
            Error::Machine {
                doing: doing.to_owned(),
                reason: error.to_string(),
            }
        }
        other => Error::Invalid(format!("{doing}: {other}")),
    }
}
