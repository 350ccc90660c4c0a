//! Repositories on other hosts: one policy of time limits, repetitions and cancelling for all kinds of them.

pub(crate) mod http;
pub(crate) mod objects;
pub(crate) mod rest;
pub(crate) mod sftp;

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::files::{Entry, Fail, FailKind, Files, Part};
use crate::watch::Cancel;

/// What a kind of place does once, without a time limit. A future that is dropped leaves no file that is not whole.
pub(crate) trait Service: fmt::Debug + Send + Sync {
    async fn create(&self) -> Result<(), Fail>;
    async fn length(&self, path: &str) -> Result<Option<u64>, Fail>;
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Fail>;
    async fn read(&self, path: &str, part: Option<Part>) -> Result<Bytes, Fail>;
    async fn write(&self, path: &str, content: &[Bytes]) -> Result<(), Fail>;
    async fn remove(&self, path: &str) -> Result<(), Fail>;
}

/// Time that a request may take, beside that for its bytes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The slowest that bytes may pass, a second.
const SLOWEST: u64 = 64 << 10;

/// Bytes of a file that is read whole, whose length is not known: enough for an index.
const WHOLE: u64 = 2 << 20;

/// How often a request is tried.
const ATTEMPTS: u32 = 4;

/// How many of them may end by the time limit.
const LATE: u32 = 2;

/// The share of the time limit that passes before the second attempt: a second of a minute. Doubled before each further one.
const PAUSE: u32 = 60;

/// The longest until it is noticed that the caller wants the end.
const LOOK: Duration = Duration::from_millis(100);

/// A place on another host.
#[derive(Debug)]
pub(crate) struct Remote<S> {
    service: S,
    timeout: Duration,
}

impl<S: Service> Remote<S> {
    pub(crate) const fn new(service: S, timeout: Duration) -> Self {
        Self { service, timeout }
    }

    /// Tries until it succeeds, fails for good, has failed often enough, or is cancelled.
    fn run<T>(
        &self,
        cancel: &Cancel,
        bytes: u64,
        attempt: impl AsyncFn() -> Result<T, Fail>,
    ) -> Result<T, Fail> {
        let limit = self.timeout + Duration::from_secs(bytes / SLOWEST);
        let trying = async {
            let (mut number, mut late) = (1, 0);
            loop {
                let fail = match timeout(limit, attempt()).await {
                    Ok(Ok(done)) => return Ok(done),
                    Ok(Err(fail)) => fail,
                    Err(_) => {
                        late += 1;
                        let seconds = limit.as_secs();
                        Fail::new(FailKind::Away, format!("no answer within {seconds} s"))
                    }
                };
                if fail.kind != FailKind::Away || number == ATTEMPTS || late == LATE {
                    return Err(fail);
                }
                sleep(self.timeout * 2_u32.pow(number - 1) / PAUSE).await;
                number += 1;
            }
        };
        runtime()?.block_on(async {
            tokio::select! {
                done = trying => done,
                () = cancelled(cancel) => Err(Fail::cancelled()),
            }
        })
    }
}

async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        sleep(LOOK).await;
    }
}

/// The threads that speak with other hosts.
pub(crate) fn runtime() -> Result<&'static Runtime, Fail> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(2)
            .thread_name("repository")
            .enable_all()
            .build()
    });
    made.as_ref().map_err(|error| {
        let text = format!("the threads that speak with it cannot be started: {error}");
        Fail::new(FailKind::Setup, text)
    })
}

fn size(content: &[Bytes]) -> u64 {
    content.iter().map(|part| part.len() as u64).sum()
}

impl<S: Service> Files for Remote<S> {
    fn create(&self, cancel: &Cancel) -> Result<(), Fail> {
        self.run(cancel, 0, async || self.service.create().await)
    }

    fn length(&self, path: &str, cancel: &Cancel) -> Result<Option<u64>, Fail> {
        self.run(cancel, 0, async || self.service.length(path).await)
    }

    fn list(&self, folder: &str, cancel: &Cancel) -> Result<Vec<Entry>, Fail> {
        self.run(cancel, WHOLE, async || self.service.list(folder).await)
    }

    fn read(&self, path: &str, part: Option<Part>, cancel: &Cancel) -> Result<Bytes, Fail> {
        let bytes = part.map_or(WHOLE, |part| part.length);
        let read = self.run(cancel, bytes, async || self.service.read(path, part).await)?;
        match part {
            Some(part) if read.len() as u64 != part.length => {
                Err(Fail::new(FailKind::Short, "it is shorter than it was"))
            }
            _ => Ok(read),
        }
    }

    fn write(&self, path: &str, content: &[Bytes], cancel: &Cancel) -> Result<(), Fail> {
        self.run(cancel, size(content), async || {
            self.service.write(path, content).await
        })
    }

    fn remove(&self, path: &str, cancel: &Cancel) -> Result<(), Fail> {
        self.run(cancel, 0, async || self.service.remove(path).await)
    }
}

#[cfg(test)]
mod tests;
