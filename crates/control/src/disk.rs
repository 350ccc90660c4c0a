//! The disk that holds the files of all databases.

use std::fmt;
use std::io;
use std::sync::Arc;

use dormouse_types::Bytes;

/// Returns the free space of the disk.
type Free = dyn Fn() -> io::Result<Bytes> + Send + Sync;

/// Space that is kept until the disk is full, so that servers can start then, and something can be deleted.
pub trait Ballast: Send + Sync + 'static {
    /// Whether it takes its space, has given it away, or was never there.
    fn state(&self) -> BallastState;

    /// Gives its space away, or takes it back.
    ///
    /// # Errors
    /// The file system refuses it.
    fn set(&self, kept: bool) -> io::Result<()>;
}

/// Whether the ballast takes its space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BallastState {
    /// It does.
    Kept,
    /// It was given away: the disk was full.
    Given,
    /// There was never room for it.
    Never,
}

/// The disk that holds the files of all databases.
#[derive(Clone)]
pub struct Disk {
    pub(crate) reserve: Bytes,
    free: Arc<Free>,
    ballast: Option<Arc<dyn Ballast>>,
}

/// What was found at a look at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) free: Bytes,
    /// As much must be free for databases to grow.
    pub(crate) enough: Bytes,
    /// Whether the ballast has been given away.
    pub(crate) given: bool,
}

impl Disk {
    /// The space that the ballast takes.
    pub const BALLAST: Bytes = Bytes::mib(64);
    /// Below this the ballast is given away: a server may not be able to start any more.
    const LOW: Bytes = Bytes::mib(32);
    /// With so much free, it is taken again.
    const AMPLE: Bytes = Bytes::mib(192);

    /// A disk of which `reserve` is kept free. `free` returns its free space without blocking.
    pub fn new(
        reserve: Bytes,
        free: impl Fn() -> io::Result<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            reserve,
            free: Arc::new(free),
            ballast: None,
        }
    }

    /// The same with a ballast.
    #[must_use]
    pub fn with_ballast(self, ballast: impl Ballast) -> Self {
        Self {
            ballast: Some(Arc::new(ballast)),
            ..self
        }
    }

    /// Measures its free space; gives the ballast away if there is almost none, and takes it back when there is ample.
    /// `was_full`: whether databases may not grow now.
    pub(crate) fn look(&self, was_full: bool) -> io::Result<Looked> {
        let mut free = (self.free)()?;
        let mut state = self.ballast.as_ref().map(|ballast| ballast.state());
        if let Some(ballast) = &self.ballast {
            let change = match state {
                Some(BallastState::Kept) => (free < Self::LOW).then_some(false),
                _ => (free >= Self::AMPLE.max(self.reserve)).then_some(true),
            };
            if let Some(kept) = change {
                ballast.set(kept)?;
                state = Some(ballast.state());
                free = (self.free)()?;
            }
        }
        let given = state == Some(BallastState::Given);
        let reserve = match was_full {
            true => self.reserve.0 + self.reserve.0 / 10,
            false => self.reserve.0,
        };
        let enough = match given {
            true => Self::AMPLE.0.max(reserve),
            false => reserve,
        };
        Ok(Looked {
            free,
            enough: Bytes(enough),
            given,
        })
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    struct Made {
        free: Arc<AtomicU64>,
        state: Mutex<BallastState>,
    }

    impl Ballast for Made {
        fn state(&self) -> BallastState {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn set(&self, kept: bool) -> io::Result<()> {
            let state = match kept {
                true => BallastState::Kept,
                false => BallastState::Given,
            };
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            match kept {
                true => self.free.fetch_sub(64, Ordering::SeqCst),
                false => self.free.fetch_add(64, Ordering::SeqCst),
            };
            Ok(())
        }
    }

    #[test]
    fn the_ballast_is_given_away_on_a_full_disk_and_taken_again() {
        let free = Arc::new(AtomicU64::new(100));
        let now = Arc::clone(&free);
        let ballast = Made {
            free: Arc::clone(&free),
            state: Mutex::new(BallastState::Never),
        };
        let disk = Disk::new(Bytes(0), move || Ok(Bytes::mib(now.load(Ordering::SeqCst))))
            .with_ballast(ballast);
        let mut full = false;
        // free space of a disk that others fill and empty, then what is left, and whether databases may grow
        for (set, left, grows) in [
            // a small disk has no ballast
            (Some(100), 100, true),
            (Some(10), 10, true),
            (Some(300), 236, true),
            (Some(40), 40, true),
            (Some(3), 67, false),
            (None, 67, false),
            (Some(20), 20, false),
            (Some(191), 191, false),
            (Some(192), 128, true),
        ] {
            if let Some(set) = set {
                free.store(set, Ordering::SeqCst);
            }
            let looked = disk.look(full).unwrap();
            full = looked.free < looked.enough;
            assert_eq!((looked.free, !full), (Bytes::mib(left), grows), "{set:?}");
        }
    }
}
