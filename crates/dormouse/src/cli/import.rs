//! `import` and `export`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use dormouse_api::model::OWNER;
use dormouse_types::DatabaseName;

use crate::import::journal::Unsure;
use crate::import::live::Address;

/// `import`
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("source").args(["dump", "from", "cut_over", "abandon"]).required(true),
    after_help = "\
Runs the statements with the rights of the database's owner. What an owner may not do and dumps have
(replication, definers, the server's own schemas, global variables) is left out or replaced, and the
summary says so. docs/import.md has the list.

After an error, --resume goes on: at the beginning of the table that was not complete, or at the
statement itself. No row is written twice.

Without MYSQL_PWD the password is the one that `dormouse create` has saved. That of the other server
is in the URL or in DORMOUSE_FROM_PASSWORD; the arguments of a program can be read by every user.

Examples:
  dormouse import shop --dump shop.sql
  dormouse import shop --create --dump shop.sql.gz --schema shop
  zcat shop.sql.gz | dormouse import shop --dump -
  dormouse import shop --dump /backup/export-20261129     a directory of mydumper's
  dormouse import shop --dump shop.sql --resume
  dormouse import shop --from mysql://root@db.example.org/shop
  dormouse import shop --create --from mysql://root@db.example.org --follow
  dormouse import shop --cut-over                         in another shell"
)]
pub(crate) struct ImportArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// Dump of mariadb-dump or mysqldump, plain, gzip or zstd, or a directory of mydumper's; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) dump: Option<PathBuf>,

    /// Another server: mysql://USER:PASSWORD@HOST:PORT/SCHEMA; without a schema, all of them, and the
    /// accounts
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<Address>,

    /// Schema for a dump that names none; it is created if it is missing
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub(crate) schema: Option<String>,

    /// Create the database if it is missing
    #[arg(long)]
    pub(crate) create: bool,

    /// Account that runs the statements, an owner
    #[arg(long, short, value_name = "USER", default_value = OWNER)]
    pub(crate) user: String,

    /// Go on where the last import of this dump has stopped
    #[arg(long, conflicts_with = "from")]
    pub(crate) resume: bool,

    /// With --resume: the statement that ran when the import ended unseen is run again, or taken as done
    #[arg(long, value_name = "WHAT", requires = "resume")]
    pub(crate) unsure: Option<Unsure>,

    /// Go on after errors, and list them
    #[arg(long)]
    pub(crate) force: bool,

    /// Leave the accounts of the other server
    #[arg(long, requires = "from")]
    pub(crate) no_accounts: bool,

    /// After the copy, apply what is written at the other server, until --cut-over. The same command goes on
    /// after it was stopped
    #[arg(long, requires = "from", conflicts_with = "force")]
    pub(crate) follow: bool,

    /// With --follow: begin anew with the copy; the schemas that were copied are dropped
    #[arg(long, requires = "follow")]
    pub(crate) restart: bool,

    /// Tell the import that follows to cut over: the other server is made read-only, the database takes
    /// statements
    #[arg(long)]
    pub(crate) cut_over: bool,

    /// With --cut-over: do not make the other server read-only; nothing writes there any more
    #[arg(long, requires = "cut_over")]
    pub(crate) source_is_quiet: bool,

    /// With --cut-over: give up and follow on after this many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        requires = "cut_over"
    )]
    pub(crate) limit: u64,

    /// Give up following: the database keeps what it has, and takes statements
    #[arg(long)]
    pub(crate) abandon: bool,
}

/// `export`
#[derive(Debug, Args)]
#[command(after_help = "\
Runs mariadb-dump on Dormouse's Unix socket, in one consistent transaction. A sleeping database is
not woken: the dump is made of a branch, which is dropped at the end.

Examples:
  dormouse export shop > shop.sql
  dormouse export shop -o shop.sql.gz
  dormouse export shop --schema shop | dormouse import copy --create --dump -")]
pub(crate) struct ExportArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// Only this schema; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Vec<String>,

    /// File to write, readable only by you; gzip if it ends in .gz [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Dump a sleeping database itself, which wakes it, not a branch of it
    #[arg(long)]
    pub(crate) wake: bool,

    /// Account that reads
    #[arg(long, short, value_name = "USER", default_value = OWNER)]
    pub(crate) user: String,
}
