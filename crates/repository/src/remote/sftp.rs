//! A repository on another host by SFTP, over the program `ssh`, as restic does it: the user's keys, agent, known hosts and
//! `ssh_config` count. A connection serves one operation at a time, and is closed if that does not end well.

mod ssh;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::ssh::Session;
pub(crate) use self::ssh::Target;
use self::wire::{Attributes, Status};
use super::Service;
use crate::files::{Entry, FOLDERS, Fail, FailKind, Part, UNFINISHED};

/// Connections at the same time. A server allows ten that are not logged in.
const CONNECTIONS: usize = 4;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);

/// The host.
#[derive(Debug)]
pub(crate) struct Sftp {
    target: Target,
    turns: Semaphore,
    idle: Arc<Mutex<Vec<(Instant, Session)>>>,
}

impl Sftp {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            turns: Semaphore::new(CONNECTIONS),
            idle: Arc::default(),
        }
    }

    /// Runs an operation on a connection. One that is lost was idle for a while, or is lost in the middle; both are tried
    /// again by the caller.
    async fn on<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session, &str) -> Result<T, Fail>,
    ) -> Result<T, Fail> {
        let _turn = self.turns.acquire().await;
        let root = match self.target.host.path.as_str() {
            "/" => "/",
            path => path.trim_end_matches('/'),
        };
        let idle = self.all_idle().pop();
        let mut session = match idle {
            Some((_, session)) => session,
            None => Session::connect(&self.target).await?,
        };
        let done = work(&mut session, root).await;
        match done {
            Err(fail) if session.is_lost() => Err(session.why(&self.target, fail).await),
            // What it says next may belong to what was asked before.
            Err(fail) if fail == wire::nonsense() => Err(fail),
            done => {
                self.keep(session);
                done
            }
        }
    }

    fn all_idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Session)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection for the next operation, and closes it after a while.
    fn keep(&self, session: Session) {
        self.all_idle().push((Instant::now(), session));
        let idle = Arc::clone(&self.idle);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(since, _)| since.elapsed() < IDLE);
        });
    }
}

fn below(root: &str, path: &str) -> String {
    match path {
        "" => root.to_owned(),
        path => format!("{}/{path}", root.trim_end_matches('/')),
    }
}

/// Makes a folder that nobody else may enter; one that is there stays as it is.
async fn make_folder(session: &mut Session, path: &str) -> Result<(), Fail> {
    match session.stat(path).await? {
        Some(_) => Ok(()),
        None => session.make_folder(path).await,
    }
}

/// The files of one folder, and its folders.
async fn list_folder(session: &mut Session, path: &str) -> Result<(Vec<Entry>, Vec<String>), Fail> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for (name, attributes) in session.list(path).await? {
        let Attributes { size, mtime, .. } = attributes;
        if attributes.is_folder() {
            folders.push(name);
        } else {
            files.push(Entry {
                name,
                size,
                modified: mtime.map(|at| UNIX_EPOCH + Duration::from_secs(at.into())),
            });
        }
    }
    Ok((files, folders))
}

impl Service for Sftp {
    async fn create(&self) -> Result<(), Fail> {
        self.on(async |session, root| {
            // Folders above it, from the first that is missing.
            let mut missing = Vec::new();
            let mut at = root;
            while !at.trim_matches('/').is_empty() && session.stat(at).await?.is_none() {
                missing.push(at);
                at = at.rsplit_once('/').map_or("", |(above, _)| above);
            }
            for path in missing.into_iter().rev() {
                session.make_folder(path).await?;
            }
            let (_, there) = list_folder(session, root).await?;
            for folder in FOLDERS {
                if !there.iter().any(|name| name == folder) {
                    make_folder(session, &below(root, folder)).await?;
                }
            }
            let data = below(root, "data");
            let (_, there) = list_folder(session, &data).await?;
            for first in 0..=u8::MAX {
                let name = format!("{first:02x}");
                if !there.contains(&name) {
                    session.make_folder(&below(&data, &name)).await?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, Fail> {
        self.on(async |session, root| {
            let found = session.stat(&below(root, path)).await?;
            Ok(found.map(|attributes| attributes.size))
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Fail> {
        self.on(async |session, root| {
            let top = below(root, folder);
            let (mut files, folders) = list_folder(session, &top).await?;
            for folder in folders.iter().filter(|_| folder == "data") {
                let (more, _) = list_folder(session, &below(&top, folder)).await?;
                files.extend(more);
            }
            Ok(files)
        })
        .await
    }

    async fn read(&self, path: &str, part: Option<Part>) -> Result<Bytes, Fail> {
        self.on(async |session, root| session.read(&below(root, path), part).await)
            .await
    }

    async fn write(&self, path: &str, content: &[Bytes]) -> Result<(), Fail> {
        self.on(async |session, root| {
            let file = below(root, path);
            let unfinished = format!("{file}{UNFINISHED}");
            let written = match session.write(&unfinished, content).await {
                Ok(()) => session.rename(&unfinished, &file).await,
                failed => failed,
            };
            match written {
                Err(fail) if !session.is_lost() => {
                    // the first failure explains more
                    let _ = session.remove(&unfinished).await;
                    // A full disk has no code of its own.
                    let is_full = fail.kind == FailKind::Broken
                        && session.free(root).await? < super::size(content) + (1 << 20);
                    Err(if is_full {
                        Fail::new(FailKind::Full, "no space left")
                    } else {
                        fail
                    })
                }
                done => done,
            }
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), Fail> {
        self.on(
            async |session, root| match session.remove(&below(root, path)).await {
                Err(fail) if fail.kind == FailKind::Gone => Ok(()),
                done => done,
            },
        )
        .await
    }
}

/// What a status of the protocol means.
fn of_status(status: &Status, path: &str) -> Fail {
    let kind = match status.code {
        Status::NO_SUCH_FILE => FailKind::Gone,
        Status::PERMISSION_DENIED => FailKind::Denied,
        _ => FailKind::Broken,
    };
    Fail::new(kind, format!("'{path}': {}", status.text.to_lowercase()))
}
