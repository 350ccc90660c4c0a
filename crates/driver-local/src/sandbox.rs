//! The sandbox of a server: what its process may do on the machine.
//!
//! Layers, each of which holds without the others: a user of its own ([`crate::owner`]), no new privileges,
//! files ([`files`], Landlock), network (a namespace without interfaces), system calls ([`calls`], seccomp) and
//! limits ([`mod@limits`]). Each is tried at the driver's start in a process of its own, by something that it must
//! refuse, and is then put on every server that starts. What holds for a running server is read from `/proc`
//! ([`layers`]), so that one that an older Dormouse has started shows what it has.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use dormouse_driver::Layer;
use dormouse_engine::{Installation, Layout};
use rustix::process::{getegid, geteuid};
use tracing::debug;

use crate::endpoint::Transport;
use crate::owner::Owners;
use crate::spawn::{Attempt, Confinement, Exec, ExecSecret, Network, landlock_abi, refuses};

mod calls;
mod files;
mod image;
pub(crate) mod layers;
mod limits;

use calls::{Filters, Use};
pub(crate) use files::Ports;
use image::Image;
use layers::{Kind, missing, present};
use limits::limits;

/// First ABI of Landlock that knows TCP ports.
const ABI_OF_PORTS: u32 = 4;

/// Which layers servers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxMode {
    /// Those that the machine has.
    #[default]
    Auto,
    /// All; without one the driver is not set up.
    Require,
    /// Neither Landlock, seccomp nor a network namespace.
    Off,
}

/// Layers are missing that the configuration requires.
#[derive(Debug, thiserror::Error)]
#[error(
    "the sandbox is required ([sandbox] mode), but this machine lacks {}: 'dormouse doctor' shows each layer; \
     docs/sandbox.md says what each one needs", missing_names(.0)
)]
pub struct SandboxMissing(Vec<Layer>);

fn use_of(transport: Transport) -> Use {
    match transport {
        Transport::Unix => Use::Unix,
        Transport::Tcp => Use::Tcp,
    }
}

fn missing_names(layers: &[Layer]) -> String {
    let each = layers
        .iter()
        .filter(|layer| !layer.holds)
        .map(|layer| format!("{} ({})", layer.name, layer.detail));
    each.collect::<Vec<_>>().join(", ")
}

/// The layers that servers get on this machine.
#[derive(Debug)]
pub(crate) struct Sandbox {
    layers: Vec<Layer>,
    /// The program, if it can be executed under filters and rules.
    image: Option<Image>,
    landlock: bool,
    filters: Filters,
    network: bool,
    owners: Owners,
    secret: ExecSecret,
}

impl Sandbox {
    /// Tries each layer. Blocks for about the time of the server's `--help`.
    ///
    /// # Errors
    /// A required layer is missing.
    pub(crate) fn detect(
        mode: SandboxMode,
        installation: &Installation,
        root: &Path,
        transport: Transport,
        owners: Owners,
    ) -> Result<Self, SandboxMissing> {
        let mut found = Self {
            layers: Vec::new(),
            image: None,
            landlock: false,
            filters: Filters(Vec::new()),
            network: false,
            owners,
            secret: [0; 3],
        };
        let own_user = match owners {
            Owners::Each(_) => present(Kind::User, "each server has a user of its own"),
            Owners::Me => missing(
                Kind::User,
                "only root can give each server a user of its own",
            ),
        };
        let (files, network, calls) = if mode == SandboxMode::Off {
            let off = |kind| missing(kind, "switched off by [sandbox] mode");
            (off(Kind::Files), off(Kind::Network), off(Kind::Calls))
        } else {
            found.try_all(installation, root, transport)
        };
        found.layers = vec![
            own_user,
            present(Kind::Privileges, "no new privileges"),
            files,
            network,
            calls,
            present(Kind::Limits, limits::DETAIL),
        ];
        if mode == SandboxMode::Require && found.layers.iter().any(|layer| !layer.holds) {
            return Err(SandboxMissing(found.layers));
        }
        Ok(found)
    }

    /// The layers that a server gets when it starts now.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// ABI of Landlock that restricts servers which start now; 0 if none does.
    pub(crate) fn landlock_abi(&self) -> u32 {
        if self.landlock { landlock_abi() } else { 0 }
    }

