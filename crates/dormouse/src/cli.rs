//! The command line and its help texts; every command's help has examples.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use dormouse_api::ErrorBody;
use dormouse_api::model::{By, Cap, EventQuery, SettingsPatch};
use dormouse_types::{
    Bytes, Carry, CommitDurability, Cron, DatabaseName, Delay, Keep, Money, Month, NamesOrOff,
    Networks, Pooling, Reads, ReplicaRange, Series, Timetable, UnitRange,
};

pub(crate) mod user;

use crate::Outcome;
use crate::values::{ClientSocket, Listen};

mod backup;
mod import;
mod keys;
mod place;
mod remote;
mod token;
mod wakes;

pub(crate) use backup::{
    BackupCommand, BackupKeyCommand, BackupVerifyArgs, HistoryArgs, RecoverArgs, RestoreArgs,
};
pub(crate) use import::{ExportArgs, ImportArgs};
pub(crate) use keys::{KeyArgs, KeyCommand, KeyRotateArgs};
pub(crate) use place::PlaceArgs;
pub(crate) use remote::Remote;
pub(crate) use token::TokenCommand;
pub(crate) use wakes::WakesArgs;

/// Serverless MariaDB that you run yourself.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, after_help = FIRST_STEPS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  dormouse up                      start the server, in the foreground; keep it running
  dormouse create shop             create a database; prints how to log in
  dormouse connect shop            open it in the mariadb client
  dormouse ls                      list databases and states; an idle one is suspended, then parked
  dormouse events shop --follow    show each change of state, its reason and duration
  dormouse wakes shop              show what woke it, how often, and what to change";

/// Heading of the options of every command.
const EVERYWHERE: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Data directory [default: /var/lib/dormouse for root, else ~/.local/share/dormouse]
    #[arg(long, global = true, value_name = "DIR", env = "DORMOUSE_DATA_DIR", help_heading = EVERYWHERE)]
    data_dir: Option<PathBuf>,

    /// Print JSON; an error is {"error": {"code", "message", "hint"}} on stderr
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl Global {
    /// The data directory as an absolute path.
    pub(crate) fn data_dir(&self) -> Outcome<PathBuf> {
        let given = self
            .data_dir
            .clone()
            .filter(|dir| !dir.as_os_str().is_empty());
        let dir = match given {
            Some(dir) => dir,
            None => default_data_dir()?,
        };
        std::path::absolute(&dir).map_err(|e| {
            ErrorBody::new(
                "machine",
                format!("cannot resolve the path {}: {e}", dir.display()),
            )
        })
    }
}

fn default_data_dir() -> Outcome<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/dormouse"));
    }
    let env = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let share = env("XDG_DATA_HOME").or_else(|| Some(env("HOME")?.join(".local/share")));
    share.map(|dir| dir.join("dormouse")).ok_or_else(|| {
        ErrorBody::new("invalid", "no data directory: $HOME is not set")
            .with_hint("name one with --data-dir DIR or DORMOUSE_DATA_DIR")
    })
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server: accept clients and run their databases
    Up(UpArgs),
    /// Check this machine: server, control groups, sandbox, disk, limits
    Doctor(DoctorArgs),
    /// Create a database and print how to log in
    Create(CreateArgs),
    /// Make a database that is a copy of another one at this moment
    Branch(BranchArgs),
    /// Bring a branch back to what its parent is now
    #[command(after_help = "\
Everything that has happened in the branch is lost, and its connections end. It keeps its name, its
settings and the time at which it is dropped. Asks for the branch's name unless --yes is given.

Example:
  dormouse reset shop-test --yes")]
    Reset(DropArgs),
    /// Move a database to another data directory while it serves
    Move(MoveArgs),
    /// Upgrade a database to a newer server while it serves
    Upgrade(UpgradeArgs),
    /// Change the settings of a database
    Set(SetArgs),
    /// List the databases
    #[command(after_help = "Examples:\n  dormouse ls\n  dormouse ls --json | jq -r '.[].name'")]
    Ls,
    /// Show all details of one database
    #[command(
        after_help = "Examples:\n  dormouse show shop\n  dormouse show shop --json | jq .state"
    )]
    Show(NameArgs),
    /// List a database's client sessions: state of each, and why it holds its backend
    #[command(after_help = "\
