//! One operation's way into `rustic_core`: what it fails with is explained here, and no panic passes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustic_core::{Credentials, OpenStatus, RepositoryBackends, RepositoryOptions, RusticResult};

use crate::error::{self, Error, Failure};
use crate::files::Files;
use crate::guard::{Guard, Notes, Paces};
use crate::watch::Watch;

/// A repository of `rustic_core` that is open, for one operation.
pub(crate) type Open = rustic_core::Repository<OpenStatus>;

/// What an operation needs of a place.
pub(crate) struct Access<'a> {
    pub(crate) location: &'a str,
    pub(crate) files: &'a Arc<dyn Files>,
    pub(crate) paces: &'a Arc<Paces>,
    pub(crate) options: &'a RepositoryOptions,
    pub(crate) watch: &'a Watch,
}

/// Why a step of an operation failed.
pub(crate) enum Stop {
    Rustic(Box<rustic_core::RusticError>),
    Failure(Failure),
    Damaged(String),
    Error(Error),
}

impl From<Box<rustic_core::RusticError>> for Stop {
    fn from(error: Box<rustic_core::RusticError>) -> Self {
        Self::Rustic(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Access<'_> {
    /// Runs a step on a repository that is not open yet.
    pub(crate) fn closed<T>(
        &self,
        step: impl FnOnce(rustic_core::Repository<()>, &Arc<Notes>) -> Result<T, Stop>,
    ) -> Result<T, Error> {
        let notes = Arc::new(Notes::new(self.watch.cancel.clone()));
        let guard = Guard::new(
            Arc::clone(self.files),
            Arc::clone(&notes),
            Arc::clone(self.paces),
        );
        let places = RepositoryBackends::new(Arc::new(guard), None);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let repository = rustic_core::Repository::new_with_progress(
                self.options,
                &places,
                self.watch.clone(),
            )?;
            step(repository, &notes)
        }));
        let first = notes.take();
        match (ran, first) {
            (Ok(Err(Stop::Error(error))), None) => Err(error),
            // What failed first explains the rest. After a success nothing that mattered failed, but it is told.
            (_, Some(failure)) => Err(failure.into_error(self.location)),
            (Ok(Ok(value)), None) => Ok(value),
            (Ok(Err(Stop::Damaged(cause))), None) => Err(Error::Damaged {
                location: self.location.to_owned(),
                cause,
            }),
            (Ok(Err(Stop::Failure(failure))), None) => Err(failure.into_error(self.location)),
            (Ok(Err(Stop::Rustic(error))), None) => Err(error::of_rustic(self.location, &error)),
            (Err(panic), None) => Err(error::of_panic(self.location, panic.as_ref())),
        }
    }

    /// Runs a step on the open repository.
    pub(crate) fn open<T>(
        &self,
        credentials: &Credentials,
        step: impl FnOnce(Open, &Arc<Notes>) -> Result<T, Stop>,
    ) -> Result<T, Error> {
        self.closed(|repository, notes| {
            if !stands(&repository)? {
                return Err(Error::NotThere {
                    location: self.location.to_owned(),
                }
                .into());
            }
            step(repository.open(credentials)?, notes)
        })
    }
}

/// Whether there is a repository at the place.
pub(crate) fn stands<S>(repository: &rustic_core::Repository<S>) -> RusticResult<bool> {
    Ok(repository.config_id()?.is_some())
}
