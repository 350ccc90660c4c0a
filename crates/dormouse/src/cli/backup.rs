//! The command line of `dormouse backup`, `restore` and `recover`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dormouse_types::DatabaseName;

/// The commands of `backup`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Create the repository that the configuration names
    #[command(after_help = "\
The configuration has, for instance:
  [backup]
  repository = \"/srv/backups/dormouse\"
  key_file = \"/etc/dormouse/backup.key\"

Keep a copy of the key elsewhere: without it no backup can be read.

Example:
  openssl rand -base64 32 > /etc/dormouse/backup.key && chmod 600 /etc/dormouse/backup.key
  dormouse backup init")]
    Init,
    /// Back databases up now
    #[command(after_help = "\
Nothing is woken. A database that is awake stands still for a moment, as for a branch. One that
has slept since its last backup is not stored again, unless --always is given.

Examples:
  dormouse backup now shop
  dormouse backup now --all")]
    Now(BackupNowArgs),
    /// List the backups
    #[command(
        after_help = "Examples:\n  dormouse backup ls\n  dormouse backup ls shop --json | jq -r '.[-1].id'"
    )]
    Ls(BackupLsArgs),
    /// Restore backups for a test, and check the repository
    #[command(after_help = "\
The newest backup of each database, or the one named, is restored into an instance of its own,
whose server checks every table; then it is removed. [backup] verify does the same on a schedule.
--data also reads so much of the repository's data, and compares it with its checksums.

Examples:
  dormouse backup verify shop
  dormouse backup verify --all --data 100")]
    Verify(BackupVerifyArgs),
    /// Forget the backups that no rule keeps, and remove data that no backup needs
    #[command(after_help = "\
The setting backup_keep of each database says which are kept. Data is first marked, and removed by
a prune a day later, so that backups may be made meanwhile; --at-once removes it now. [backup]
prune does the same on a schedule.

Example:
  dormouse backup prune")]
    Prune(BackupPruneArgs),
    /// List, add and remove keys of the repository
    #[command(subcommand)]
    Key(BackupKeyCommand),
}

/// `backup now`
#[derive(Debug, Args)]
pub(crate) struct BackupNowArgs {
    /// Names of the databases
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<DatabaseName>,

    /// Back all databases up
    #[arg(long)]
    pub(crate) all: bool,

    /// Also those that have slept since their last backup
    #[arg(long)]
    pub(crate) always: bool,
}

/// `backup ls`
#[derive(Debug, Args)]
pub(crate) struct BackupLsArgs {
    /// Name of the database, which may have been dropped
    pub(crate) name: Option<DatabaseName>,
}

/// `backup verify`
#[derive(Debug, Args)]
pub(crate) struct BackupVerifyArgs {
    /// Name of the database
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<DatabaseName>,

    /// The newest backup of each database
    #[arg(long)]
    pub(crate) all: bool,

    /// The backup with this id, or its beginning [default: the newest]
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub(crate) backup: Option<String>,

    /// Read this share of the repository's data, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) data: Option<u8>,
}

/// `backup prune`
#[derive(Debug, Args)]
pub(crate) struct BackupPruneArgs {
    /// Remove data now, not a day later; refused while anything else uses the repository
    #[arg(long)]
    pub(crate) at_once: bool,
}

/// The commands of `backup key`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupKeyCommand {
    /// List the keys, by id
    Ls,
    /// Add a key, which opens the repository too
    #[command(
        after_help = "Example:\n  dormouse backup key add --file new.key --note 'safe in the office'"
    )]
    Add(BackupKeyAddArgs),
    /// Remove a key
    #[command(after_help = "\
To replace a key: add a new one, name it in the configuration, restart, and remove the old one.
What the old one has opened can still be read by whoever kept a copy of the repository.

Example:
  dormouse backup key rm 1a2b3c4d")]
    Rm(BackupKeyRmArgs),
}