Examples:
  dormouse sessions shop
  dormouse sessions shop --json | jq '.[] | select(.doing == \"pinned\")'

Over SQL, for the client's own session: SHOW DORMOUSE SESSION")]
    Sessions(NameArgs),
    /// Show a database's connections to its server, with counters
    #[command(after_help = "Over SQL: SHOW DORMOUSE POOL, SHOW DORMOUSE STATUS")]
    Pool(NameArgs),
    /// Print metrics of all databases for Prometheus
    #[command(after_help = "\
Also GET /metrics on the API's socket. For the textfile collector of node_exporter:
  dormouse metrics > /var/lib/prometheus/node-exporter/dormouse.prom")]
    Metrics,
    /// Print the certificate with which clients can verify this Dormouse
    #[command(after_help = "\
The authority's certificate in the data directory signs the certificate that clients are shown:
  dormouse tls > dormouse-ca.pem
  mariadb --host db.example.org --ssl-ca=dormouse-ca.pem --ssl-verify-server-cert ...")]
    Tls,
    /// Show the use of the databases, and its cost
    Usage(UsageArgs),
    /// Show what woke a database, how often, and what to change
    Wakes(WakesArgs),
    /// Wake a database now
    #[command(after_help = "A statement for a database wakes it as well.")]
    Wake(NameArgs),
    /// Freeze a database's server now; it keeps everything and thaws within milliseconds
    #[command(after_help = "\
Refused while a statement is running; the error names its session. A statement runs until its client
has read the result. `dormouse park --force` ends such sessions.")]
    Suspend(NameArgs),
    /// Stop a database's server now; client connections stay open
    #[command(after_help = "\
Refused while a session has state that would be lost, such as an open transaction, and while
tables of the MEMORY engine have rows, which are lost when the server stops; the error names them.
Dormouse does not park such a database by itself either, it only suspends it. --force parks it and
loses the rows, but not the state of sessions that are between two statements; sessions whose
statements have not ended within 5 seconds are ended. `dormouse drop` checks none of this.

Examples:
  dormouse park shop
  dormouse park shop --force")]
    Park(ParkArgs),
    /// Make, list and check backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Bring a backup back, as a new database or in the place of one
    Restore(RestoreArgs),
    /// Show to which times a database can be restored, and find transactions
    History(HistoryArgs),
    /// Bring all databases back from the backup repository, on a machine that has none
    Recover(RecoverArgs),
    /// List and rotate the keys of encrypted databases, and encrypt databases
    Key(KeyArgs),
    /// Delete a database with all its data
    #[command(after_help = "\
Asks for confirmation. --yes skips the question; it is required without a terminal.

Examples:
  dormouse drop shop
  dormouse drop shop --yes")]
    Drop(DropArgs),
    /// Show the ledger: what happened to the databases, and why
    #[command(after_help = "\
Examples:
  dormouse events                  the newest 100
  dormouse events shop --limit 10
  dormouse events --follow         also print new events
  dormouse events --trace > t      the whole ledger, for `dormouse simulate --trace t`")]
    Events(EventsArgs),
    /// Add, list, rotate and remove tokens of the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Open a database in the mariadb client
    Connect(ConnectArgs),
    /// Bring a dump, or the data of another server, into a database
    Import(ImportArgs),
    /// Write a dump of a database
    Export(ExportArgs),
    /// Manage the users of a database from outside
    #[command(
        subcommand,
        after_help = "\
Examples:
  dormouse user add shop app --schema shop --role writer
  dormouse user ls shop
  dormouse user rotate shop app
  dormouse user drop shop app"
    )]
    User(user::UserCommand),
    /// Simulate a month of a fleet of databases, and compare the cost of other policies
    Simulate(SimulateArgs),
}