    /// Settings that servers need in this sandbox, as lines of their configuration.
    pub(crate) fn settings(&self) -> &'static str {
        let uring = self.image.as_ref().is_some_and(|image| image.io_uring);
        if uring && !self.filters.0.is_empty() {
            // the server would try io_uring, be refused, and warn
            "innodb-use-native-aio=OFF\n"
        } else {
            ""
        }
    }

    /// The sandbox of one server, which may use these ports. `plugins` is its own directory of plugins.
    pub(crate) fn confinement(
        &self,
        layout: &Layout,
        ports: Ports,
        plugins: Option<&Path>,
    ) -> io::Result<Confinement> {
        let Ports { own, upstream } = ports;
        let network = self.network(self.network && own.is_none() && upstream.is_none());
        let own_counts =
            matches!(self.owners, Owners::Each(_)) || matches!(network, Network::OwnAsUser(..));
        let mut confinement = Confinement {
            limits: limits(own_counts),
            network,
            ..Confinement::default()
        };
        let Some(image) = &self.image else {
            return Ok(confinement);
        };
        if self.landlock {
            confinement.rules = files::ruleset(layout, image, ports, plugins)?;
        }
        confinement.filters = match upstream {
            Some(_) if !self.filters.0.is_empty() => {
                Filters::compile(Use::Follower, self.secret)?.0
            }
            _ => self.filters.0.clone(),
        };
        confinement.exec = Some(Exec {
            program: image.program.clone(),
            arguments: image.arguments(&layout.config())?,
            environment: image.environment.clone(),
            secret: self.secret,
        });
        Ok(confinement)
    }

    /// The sandbox of a program that reads the directory `from` and writes `to`, and connects to a Unix socket.
    ///
    /// # Errors
    /// The program does not run, or the system refused something.
    pub(crate) fn helper(
        &self,
        program: &Path,
        installation: &Installation,
        arguments: &[OsString],
        (from, to): (&Path, &Path),
        plugins: Option<&Path>,
    ) -> io::Result<Confinement> {
        let mut confinement = Confinement {
            limits: limits(matches!(self.owners, Owners::Each(_))),
            network: self.network(self.network),
            ..Confinement::default()
        };
        if self.image.is_none() {
            return Ok(confinement);
        }
        let image = Image::of(program, None, installation)?;
        if self.landlock {
            confinement.rules = files::helper(from, to, &image, plugins)?;
        }
        if !self.filters.0.is_empty() {
            confinement.filters = Filters::compile(Use::Helper, self.secret)?.0;
        }
        confinement.exec = Some(Exec {
            program: image.program.clone(),
            arguments: image.arguments_of(arguments)?,
            environment: image.environment,
            secret: self.secret,
        });
        Ok(confinement)
    }

    fn network(&self, own: bool) -> Network {
        match (own, self.owners) {
            (false, _) => Network::Shared,
            (true, Owners::Each(_)) => Network::Own,
            (true, Owners::Me) => {
                let (user, group) = (geteuid().as_raw(), getegid().as_raw());
                let map = |id: u32| format!("{id} {id} 1\n").into_bytes();
                Network::OwnAsUser(map(user), map(group))
            }
        }
    }

    /// Tries the layers of files, network and calls.
    fn try_all(
        &mut self,
        installation: &Installation,
        root: &Path,
        transport: Transport,
    ) -> (Layer, Layer, Layer) {
        let image = Image::observe(installation);
        let no_image = image.as_ref().err().map(ToString::to_string);
        debug!(?image, "looked at the server program");
        self.image = image.ok();
        let (files, calls) = match no_image {
            None => (self.try_files(root, transport), self.try_calls(transport)),
            Some(why) => (missing(Kind::Files, why.clone()), missing(Kind::Calls, why)),
        };
        (files, self.try_network(root, transport), calls)
    }

    fn try_files(&mut self, root: &Path, transport: Transport) -> Layer {
        let attempt = Attempt::ReadFile(c"/etc/passwd");
        let abi = landlock_abi();
        if abi == 0 {
            return missing(
                Kind::Files,
                "the kernel has no Landlock, or it is not switched on (lsm=)",
            );
        }
        match self
            .with_rules(root, transport)
            .and_then(|c| refuses(c, attempt))
        {
            Ok(true) => {
                self.landlock = true;
                present(Kind::Files, layers::landlock(abi))
            }
            Ok(false) => missing(Kind::Files, "Landlock did not refuse a foreign file"),
            Err(error) => missing(Kind::Files, error.to_string()),
        }
    }

    fn try_network(&mut self, root: &Path, transport: Transport) -> Layer {
        if transport == Transport::Tcp {
            let tried = || refuses(self.with_rules(root, transport)?, Attempt::Listen);
            return match tried() {
                _ if !self.landlock || landlock_abi() < ABI_OF_PORTS => missing(
                    Kind::Network,
                    "with [engine] transport = \"tcp\" it needs Landlock's ABI 4 (Linux 6.7)",
                ),
                Ok(true) => present(Kind::Network, layers::OWN_PORT),
                Ok(false) => missing(Kind::Network, "Landlock did not refuse a foreign port"),
                Err(error) => missing(Kind::Network, error.to_string()),
            };
        }
        let confinement = Confinement {
            network: self.network(true),
            ..Confinement::default()
        };
        match refuses(confinement, Attempt::ReachLoopback) {
            Ok(true) => {
                self.network = true;
                present(Kind::Network, layers::NO_INTERFACES)
            }
            Ok(false) => missing(Kind::Network, "its namespace reaches the machine"),
            Err(error) => missing(Kind::Network, error.to_string()),
        }
    }

    fn try_calls(&mut self, transport: Transport) -> Layer {
        let tried = || {
            let mut bytes = [0; 24];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let mut secret = [0; 3];
            for (word, bytes) in secret.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = bytes
                    .iter()
                    .fold(0, |word, byte| word << 8 | u64::from(*byte));
            }
            let filters = Filters::compile(use_of(transport), secret)?;
            let confinement = Confinement {
                filters: filters.0.clone(),
                ..Confinement::default()
            };
            Ok((secret, filters, refuses(confinement, Attempt::OpenSocket)?))
        };
        match tried() {
            Ok((secret, filters, true)) => {
                (self.secret, self.filters) = (secret, filters);
                present(Kind::Calls, layers::FILTERED)
            }
            Ok((_, _, false)) => missing(Kind::Calls, "seccomp did not refuse a socket"),
            Err::<_, io::Error>(error) => missing(Kind::Calls, error.to_string()),
        }
    }

    /// A sandbox with rules for an instance that does not exist.
    fn with_rules(&self, root: &Path, transport: Transport) -> io::Result<Confinement> {
        let layout = Layout::new(root.join("0")).map_err(io::Error::other)?;
        // any port but 0, on which the trial listens
        let ports = Ports {
            own: (transport == Transport::Tcp).then_some(1),
            upstream: None,
        };
        let image = self.image.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(Confinement {
            rules: files::ruleset(&layout, image, ports, None)?,
            ..Confinement::default()
        })
    }
}
