//! What tests of backends begin with.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use dormouse_types::{InstanceId, Pooling, Target};
use dormouse_wire::caps::Capabilities;

use super::{Backend, Identity, Link};
use crate::config::PoolLimits;
use crate::pool::{Grant, Need, Offer, Pool};
use crate::stream::Peer;

/// A pool with one place, a backend in it, and the server's end of its socket.
pub(crate) fn rig() -> (Arc<Pool>, Box<Backend>, UnixStream) {
    let pool = Pool::new(PoolLimits {
        backends_max: 1,
        ..PoolLimits::default()
    });
    let need = Need {
        identity: Arc::new(Identity {
            user: "app".to_owned(),
            account_host: "%".to_owned(),
            account_version: 0,
            tls: false,
            peer: Peer::Unix,
            capabilities: Capabilities::OWN_CLIENT,
            collation: 45,
            max_packet: 1 << 24,
            attributes: Vec::new(),
        }),
        target: Arc::new(Target {
            instance: InstanceId(1),
            generation: 1,
            socket: PathBuf::new(),
            pooling: Pooling::Statement,
        }),
        schema: false,
    };
    let Offer::Now(Grant::Open(place)) = pool.ask(&need, true) else {
        panic!("the pool is empty");
    };
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let link = Link::new(ours).unwrap();
    let backend = Backend::on(link, &need.target, &need.identity, place);
    (pool, backend, theirs)
}
