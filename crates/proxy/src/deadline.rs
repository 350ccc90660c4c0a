//! I/O operations with a deadline.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// How much later than its deadline a wait of [`about_within`] may end.
const SPREAD: Duration = Duration::from_millis(500);

thread_local! {
    /// The last timers of this thread that waits share, with their deadlines.
    static SHARED: RefCell<Vec<(Duration, Arc<Timer>)>> = const { RefCell::new(Vec::new()) };
}

/// Writes and flushes all bytes; each wait for the peer has the deadline. The clock is read only if
/// the peer does not accept them at once.
pub(crate) async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    deadline: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await;
        let written = match now {
            Poll::Ready(result) => result?,
            Poll::Pending => within(deadline, stream.write(bytes)).await?,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_flush(cx))).await {
        Poll::Ready(result) => result,
        Poll::Pending => within(deadline, stream.flush()).await,
    }
}

/// An I/O operation with a deadline.
pub(crate) async fn within<T>(
    deadline: Duration,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(deadline, operation)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// An operation with a deadline that may be half a second late. `None`: it was not done in time.
///
/// Such waits share their timers. One of its own would wake its event loop once more, which costs as much as a statement's
/// system calls do.
pub(crate) async fn about_within<T>(
    deadline: Duration,
    operation: impl Future<Output = T>,
) -> Option<T> {
    let mut operation = pin!(operation);
    let mut late = pin!(None::<OwnedNotified>);
    poll_fn(|cx| {
        if let Poll::Ready(done) = operation.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if late.is_none() {
            late.set(Some(shared_timer(deadline).notified_owned()));
        }
        match late.as_mut().as_pin_mut() {
            Some(late) => late.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// A timer of several waits.
struct Timer {
    /// Whether another wait may no longer use it.
    closed: AtomicBool,
    over: Arc<Notify>,
}

/// Closes a timer when its task ends, also if it is dropped.
struct Closing(Arc<Timer>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

/// A timer that ends between the deadline from now and [`SPREAD`] later.
fn shared_timer(deadline: Duration) -> Arc<Notify> {
    let open = |timer: &Timer| !timer.closed.load(Ordering::Acquire);
    let known = SHARED.with_borrow(|shared| {
        let same = |(of, timer): &&(Duration, Arc<Timer>)| *of == deadline && open(timer);
        shared.iter().find(same).map(|(_, timer)| Arc::clone(timer))
    });
    if let Some(timer) = known {
        return Arc::clone(&timer.over);
    }
    let timer = Arc::new(Timer {
        closed: AtomicBool::new(false),
        over: Arc::default(),
    });
    SHARED.with_borrow_mut(|shared| {
        shared.retain(|(_, timer)| open(timer));
        shared.push((deadline, Arc::clone(&timer)));
    });
    let over = Arc::clone(&timer.over);
    let closing = Closing(timer);
    tokio::spawn(async move {
        tokio::time::sleep(SPREAD).await;
        let over = Arc::clone(&closing.0.over);
        drop(closing);
        tokio::time::sleep(deadline).await;
        over.notify_waiters();
    });
    over
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_its_deadline_or_a_little_later() {
        const DEADLINE: Duration = Duration::from_secs(3);
        let began = Instant::now();
        assert_eq!(about_within(DEADLINE, ready(1)).await, Some(1));
        let slow = tokio::time::sleep(Duration::from_secs(2));
        assert_eq!(about_within(DEADLINE, slow).await, Some(()));
        // several at once, of which some share a timer
        let waits = [0_u64, 100, 499, 500, 501, 1400, 2999, 3600].map(|after| {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                let began = Instant::now();
                assert_eq!(about_within(DEADLINE, pending::<()>()).await, None);
                let waited = began.elapsed();
                let limit = DEADLINE + SPREAD + Duration::from_millis(2);
                assert!(DEADLINE <= waited && waited <= limit, "{after}: {waited:?}");
            })
        });
        for wait in waits {
            wait.await.unwrap();
        }
        assert!(began.elapsed() > DEADLINE * 2);
        SHARED.with_borrow(|shared| assert_eq!(shared.len(), 1, "closed ones are forgotten"));
    }

    #[test]
    fn a_timer_ends_with_its_event_loop() {
        let wait = || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let soon = Duration::from_millis(1);
                let waits = about_within(Duration::from_secs(1), pending::<()>());
                assert!(tokio::time::timeout(soon, waits).await.is_err());
                assert_eq!(about_within(soon, pending::<()>()).await, None);
            });
        };
        wait();
        wait();
    }
}
