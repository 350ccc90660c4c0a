//! Set-up for tests of backends.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use dormouse_link::Link;

use super::Backend;
use crate::config::PoolLimits;
use crate::pool::tests::need;
use crate::pool::{Grant, Offer, Pool};

/// A pool with one place, a backend in it, and the server's end of its socket.
pub(crate) fn rig() -> (Arc<Pool>, Box<Backend>, UnixStream) {
    let pool = Pool::new(PoolLimits {
        backends_max: 1,
        ..PoolLimits::default()
    });
    let need = need("app", 1);
    let Offer::Now(Grant::Open(place)) = pool.ask(&need, true) else {
        panic!("the pool is empty");
    };
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let link = Link::over_unix(ours).unwrap();
    let backend = Backend::on(link, &need.target, &need.identity, place);
    (pool, backend, theirs)
}