/// `backup key add`
#[derive(Debug, Args)]
pub(crate) struct BackupKeyAddArgs {
    /// File with the new key
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// What it is for
    #[arg(long, default_value = "")]
    pub(crate) note: String,
}

/// `backup key rm`
#[derive(Debug, Args)]
pub(crate) struct BackupKeyRmArgs {
    /// Id of the key, or its beginning
    pub(crate) id: String,
}

/// `restore`
#[derive(Debug, Args)]
#[command(after_help = "\
With --as, the backup becomes a new database. Without it, it takes the place of the database:
connections end, and the database as it was is kept as NAME-before-DATE-TIME until you drop it. The
passwords are those of the moment of the backup. A database that was dropped comes back under its
name.

With a history (`dormouse set shop --history true`) a database can be restored to any second, or to
just before a transaction that `dormouse history` has found. A time without an offset is in the
configuration's time_zone.

Examples:
  dormouse backup ls shop
  dormouse restore shop --as shop-yesterday --backup 1a2b3c4d
  dormouse restore shop
  dormouse restore shop --at '2026-11-28 14:03:07' --as shop-then
  dormouse restore shop --before 0-8-4711")]
pub(crate) struct RestoreArgs {
    /// The database that was backed up
    pub(crate) name: DatabaseName,

    /// The backup with this id, or its beginning [default: the newest]
    #[arg(long, value_name = "ID")]
    pub(crate) backup: Option<String>,

    /// This moment of its history: everything that was committed before
    #[arg(long, value_name = "TIME", conflicts_with = "backup")]
    pub(crate) at: Option<String>,

    /// Just before this transaction of its history
    #[arg(long, value_name = "GTID", conflicts_with_all = ["backup", "at"])]
    pub(crate) before: Option<String>,

    /// Name of a new database
    #[arg(long = "as", value_name = "NEW")]
    pub(crate) into: Option<DatabaseName>,

    /// Do not ask before a database is replaced
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `history`
#[derive(Debug, Args)]
#[command(after_help = "\
The times to which a database can be restored, from the logs and backups in the repository; nothing
is woken. --grep lists the transactions in whose statements or tables a regular expression is found,
whatever the case, with the command that restores what was before each.

Examples:
  dormouse history shop
  dormouse history shop --grep 'drop table'")]
pub(crate) struct HistoryArgs {
    /// The database
    pub(crate) name: DatabaseName,

    /// List the transactions in which this regular expression is found
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
}

/// `recover`
#[derive(Debug, Args)]
#[command(after_help = "\
For a machine that has lost everything but the repository and its key: restores every database
with its name, settings, accounts and passwords, and the tokens of the API, into an empty data
directory. Then start `dormouse up`. It may be repeated: databases that are there already are left
alone.

Encrypted databases need a master key in the configuration ([encryption]); it may be a new one.

Examples:
  dormouse recover --repository /srv/backups/dormouse --key-file backup.key
  dormouse recover --repository s3:https://s3.example.com/backups/dormouse \\
    --key-file backup.key --credentials-file s3.credentials
  dormouse recover --config /etc/dormouse/dormouse.toml")]
pub(crate) struct RecoverArgs {
    /// Where the repository stands [default: that of the configuration]
    #[arg(long, value_name = "PLACE", requires = "key_file")]
    pub(crate) repository: Option<String>,

    /// File with the repository's key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// File with the credentials of the place, which only its owner can read [default: the environment]
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials_file: Option<PathBuf>,

    /// What the kind of place needs besides, as `options` in the configuration; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    pub(crate) options: Vec<(String, String)>,

    /// Which installation, if several have used the repository; the error without it lists them
    #[arg(long, value_name = "ID")]
    pub(crate) installation: Option<String>,

    /// Configuration file
    #[arg(long, value_name = "FILE", env = "DORMOUSE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Level of the log on stderr: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: String,
}

fn option(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| "it is not of the form NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
