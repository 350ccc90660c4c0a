//! The way on which a server follows another one: a port of the loopback interface that leads through this process.
//!
//! Servers have no network of their own. One that follows another one may connect to one port, which is chosen before its
//! start; this process accepts there and relays to the server that is followed, as long as that is the one to follow. So
//! a server that is not followed any more feeds nobody.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_driver::{Error, Upstream};
use dormouse_engine::admin::AdminError;
use dormouse_engine::admin::relay::{feed, prove};
use dormouse_engine::{Layout, Secret};
use dormouse_types::{Endpoint, InstanceId};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

/// Connections of one follower at a time: it has one, and for a moment a second one when it connects again.
const MOST: usize = 4;

/// Connections at a time whose clients have not proved yet that they are the follower.
const UNPROVEN: usize = 16;

/// Bytes of a password.
const PASSWORD: usize = 24;

/// The port of a follower, and who is reached there.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    feeding: Mutex<Option<Feeding>>,
}

/// The relay; dropping it ends its connections.
#[derive(Debug)]
struct Feeding(JoinHandle<()>);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whom to reach, and what proves that the follower connects.
struct Source {
    follower: InstanceId,
    instance: InstanceId,
    endpoint: Endpoint,
    secret: Secret,
    password: String,
    /// The version of the server, as in its greeting.
    version: String,
    /// How many may be served.
    served: Semaphore,
}

impl Port {
    /// A free port, for a server that is about to start. It is saved for the next driver.
    pub(super) fn choose(layout: &Layout) -> io::Result<Arc<Self>> {
        let port = Self::bind(0)?;
        fs::write(layout.upstream(), port.number()?.to_string())?;
        Ok(port)
    }

    /// The port of a server that an earlier driver has started.
    pub(super) fn again(layout: &Layout) -> io::Result<Arc<Self>> {
        let saved = fs::read_to_string(layout.upstream())?;
        let saved = saved.trim().parse().map_err(io::Error::other)?;
        Self::bind(saved)
    }

    fn bind(port: u16) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            listener,
            feeding: Mutex::default(),
        }))
    }

    pub(super) fn number(&self) -> io::Result<u16> {
        self.listener.local_addr().map(|address| address.port())
    }

    /// Leads to this server from now on.
    pub(super) fn feed(
        &self,
        follower: InstanceId,
        (instance, endpoint, version): (InstanceId, &Endpoint, &str),
        secret: &Secret,
    ) -> Result<Upstream, Error> {
        let begin = || {
            let mut bytes = [0; PASSWORD];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
            let source = Arc::new(Source {
                follower,
                instance,
                endpoint: endpoint.clone(),
                secret: secret.clone(),
                password: password.clone(),
                version: version.to_owned(),
                served: Semaphore::new(MOST),
            });
            let feeding = Feeding(tokio::spawn(source.serve(listener)));
            *self.feeding.lock().unwrap_or_else(PoisonError::into_inner) = Some(feeding);
            Ok(Upstream {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.number()?)),
                password,
            })
        };
        begin().map_err(|source| Error::Machine {
            doing: format!("feeding instance {follower} from {instance}"),
            source,
        })
    }
}

impl Source {
    async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let mut relays = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if relays.len() < MOST + UNPROVEN => match accepted {
                    Ok((stream, _)) => {
                        let source = Arc::clone(&self);
                        relays.spawn(async move { source.relay(stream).await });
                    }
                    Err(error) => {
                        warn!(instance = %self.follower, %error, "cannot accept a follower");
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                },
                Some(_) = relays.join_next(), if !relays.is_empty() => {}
            }
        }
    }

    async fn relay(&self, stream: tokio::net::TcpStream) {
        let fed = async {
            let proven = prove(stream, &self.version, &self.password).await?;
            // what is left of the former connections of a follower ends by itself: it has closed them
            let _served = self.served.try_acquire().map_err(io::Error::other)?;
            feed(proven, &self.endpoint, &self.secret, self.instance).await
        };
        let fed: Result<(), AdminError> = fed.await;
        if let Err(error) = fed {
            debug!(instance = %self.follower, from = %self.instance, %error, "a follower's connection ended");
        }
    }
}
