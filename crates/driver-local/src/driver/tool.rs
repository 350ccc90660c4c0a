//! Copies of servers that write too much to stand still for one: by `mariadb-backup`, while they run on.
//!
//! The program runs as the server's user, in a sandbox of its own, and talks to the server through this process
//! ([`relay`]). A freeze or a stop of the server ends it; then the files can be copied as ever. So does the end of Dormouse.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{
    DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, lchown,
};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::SystemTime;

use dormouse_driver::{Check, Copied, CopyOptions, Error};
use dormouse_engine::admin::relay::{Stages, relay};
use dormouse_engine::backup_tool::{BackupTool, Failure, NoBackupTool, failure, file_options};
use dormouse_engine::{Installation, Layout, Owner, history};
use dormouse_snapshot::{Copy, Stop};
use dormouse_types::{Bytes, Endpoint, InstanceId};
use rustix::process::Signal;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::calm::Calm;
use super::copy::{failed, publish};
use super::instance::{ChangeLock, Instance};
use super::{Shared, blocking, files, key_error, logs};
use crate::key_pipe::KeyPipe;
use crate::process::Handle;
use crate::spawn::{Helper, start_helper};

/// Size of the redo log meanwhile: the program must read all of it before it is written anew.
const LOG: Bytes = Bytes::mib(256);

/// How often the program reads the redo log, in milliseconds.
const LOG_INTERVAL: u32 = 50;

/// Memory in which the program applies the redo log.
const MEMORY: Bytes = Bytes::mib(128);

/// Most of the program's output that is looked at.
const OUTPUT: u64 = 64 << 10;

/// Files of the data directory that the program leaves out, and a server's next start looks at.
const LEFT_OUT: [&str; 3] = [
    "data/mysql_upgrade_info",
    "data/mariadb_upgrade_info",
    "data/ib_buffer_pool",
];

/// What the program leaves in the copy for people and for its own next steps.
const ITS_OWN: [&str; 3] = ["xtrabackup_", "mariadb_backup_", "backup-my.cnf"];

/// A copy that is being made.
struct Job {
    shared: Arc<Shared>,
    from: InstanceId,
    to: InstanceId,
    source: Layout,
    target: Layout,
    tool: BackupTool,
    /// The server that it copies from.
    installation: Installation,
    options: CopyOptions,
}

/// The program for the files of this instance, or why there is none.
pub(super) async fn find(
    shared: &Shared,
    id: InstanceId,
    disk: &ChangeLock,
) -> Result<Result<BackupTool, NoBackupTool>, Error> {
    let layout = shared.layout(id)?;
    let installation = shared.servers.of(id, &layout)?.installation.clone();
    blocking(disk, move || Ok(BackupTool::find(&installation))).await
}

/// Copies the files of a server that runs; `None` if it no longer does, or is about to be frozen or stopped.
pub(super) async fn copy(
    shared: &Arc<Shared>,
    (from, to): (InstanceId, InstanceId),
    instance: &Instance,
    disk: &ChangeLock,
    (options, calm): (CopyOptions, Option<&mut Calm>),
) -> Result<Option<Copied>, Error> {
    let source = shared.layout(from)?;
    let installation = shared.servers.of(from, &source)?.installation.clone();
    let tool = find(shared, from, disk).await?;
    let tool = tool.map_err(|none| busy(from, options, none.to_string()))?;
    let job = Arc::new(Job {
        source,
        installation,
        target: shared.layout(to)?,
        shared: Arc::clone(shared),
        from,
        to,
        tool,
        options,
    });
    let interrupted = instance.interrupted();
    tokio::pin!(interrupted);
    interrupted.as_mut().enable();
    let running = instance.process();
    let Some(running) = running.filter(|running| !running.is_frozen().unwrap_or(false)) else {
        return Ok(None);
    };
    let endpoint = running.endpoint().clone();
    let begin = {
        let job = Arc::clone(&job);
        move || job.begin().map_err(|e| job.machine(e))
    };
    blocking(disk, begin).await?;
    let stages = Arc::new(Stages::default());
    if let Some(calm) = calm {
        calm.enlarge_log(&job.source, LOG).await;
    }
    let backup = {
        let accept = serve(&job, &endpoint, &stages)?;
        let run = job.run(job.backup(), Some(accept));
        tokio::select! {
            ended = run => Some(ended),
            // dropping it has killed the program
            () = &mut interrupted => None,
        }
    };
    let Some(backup) = backup else {
        return Ok(None);
    };
    job.outcome(backup?, &stages)?;
    let prepared = job.run(job.prepare()?, None).await?;
    job.outcome(prepared, &stages)?;
    let finish = move || job.finish();
    let size = blocking(disk, finish).await?;
    let copied = Copied {
        size,
        frozen: stages.stopped(),
        shared: false,
    };
    info!(instance = %to, %from, ?copied, "copied by mariadb-backup while the server ran on");
    Ok(Some(copied))
}

