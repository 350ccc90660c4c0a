//! Files that a server may use: the Landlock rules. The single place where they are listed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dormouse_engine::Layout;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, Scope,
};

use super::image::Image;

/// The newest ABI whose rights are known here; an older kernel restricts what it can.
const KNOWN: ABI = ABI::V7;

/// Files and directories of the system, read only.
const SYSTEM: &[&str] = &[
    // libraries, plugins' libraries, locales, character sets of the C library
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    // the server's messages and character sets
    "/usr/share/mysql",
    "/usr/share/mariadb",
    // time zones
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // TLS
    "/etc/ssl/openssl.cnf",
    // number of CPUs and memory nodes
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/random",
    "/dev/urandom",
];

/// Devices that are also written.
const WRITABLE_DEVICES: &[&str] = &["/dev/null"];

/// Where block devices are listed; InnoDB looks for disks without rotation.
const BLOCK_DEVICES: &str = "/sys/block";

/// Files beside an instance's directory that its server reads at its start. A file must exist when the server
/// starts, and a file that replaces it later is not readable.
fn beside(layout: &Layout) -> [PathBuf; 4] {
    [
        layout.config(),
        layout.key(),
        layout.client_authority(),
        layout.maintenance(),
    ]
}

/// Rights to an instance's own directory: all but to execute and to make devices, pipes and symbolic links.
fn own() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// TCP ports of the machine that a server may use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    /// On which it listens.
    pub(crate) own: Option<u16>,
    /// To which it connects, to follow another server.
    pub(crate) upstream: Option<u16>,
}

/// Builds the rules for a server; `plugins` is its own directory of plugins. Returns the ruleset's
/// descriptor; `None` if the kernel has no Landlock.
pub(crate) fn ruleset(
    layout: &Layout,
    image: &Image,
    ports: Ports,
    plugins: Option<&Path>,
) -> io::Result<Option<OwnedFd>> {
    let mut rules = Rules::new(ports).map_err(io::Error::other)?;
    rules.add(layout.root(), own())?;
    for path in beside(layout) {
        rules.add(&path, read())?;
    }
    shared(&mut rules, layout.root(), image, plugins)?;
    Ok(rules.0.into())
}

/// The rules for a program that reads the directory `from` and writes `to`.
pub(crate) fn helper(
    from: &Path,
    to: &Path,
    image: &Image,
    plugins: Option<&Path>,
) -> io::Result<Option<OwnedFd>> {
    let mut rules = Rules::new(Ports::default()).map_err(io::Error::other)?;
    rules.add(from, read())?;
    rules.add(to, own())?;
    shared(&mut rules, to, image, plugins)?;
    Ok(rules.0.into())
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// What any program of the server needs, with its files on the disk of `on`.
fn shared(rules: &mut Rules, on: &Path, image: &Image, plugins: Option<&Path>) -> io::Result<()> {
    let read = read();
    for path in SYSTEM {
        rules.add(Path::new(path), read)?;
    }
    for path in image
        .directories
        .iter()
        .map(PathBuf::as_path)
        .chain(plugins)
    {
        rules.add(path, read)?;
    }
    for path in &image.files {
        rules.add(path, read | AccessFs::Execute)?;
    }
    for path in WRITABLE_DEVICES {
        rules.add(Path::new(path), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    rules.add(Path::new(BLOCK_DEVICES), AccessFs::ReadDir.into())?;
    if let Some(device) = block_device(on) {
        rules.add(&device.join("dev"), read)?;
        rules.add(&device.join("queue"), read)?;
    }
    Ok(())
}

struct Rules(RulesetCreated);

impl Rules {
    fn new(Ports { own, upstream }: Ports) -> Result<Self, landlock::RulesetError> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        for (port, access) in [(own, AccessNet::BindTcp), (upstream, AccessNet::ConnectTcp)] {
            if let Some(port) = port {
                ruleset = ruleset.add_rule(NetPort::new(port, access))?;
            }
        }
        Ok(Self(ruleset))
    }

    /// Adds a path; one that does not exist is left out.
    fn add(&mut self, path: &Path, access: BitFlags<AccessFs>) -> io::Result<()> {
        let Ok(file) = PathFd::new(path) else {
            return Ok(());
        };
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(KNOWN)
        };
        let add = |rules: &mut RulesetCreated| -> Result<(), landlock::RulesetError> {
            rules.add_rule(PathBeneath::new(file, access)).map(drop)
        };
        add(&mut self.0).map_err(io::Error::other)
    }
}

/// Directory in `/sys` of the disk that holds a path; `None` if it is on none.
fn block_device(path: &Path) -> Option<PathBuf> {
    let dev = std::fs::metadata(path).ok()?.dev();
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    let device = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    // a partition is a directory in that of its disk
    let disk = if device.join("partition").exists() {
        device.parent()?.to_owned()
    } else {
        device
    };
    Some(disk)
}
