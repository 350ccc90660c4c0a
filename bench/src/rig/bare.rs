//! A plain server on TCP and a Unix socket, with the configuration of a Dormouse instance.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use dormouse_engine::{Installation, Layout, Owner, Secret, Template, buffer_pool, config};
use dormouse_testkit::Client;
use dormouse_types::Units;
use tempfile::TempDir;

use crate::cleanup;
use crate::server::{Recipe, Server};

/// The account of the load.
pub(crate) const USER: &str = "bench";
/// Its password.
pub(crate) const PASSWORD: &str = "a-bench-stands-in-the-garden";

/// User id of the server if this program runs as root; no convention assigns it, and Dormouse's
/// servers have larger ones.
const UID: u32 = 1_899_999_999;

/// The server and its files.
pub(super) struct Bare {
    pub(super) address: SocketAddr,
    layout: Layout,
    server: Server,
    _dir: TempDir,
}

impl Bare {
    pub(super) fn start(installation: &Installation) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("dmbare")
            .tempdir_in("/tmp")?;
        cleanup::remember(dir.path());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let secret = Secret::load_or_create(&dir.path().join("secret"))?;
        let template = Template::ensure(installation, &dir.path().join("templates"), &secret)?;
        let layout = Layout::new(dir.path().join("server"))?;
        let root = rustix::process::geteuid().is_root();
        let owner = root.then_some(Owner { uid: UID, gid: UID });
        template.instantiate(&layout, owner)?;

        let address = free_address()?;
        let accounts = dir.path().join("accounts.sql");
        fs::write(
            &accounts,
            format!(
                "CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {USER}@'%';\n"
            ),
        )?;
        fs::set_permissions(&accounts, fs::Permissions::from_mode(0o644))?;
        fs::write(
            layout.config(),
            configuration(installation, &layout, address, &accounts)?,
        )?;
        fs::set_permissions(layout.config(), fs::Permissions::from_mode(0o644))?;
        // a temporary key: the server runs only during the measurement, and its TLS is not used
        fs::write(layout.key(), dormouse_engine::tls::key_and_certificate()?)?;
        fs::set_permissions(layout.key(), fs::Permissions::from_mode(0o644))?;
        fs::copy(layout.key(), layout.client_authority())?;

        let recipe = Recipe {
            program: installation.mariadbd.clone(),
            arguments: vec![format!("--defaults-file={}", layout.config().display())],
            owner,
            socket: layout.socket(),
        };
        let (server, stream) = recipe.start()?;
        // its greeting shows that it is ready
        drop(Client::on(stream));
        Ok(Self {
            address,
            layout,
            server,
            _dir: dir,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.layout.socket()
    }
}

/// The configuration of an instance, with a TCP port and the maximum size of an instance.
fn configuration(
    installation: &Installation,
    layout: &Layout,
    address: SocketAddr,
    accounts: &std::path::Path,
) -> anyhow::Result<String> {
    let units = Units(u16::try_from(
        2 * std::thread::available_parallelism()?.get(),
    )?);
    let mut text = config::render(
        installation,
        layout,
        units,
        None,
        None,
        None,
        config::REDO_LOG,
    );
    // if an option is given twice, the last one counts
    text.push_str(&format!(
        "skip-networking=OFF\nbind-address={}\nport={}\ninnodb-buffer-pool-size={}\ninit-file=\"{}\"\n",
        address.ip(),
        address.port(),
        buffer_pool::awake(units).0,
        accounts.display()
    ));
    Ok(text)
}

/// A free address.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("taking a free port")?;
    Ok(listener.local_addr()?)
}
