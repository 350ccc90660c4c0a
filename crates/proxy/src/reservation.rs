//! A database that is reserved for an import: statements of other sessions are held until that ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// For whom a database is reserved; usually for nobody.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    set: AtomicBool,
    key: Mutex<Option<Arc<str>>>,
    changed: Notify,
    /// Statements that are held.
    held: AtomicUsize,
}

/// The place of a held statement among the others.
pub(crate) struct Place<'a>(&'a Reservation);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Reservation {
    fn key(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves the database for sessions with this key, or ends that: held statements run.
    pub(crate) fn change(&self, key: Option<&str>) {
        let mut present = self.key();
        *present = key.map(Into::into);
        self.set.store(present.is_some(), Ordering::Release);
        drop(present);
        self.changed.notify_waiters();
    }

    /// Whether a session with this key may run statements. Without a reservation this reads one flag.
    pub(crate) fn admits<'a>(&self, shown: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        if !self.set.load(Ordering::Acquire) {
            return true;
        }
        match &*self.key() {
            Some(key) => shown().is_some_and(|shown| shown == key.as_bytes()),
            None => true,
        }
    }

    /// A place for one more held statement, if fewer than `most` are held.
    pub(crate) fn take_place(&self, most: usize) -> Option<Place<'_>> {
        let place = Place(self);
        (self.held.fetch_add(1, Ordering::AcqRel) < most).then_some(place)
    }

    /// Waits until a session with this key is admitted.
    pub(crate) async fn until_admitted(&self, shown: Option<&[u8]>) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.admits(|| shown) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_key_is_admitted_and_the_others_wait() {
        let reservation = Reservation::default();
        assert!(reservation.admits(|| None));
        reservation.change(Some("key"));
        assert!(reservation.admits(|| Some(b"key")));
        assert!(!reservation.admits(|| Some(b"another")) && !reservation.admits(|| None));
        let first = reservation.take_place(1).unwrap();
        assert!(reservation.take_place(1).is_none());
        drop(first);
        assert!(reservation.take_place(1).is_some());
        let mut waits = std::pin::pin!(reservation.until_admitted(None));
        for key in [None, Some("another key")] {
            if key.is_some() {
                reservation.change(key);
            }
            let pending = std::future::poll_fn(|context| {
                std::task::Poll::Ready(waits.as_mut().poll(context).is_pending())
            });
            assert!(pending.await);
        }
        reservation.change(None);
        waits.await;
    }
}