/// `up`
#[derive(Debug, Args)]
#[command(after_help = "\
Stop it with Ctrl-C or SIGTERM: client connections are closed at the end of their statement. The
database servers keep running, with the rows of their MEMORY tables; the next `dormouse up` adopts
them.

Examples:
  dormouse up
  dormouse up --listen 0.0.0.0:3306
  dormouse up --listen 127.0.0.1:0 --data-dir /tmp/try    any free port; prints it
  dormouse up --config /etc/dormouse.toml

Options override the environment, which overrides the configuration file, which overrides the
defaults.")]
pub(crate) struct UpArgs {
    /// TCP address for clients, IP:PORT; port 0 selects a free port; `off` for none
    /// [default: 127.0.0.1:3306]
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_LISTEN")]
    pub(crate) listen: Option<Listen>,

    /// Unix socket for clients [default: DATA_DIR/dormouse.sock]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_SOCKET")]
    pub(crate) socket: Option<ClientSocket>,

    /// Configuration file (TOML); docs/dormouse.example.toml has every key
    #[arg(long, value_name = "FILE", env = "DORMOUSE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Log level on stderr: error, warn, info, debug or trace, also per module
    #[arg(
        long,
        value_name = "LEVEL",
        env = "DORMOUSE_LOG",
        default_value = "info"
    )]
    pub(crate) log_level: String,
}

/// `doctor`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no running dormouse and changes nothing. The sandbox's layers of files, network and system
calls are each tried in a process of its own, by something that they must refuse. The exit code is 1
if a check failed; a warning is no failure.

Examples:
  dormouse doctor
  dormouse doctor --config /etc/dormouse.toml
  dormouse doctor --json | jq '.checks[] | select(.result != \"ok\")'")]
pub(crate) struct DoctorArgs {
    /// Configuration file (TOML) of `dormouse up`
    #[arg(long, value_name = "FILE", env = "DORMOUSE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// `create`
#[derive(Debug, Args)]
#[command(after_help = "\
The password is printed only now. It is saved in DATA_DIR/credentials/NAME, readable only by you,
for `dormouse connect`, unless --no-save is given. The server stores only a hash.

Examples:
  dormouse create shop
  dormouse create shop --idle-suspend 1m --idle-park 1h
  dormouse create shop --idle-park never --units 1..4
  dormouse create shop --in /disk2/dormouse --version 11.8
  dormouse create shop --json | jq -r .url")]
pub(crate) struct CreateArgs {
    /// Name of the new database: 1 to 63 of a-z, 0-9 and '-'
    pub(crate) name: DatabaseName,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    /// Do not save the password for `dormouse connect`
    #[arg(long)]
    pub(crate) no_save: bool,
}

/// `branch`
#[derive(Debug, Args)]
#[command(after_help = "\
The branch has the data, the accounts with their passwords, and the settings of its parent, and is
a database of its own: nothing that happens to one reaches the other. A parent that sleeps is not
woken; one that is awake stands still for a moment (snapshot.frozen_at_most), and none of its
statements fails. On btrfs and XFS a branch takes disk space only for what changes.

Examples:
  dormouse branch shop shop-test
  dormouse branch shop pr-1234 --ttl 7d
  dormouse branch shop shop-test --json | jq .frozen_ms")]
pub(crate) struct BranchArgs {
    /// The database to copy
    pub(crate) parent: DatabaseName,

    /// Name of the branch: 1 to 63 of a-z, 0-9 and '-'
    pub(crate) name: DatabaseName,

    /// Drop the branch after this long: 12h, 7d
    #[arg(long, value_name = "D")]
    pub(crate) ttl: Option<Delay>,

