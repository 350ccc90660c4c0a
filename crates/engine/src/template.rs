//! Template: a data directory that every new instance gets a copy of.
//!
//! Accounts of a new instance: `dormouse`@`localhost` for Dormouse, with a password derived from the
//! installation's [`Secret`]; `admin`@`%` for the database's owner, with the rights of [`rights`], locked until its
//! password is set; and `mariadb.sys`, the server's own, locked. No anonymous account, no `root`, no schema `test`, no
//! right for everybody (`PUBLIC`).

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dormouse_wire::auth::native;

use crate::error::doing;
use crate::installation::basedir_option;
use crate::{
    EngineError, Installation, Layout, Secret, Version, attach, config, error_log, rights,
};

/// Version of a template's content, part of its name: increase it when the content changes.
const FORMAT: u32 = 3;

/// The user and group that own an instance's files and run its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// A complete template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    path: PathBuf,
}

impl Template {
    /// Finds the template for this server and secret under `dir`, or creates it (about 0.7 s). Blocks.
    ///
    /// # Errors
    /// The installer or a file operation failed; incomplete files do not prevent the next attempt.
    pub fn ensure(
        installation: &Installation,
        dir: &Path,
        secret: &Secret,
    ) -> Result<Self, EngineError> {
        let path = dir.join(name(installation, secret));
        if !path.is_dir() {
            private_dir(dir).map_err(doing(format!("making {}", dir.display())))?;
            let mut work = path.clone().into_os_string();
            work.push(".tmp");
            let work = PathBuf::from(work);
            remove_if_there(&work)?;
            let made = make(installation, &work, secret).and_then(|data| publish(&data, &path));
            let removed = remove_if_there(&work);
            made.and(removed)?;
        }
        Ok(Self { path })
    }

    /// Path of the template.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the template to an instance's directory, unless that exists; atomic and durable. Shares blocks
    /// on file systems that can. Blocks.
    ///
    /// # Errors
    /// A file operation failed, for instance because the disk is full.
    pub fn instantiate(&self, layout: &Layout, owner: Option<Owner>) -> Result<(), EngineError> {
        if layout.root().is_dir() {
            return Ok(());
        }
        let unfinished = layout.unfinished();
        remove_if_there(&unfinished)?;
        let made = self.fill(&unfinished, owner);
        let made = made.map_err(doing(format!(
            "copying the template to {}",
            unfinished.display()
        )));
        if made.is_err() {
            // frees space on a full disk; the next attempt removes what is left
            let _ = fs::remove_dir_all(&unfinished);
        }
        made?;
        publish(&unfinished, layout.root())
    }

    fn fill(&self, to: &Path, owner: Option<Owner>) -> io::Result<()> {
        private_dir(to)?;
        for name in ["tmp", "files"] {
            private_dir(&to.join(name))?;
        }
        copy_tree(&self.path, &to.join("data"))?;
        if let Some(owner) = owner {
            give(to, owner)?;
        }
        Ok(())
    }
}

/// A template's name. Depends on the secret, since the account table has its hash.
fn name(installation: &Installation, secret: &Secret) -> String {
    let secret = secret.admin_hash();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-+.".contains(c);
    let version = &installation.version.full;
    format!(
        "{}-f{FORMAT}-{}",
        version.replace(|c| !plain(c), "_"),
        secret[1..9].to_ascii_lowercase()
    )
}

/// Creates a data directory in `work` and returns its path.
fn make(installation: &Installation, work: &Path, secret: &Secret) -> Result<PathBuf, EngineError> {
    let (data, tmp, sql) = (
        work.join("data"),
        work.join("tmp"),
        work.join("accounts.sql"),
    );
    let prepare = || {
        private_dir(&tmp)?;
        fs::write(&sql, accounts_sql(secret, &installation.version))
    };
    prepare().map_err(doing(format!("writing to {}", work.display())))?;
    run_installer(installation, &data, &tmp, &sql)?;
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(&data, closed).map_err(doing(format!("closing {}", data.display())))?;
    Ok(data)
}

/// Runs `mariadb-install-db`, with its own directory for temporary files: a server that starts elsewhere
/// removes those of others from `/tmp`.
fn run_installer(
    installation: &Installation,
    to: &Path,
    tmp: &Path,
    sql: &Path,
) -> Result<(), EngineError> {
    let program = &installation.install_db;
    let option = |name: &str, path: &Path| {
        let mut option = std::ffi::OsString::from(name);
        option.push(path);
        option
    };
    let mut command = Command::new(program);
    command
        .arg("--no-defaults")
        .args(basedir_option(installation.basedir.as_deref()));
    command
        .arg(option("--datadir=", to))
        .arg(option("--tmpdir=", tmp))
        .arg(option("--extra-file=", sql));
    command.args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    command.args(
        config::FILES
            .iter()
            .map(|(name, value)| format!("--{name}={value}")),
    );
    if rustix::process::geteuid().is_root() {
        // the server refuses to run as root without this; here it only writes private files
        command.arg("--user=root");
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(doing(format!("running {}", program.display())))?;
    if output.status.success() && to.join("mysql").is_dir() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    Err(EngineError::Program {
        program: program.clone(),
        reason: error_log::reason(&said),
    })
}

/// SQL that replaces the installer's accounts and their rights by those of a new instance.
fn accounts_sql(secret: &Secret, version: &Version) -> String {
    let hash = native::to_text(&native::stage2(&secret.admin_stage1()));
    let mut statements = vec![
        "DELETE FROM mysql.global_priv".to_owned(),
        "DELETE FROM mysql.db".to_owned(),
        "DELETE FROM mysql.tables_priv".to_owned(),
        "DELETE FROM mysql.proxies_priv".to_owned(),
        format!(
            "INSERT INTO mysql.global_priv VALUES ('localhost', 'mariadb.sys', '{}'), \
             ('localhost', 'dormouse', '{}'), ('%', 'admin', '{}')",
            rights::server_json(),
            rights::platform_json(&hash),
            rights::owner_json()
        ),
    ];
    statements.extend(rights::all_schemas("'admin'", "'%'", Some(version)));
    statements.push(rights::readable("'admin'", "'%'"));
    statements.push(rights::SERVER_READS.to_owned());
    statements.push(rights::user_view());
    statements.extend(attach::statements());
    statements.iter().map(|s| format!("{s};\n")).collect()
}

/// Makes a directory durable, then renames it to its final path.
fn publish(unfinished: &Path, path: &Path) -> Result<(), EngineError> {
    let publish = || -> io::Result<()> {
        rustix::fs::syncfs(File::open(unfinished)?)?;
        fs::rename(unfinished, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    publish().map_err(doing(format!(
        "renaming a finished directory to {}",
        path.display()
    )))
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn remove_if_there(path: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(doing(format!("removing {}", path.display()))(e))
        }
        _ => Ok(()),
    }
}

/// Copies directories and plain files; a template has nothing else. `fs::copy` shares blocks where the
/// file system can.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    private_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Changes the owner of a tree, leaves first, so that the new owner cannot change it meanwhile.
///
/// # Errors
/// The system refused it.
pub fn give(path: &Path, owner: Owner) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give(&entry.path(), owner)?;
        } else {
            lchown(entry.path(), Some(owner.uid), Some(owner.gid))?;
        }
    }
    chown(path, Some(owner.uid), Some(owner.gid))
}