/// An option with a path.
fn path(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

fn busy(id: InstanceId, options: CopyOptions, reason: String) -> Error {
    Error::Busy {
        id,
        limit: options.frozen_at_most,
        reason,
    }
}

/// Who may connect to the server through this process, and to which.
struct Accept {
    listener: UnixListener,
    endpoint: Endpoint,
    stages: Arc<Stages>,
}

fn serve(job: &Job, endpoint: &Endpoint, stages: &Arc<Stages>) -> Result<Accept, Error> {
    let socket = job.socket();
    let bind = || {
        let listener = UnixListener::bind(&socket)?;
        // who connects is known by its process
        fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
        Ok(listener)
    };
    Ok(Accept {
        listener: bind().map_err(|e| job.machine(e))?,
        endpoint: endpoint.clone(),
        stages: Arc::clone(stages),
    })
}

/// A process that is killed when this is dropped.
struct Kill(Handle);

impl Drop for Kill {
    fn drop(&mut self) {
        if let Err(error) = self.0.signal(Signal::KILL) {
            warn!(%error, "cannot kill a program that copies");
        }
    }
}

impl Job {
    fn machine(&self, source: io::Error) -> Error {
        Error::Machine {
            doing: format!(
                "copying instance {} to {} with {}",
                self.from,
                self.to,
                self.tool.program.display()
            ),
            source,
        }
    }

    fn root(&self) -> PathBuf {
        self.target.unfinished()
    }

    fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Has the shortest of names, since paths of sockets are short.
    fn socket(&self) -> PathBuf {
        self.root().join("s")
    }

    fn output(&self) -> PathBuf {
        self.root().join("output")
    }

    /// The user of the server whose files are read.
    fn owner(&self) -> Option<Owner> {
        self.shared.owners.of(self.from)
    }

    /// Makes the directories: the program's user may write in one of them.
    fn begin(&self) -> io::Result<()> {
        let (root, data) = (self.root(), self.data());
        files::if_there(fs::remove_dir_all(&root))?;
        files::make_root(&root)?;
        DirBuilder::new().mode(0o700).create(&data)?;
        if let Some(Owner { uid, gid }) = self.owner() {
            fs::set_permissions(&root, Permissions::from_mode(0o711))?;
            chown(&data, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn backup(&self) -> Vec<OsString> {
        vec![
            "--no-defaults".into(),
            "--backup".into(),
            path("--target-dir=", &self.data()),
            path("--datadir=", &self.source.data()),
            path("--tmpdir=", &self.data()),
            path("--socket=", &self.socket()),
            "--user=dormouse".into(),
            // the other end of the socket is this process
            "--skip-ssl".into(),
            "--skip-innodb-use-native-aio".into(),
            format!("--log-copy-interval={LOG_INTERVAL}").into(),
        ]
    }

    fn prepare(&self) -> Result<Vec<OsString>, Error> {
        let mut arguments: Vec<OsString> = vec![
            "--no-defaults".into(),
            "--prepare".into(),
            path("--target-dir=", &self.data()),
            path("--tmpdir=", &self.data()),
            "--skip-innodb-use-native-aio".into(),
            format!("--use-memory={}", MEMORY.0).into(),
        ];
        arguments.extend(file_options().map(OsString::from));
        // where the server has its plugins is not noted in the copy
        let plugins = self.shared.config.keys.plugins_of(&self.installation);
        let plugins = plugins.map_err(|error| key_error(self.from, error))?;
        arguments.extend(plugins.map(|dir| path("--plugin-dir=", &dir)));
        Ok(arguments)
    }

    /// Runs the program to its end, and its connections to the server. Dropping this kills it.
    async fn run(
        self: &Arc<Self>,
        arguments: Vec<OsString>,
        accept: Option<Accept>,
    ) -> Result<ExitStatus, Error> {
        let (tell, told) = oneshot::channel();
        let job = Arc::clone(self);
        // the program ends with the thread that starts it: this one waits for it
        let run = tokio::task::spawn_blocking(move || {
            let mut child = job.start(arguments)?;
            if tell.send(child.id()).is_err() {
                child.kill().map_err(|e| job.machine(e))?;
            }
            child.wait().map_err(|e| job.machine(e))
        });
        let lost = |source: tokio::task::JoinError| self.machine(source.into());
        let Ok(pid) = told.await else {
            return run.await.map_err(lost)?;
        };
        // not if it has ended already
        let kill = Handle::of_pid(pid).ok().map(Kill);
        let mut relays = JoinSet::new();
        tokio::pin!(run);
        let Some(accept) = accept else {
            let status = run.await.map_err(lost)?;
            drop(kill);
            return status;
        };
        let status = loop {
            tokio::select! {
                ended = &mut run => break ended.map_err(lost)?,
                Ok((stream, _)) = accept.listener.accept() => {
                    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    if peer != i32::try_from(pid).ok() {
                        continue;
                    }
                    let (job, endpoint) = (Arc::clone(self), accept.endpoint.clone());
                    let stages = Arc::clone(&accept.stages);
                    relays.spawn(async move {
                        let secret = &job.shared.config.secret;
                        let served = relay(stream, &endpoint, secret, job.from, &stages).await;
                        if let Err(error) = served {
                            warn!(instance = %job.from, %error, "a connection of a copy ended");
                        }
                    });
                }
            }
        };
        drop(kill);
        status
    }

    fn start(&self, arguments: Vec<OsString>) -> Result<Child, Error> {
        let keys = self
            .shared
            .config
            .keys
            .for_start(self.from, &self.installation);
        let keys = keys.map_err(|error| key_error(self.from, error))?;
        let start = || {
            let plugins = keys.as_ref().map(|keys| keys.plugin_dir.clone());
            let server = self
                .shared
                .servers
                .of(self.from, &self.source)
                .map_err(io::Error::other)?;
            let confinement = server.sandbox.helper(
                &self.tool.program,
                &self.installation,
                &arguments,
                (&self.source.data(), &self.data()),
                plugins.as_deref(),
            )?;
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            start_helper(Helper {
                program: &self.tool.program,
                arguments: arguments.clone(),
                owner: self.owner(),
                keys: keys.map(KeyPipe::new).transpose()?,
                confinement,
                log: options.open(self.output())?,
            })
        };
        start().map_err(|e| self.machine(e))
    }

    /// What a run of the program came to.
    fn outcome(&self, status: ExitStatus, stages: &Stages) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        let output = tail(&self.output()).unwrap_or_default();
        debug!(instance = %self.from, %status, output, "mariadb-backup failed");
        let why = match failure(&output) {
            _ if stages.was_late() => {
                "a statement of a minute or more, such as ALTER TABLE, kept mariadb-backup from its lock; try again \
                 when it has ended"
                    .to_owned()
            }
            Failure::Overrun => format!(
                "it wrote its redo log of {LOG} anew before mariadb-backup had read it; try again when it writes less"
            ),
            Failure::Damaged { file, page } => {
                return Err(Error::Damaged {
                    id: self.from,
                    file: format!("data/{file}"),
                    page,
                    pages: 1,
                });
            }
            Failure::Other(why) => format!("mariadb-backup ended with {status}: {why}"),
        };
        Err(busy(self.from, self.options, why))
    }

    /// Makes of the program's files a copy like any other, and gives it its name. Returns its size.
    fn finish(&self) -> Result<Bytes, Error> {
        let machine = |e| self.machine(e);
        let (root, data) = (self.root(), self.data());
        files::if_there(fs::remove_file(self.socket())).map_err(machine)?;
        fs::remove_file(self.output()).map_err(machine)?;
        seize(&data, self.owner().is_some()).map_err(machine)?;
        let place = self.place().map_err(machine)?;
        for name in its_own(&data).map_err(machine)? {
            fs::remove_file(data.join(name)).map_err(machine)?;
        }
        let limit = self.options.frozen_at_most;
        let failed = |e| failed(self.from, limit, e);
        let mut rest = Copy::new(self.source.root(), &root, false).map_err(failed)?;
        rest.pass(&skips, Stop::default()).map_err(failed)?;
        if let Some((file, position)) = place {
            logs::cut(&self.source, &root, &file, position).map_err(machine)?;
        }
        // two copies of a file that differ have different times: this is a time of no tick of the clock of file times
        let now = SystemTime::now();
        set_times(&data, now).map_err(machine)?;
        if self.options.check == Check::Pages {
            dormouse_snapshot::check(&root).map_err(failed)?;
        }
        fs::set_permissions(&root, Permissions::from_mode(0o700)).map_err(machine)?;
        let size = files::size(&root).map_err(machine)?;
        publish(&self.shared, self.from, self.to, rest, &self.target)?;
        Ok(Bytes(size))
    }

    /// Where the copy stands in the binary log; `None` without one.
    fn place(&self) -> io::Result<Option<(String, u64)>> {
        if history::base(self.source.root())?.is_none() {
            return Ok(None);
        }
        let data = self.data();
        let names = ["mariadb_backup_binlog_info", "xtrabackup_binlog_info"];
        let Some(path) = names
            .iter()
            .map(|name| data.join(name))
            .find(|p| p.is_file())
        else {
            return Err(io::Error::other(
                "mariadb-backup told no place in the binary log",
            ));
        };
        let text = fs::read_to_string(path)?;
        let mut words = text.split_ascii_whitespace();
        let place = (|| Some((words.next()?.to_owned(), words.next()?.parse().ok()?)))();
        let place = place.ok_or_else(|| {
            io::Error::other("mariadb-backup told a place in the binary log that cannot be read")
        });
        place.map(Some)
    }
}

/// The end of the program's output.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(OUTPUT)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Takes the files from the program's user, whose server may have been taken over, and removes what is no plain file. From
/// top to bottom: nothing that was looked at can be replaced.
fn seize(dir: &Path, foreign: bool) -> io::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if foreign {
        lchown(dir, Some(me), None)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            seize(&entry.path(), foreign)?;
        } else if !kind.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn its_own(data: &Path) -> io::Result<Vec<OsString>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        let text = name.to_str().unwrap_or_default();
        if ITS_OWN.iter().any(|its| text.starts_with(its)) {
            found.push(name);
        }
    }
    Ok(found)
}

fn set_times(dir: &Path, time: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_times(&entry.path(), time)?;
        } else if kind.is_file() {
            File::open(entry.path())?.set_modified(time)?;
        }
    }
    Ok(())
}

/// What is copied as the program does, or not at all.
fn skips(path: &Path) -> bool {
    let text = path.to_str().unwrap_or_default();
    let data = path.starts_with("data") && text != "data" && !LEFT_OUT.contains(&text);
    data || path.starts_with(history::LOGS) || super::copy::skips(path)
}