    /// What the parent had at this time, from its history: '2026-11-28 14:03:07', in the configured time zone
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

/// `move`
#[derive(Debug, Args)]
#[command(after_help = "\
A copy of the files follows the database until it has everything. Then statements wait for a moment,
the copy takes over, and sessions go on there. Sessions that cannot be carried (temporary tables,
locks), open transactions and statements that run put the switch off, for ten minutes at most; the
progress names them. A database that sleeps is not woken. If the database keeps no history, its
server is restarted first, so that it keeps a log for the copy.

Until the switch, the move can be cancelled, and nothing has changed if it fails.

Examples:
  dormouse move shop --to /disk2/dormouse
  dormouse move shop --to /disk2/dormouse --keep 1d
  dormouse move shop --cancel")]
pub(crate) struct MoveArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// The data directory to which it moves: the main one, or one of data_dirs in the configuration; without it, to new
    /// files in the same one
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,

    /// Keep the files from which it moves for this long: 12h, 7d
    #[arg(long, value_name = "D")]
    pub(crate) keep: Option<Delay>,

    /// Cancel the move that is under way
    #[arg(long, conflicts_with_all = ["keep", "to"])]
    pub(crate) cancel: bool,
}

/// `upgrade`
#[derive(Debug, Args)]
#[command(after_help = "\
A copy of the files is upgraded, and follows the database until it has everything; then it takes
over as for `dormouse move`. The old files are kept for a day, unless --keep says something else.
--check upgrades a copy, starts it, checks its tables and removes it; the database itself is not
changed.

Examples:
  dormouse upgrade shop --to 11.8 --check
  dormouse upgrade shop --to 11.8
  dormouse upgrade shop --cancel")]
pub(crate) struct UpgradeArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// The series of the server, one of the section servers of the configuration: 11.8
    #[arg(long, value_name = "VERSION", required_unless_present = "cancel")]
    pub(crate) to: Option<Series>,

    /// Only try it, on a copy
    #[arg(long)]
    pub(crate) check: bool,

    /// Keep the old files for this long: 0, 12h, 7d
    #[arg(long, value_name = "D", default_value = "1d", conflicts_with = "check")]
    pub(crate) keep: Delay,

    /// Cancel the upgrade that is under way
    #[arg(long, conflicts_with_all = ["check", "to"])]
    pub(crate) cancel: bool,
}

/// `set`
#[derive(Debug, Args)]
#[command(after_help = "\
Settings that are not given stay unchanged. Changes take effect at once, without a restart; a new
size within seconds.

Examples:
  dormouse set shop --units 1..4
  dormouse set shop --keep-awake 'mon-fri 08:00-18:00'
  dormouse set shop --storage-quota 20GiB --spend-limit 12.50
  dormouse set shop --spend-limit none")]
pub(crate) struct SetArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// Settings of a database.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Suspend after this long without a statement: 10s, 5m, 0, never
    #[arg(long, value_name = "D", allow_hyphen_values = true)]
    idle_suspend: Option<Delay>,

    /// Park after this long without a statement: 5m, 1h, 0, never
    #[arg(long, value_name = "D", allow_hyphen_values = true)]
    idle_park: Option<Delay>,

    /// Minimum and maximum compute units (half a CPU and 2 GiB each); the size follows the load
    #[arg(long, value_name = "MIN..MAX", allow_hyphen_values = true)]
    units: Option<UnitRange>,

    /// Whether sessions share backends: statement (shared), session (each keeps its own)
    #[arg(long, value_name = "KIND")]
    pooling: Option<Pooling>,

    /// Which state of sessions a park carries to the next server instead of being prevented by it:
    /// temporary_tables (small ones), user_locks (of GET_LOCK), both with a comma, or none
    #[arg(long, value_name = "WHAT")]
    carry: Option<Carry>,

    /// Hours in which it is awake, used or not: 'mon-fri 08:00-18:00', or never
    #[arg(long, value_name = "HOURS")]
    keep_awake: Option<Timetable>,

    /// Whether to wake it before the hours in which it was used on earlier days
    #[arg(long, value_name = "BOOL")]
    prewake: Option<bool>,

    /// Whether it keeps its history, for recovery to any point in time; a change restarts its server
    #[arg(long, value_name = "BOOL")]
    history: Option<bool>,

    /// Number of servers that follow it, 0 to 3, for reads and for the loss of its server, or a range (1..3) in which
    /// the number follows the load of statements that run on them: with --reads primary none do, and it stays at the
    /// fewest. A change from or to 0 restarts its server if it keeps no history
    #[arg(long, value_name = "N|N..M")]
    replicas: Option<ReplicaRange>,

    /// Where statements run that only read: primary, replica (if one is not behind), any
    #[arg(long, value_name = "WHERE")]
    reads: Option<Reads>,

    /// When a commit is acknowledged: local (it is on the primary's disk), replica (a replica has it, too)
    #[arg(long, value_name = "WHEN")]
    durability: Option<CommitDurability>,

    /// Maximum disk space of its files (20GiB), above which it is read-only; or none
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    storage_quota: Option<Cap<Bytes>>,

    /// Maximum cost in a calendar month (12.50), or none; the sections prices and spend of the
    /// configuration set the prices and the consequences
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    spend_limit: Option<Cap<Money>>,

    /// When backups are made: five fields of crontab(5), in the configured time zone ("0 3 * * *"), or never
    #[arg(long, value_name = "SCHEDULE")]
    backup: Option<Cron>,

    /// Which backups are kept: the newest (14), those younger than an age (90d), or both (14, 90d)
    #[arg(long, value_name = "WHICH")]
    backup_keep: Option<Keep>,

    /// Networks whose clients may connect (10.0.0.0/8,192.0.2.7), or none for all of them
    #[arg(long, value_name = "NETWORKS")]
    allow: Option<Networks>,

    /// Networks whose clients may not connect, even if --allow has them; or none
    #[arg(long, value_name = "NETWORKS")]
    deny: Option<Networks>,

    /// Schemas that a login may name before they exist, if its account may create them: a pattern as in
    /// LIKE ('app_%'), or off
    #[arg(long, value_name = "PATTERN")]
    on_demand_schemas: Option<NamesOrOff>,
}

impl From<SettingsArgs> for SettingsPatch {
    fn from(args: SettingsArgs) -> Self {
        let SettingsArgs {
            idle_suspend,
            idle_park,
            units,
            pooling,
            carry,
            keep_awake,
            prewake,
            history,
            replicas,
            reads,
            durability,
            storage_quota,
            spend_limit,
            backup,
            backup_keep,
            allow,
            deny,
            on_demand_schemas,
        } = args;
        Self {
            idle_suspend,
            idle_park,
            units,
            pooling,
            carry,
            keep_awake,
            prewake,
            history,
            replicas,
            reads,
            durability,
            storage_quota,
            spend_limit,
            backup,
            backup_keep,
            allow,
            deny,
            on_demand_schemas,
        }
    }
}

/// A command about one database.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,
}

/// `park`
#[derive(Debug, Args)]
pub(crate) struct ParkArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// Park although rows of MEMORY tables are lost; end sessions whose statements go on
    #[arg(long)]
    pub(crate) force: bool,
}

/// `drop`
#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `events`
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only this database
    pub(crate) name: Option<DatabaseName>,

    /// Also print new events, until interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Number of events to show, the newest ones
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = events)]
    pub(crate) limit: usize,

    /// Print the whole ledger as a trace for `dormouse simulate`
    #[arg(long, conflicts_with_all = ["name", "follow", "limit"])]
    pub(crate) trace: bool,
}

/// `simulate`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no running dormouse. The fleet is a recorded one, or a generated one of office apps, jobs,
bursts, trials, steady and weekend use. The policy is that of `dormouse up`; the report compares
other delays and unit ranges. docs/simulator.md explains the figures.

Costs are those of CPU and memory. Without --config an hour of a core costs 0.04 and a GiB of
memory for an hour 0.005, not the prices of your configuration.

Examples:
  dormouse simulate --databases 1000 --days 30
  dormouse simulate --databases 1000 --days 30 --idle-park 1h
  dormouse events --trace > t && dormouse simulate --trace t --idle-suspend 1m
  dormouse simulate --config /etc/dormouse.toml          at your prices")]
pub(crate) struct SimulateArgs {
    /// Trace of a recorded fleet; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["databases", "days", "seed"])]
    pub(crate) trace: Option<PathBuf>,

    /// Number of databases to generate
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = databases)]
    pub(crate) databases: u64,

    /// Number of days; the first is a Monday
    #[arg(long, value_name = "D", default_value_t = 30, value_parser = days)]
    pub(crate) days: u64,

    /// Seed of the generated fleet
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Suspend after this long without a statement, instead of the databases' own delay
    #[arg(long, value_name = "D")]
    pub(crate) idle_suspend: Option<Delay>,

    /// Park after this long without a statement, instead of the databases' own delay
    #[arg(long, value_name = "D")]
    pub(crate) idle_park: Option<Delay>,

    /// Minimum and maximum compute units, instead of the databases' own
    #[arg(long, value_name = "MIN..MAX")]
    pub(crate) units: Option<UnitRange>,

    /// Configuration file with the prices
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

fn databases(text: &str) -> Result<u64, String> {
    whole(text, 1..=10_000_000)
}

fn days(text: &str) -> Result<u64, String> {
    whole(text, 1..=3660)
}

fn events(text: &str) -> Result<usize, String> {
    whole(text, 1..=EventQuery::MAX_LIMIT)
}

/// Parses an integer of a range.
fn whole<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
}

/// `usage`
#[derive(Debug, Args)]
#[command(after_help = "\
CPU is the CPU time of a database's server; memory is the allotted memory while awake and the
memory held while suspended; storage is its files, awake or not; statements and traffic are those
of its clients. Dropped databases are included.

Costs are shown if [prices] of the configuration sets any. Above its spend limit a database has a
free baseline, which counts as use but not as cost. Months and days are those of UTC. A crash of
dormouse loses no CPU, memory or storage, and at most a few seconds of statements and traffic.

Examples:
  dormouse usage                        this month, one line for each database
  dormouse usage shop                   the same month by day
  dormouse usage --month 2026-03
  dormouse usage --json | jq '.rows[] | {database, cpu_h: (.used.cpu_us / 3.6e9)}'
  dormouse usage shop --by minute --json")]
pub(crate) struct UsageArgs {
    /// Only this database
    pub(crate) name: Option<DatabaseName>,

    /// The calendar month [default: this one]
    #[arg(long, value_name = "YYYY-MM")]
    pub(crate) month: Option<Month>,

    /// Resolution: month, day, or, for one database, minute (when it was awake, in the last five
    /// weeks) [default: day for one database, else month]
    #[arg(long, value_name = "SPAN", value_parser = by)]
    pub(crate) by: Option<By>,
}

fn by(text: &str) -> Result<By, &'static str> {
    match text {
        "month" => Ok(By::Month),
        "day" => Ok(By::Day),
        "minute" => Ok(By::Minute),
        _ => Err("write month, day or minute"),
    }
}

/// `connect`
#[derive(Debug, Args)]
#[command(after_help = "\
Runs the mariadb client on Dormouse's Unix socket. The password is the one that `dormouse create`
saved, or $MYSQL_PWD, or the client asks for it.

Examples:
  dormouse connect shop
  dormouse connect shop -- -e 'SHOW DATABASES'
  dormouse connect shop < dump.sql
  dormouse connect shop --user app")]
pub(crate) struct ConnectArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// Account, without the database's name
    #[arg(long, short, value_name = "USER", default_value = dormouse_api::model::OWNER)]
    pub(crate) user: String,

    /// Arguments for the mariadb client
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests;
