//! `dormouse user`.

use clap::{Args, Subcommand};
use dormouse_types::{DatabaseName, NamePattern, UserRole};

/// `user`
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user and print its password
    Add(UserAddArgs),
    /// Give a user a new password and print it
    Rotate(UserRotateArgs),
    /// List the users of a database
    Ls {
        /// Name of the database
        database: DatabaseName,
    },
    /// Drop a user
    Drop(UserNameArgs),
}

/// A user of a database.
#[derive(Debug, Args)]
pub(crate) struct UserNameArgs {
    /// Name of the database
    pub(crate) database: DatabaseName,

    /// Name of the user, without the database's
    pub(crate) user: String,

    /// Addresses from which it logs in, as in CREATE USER
    #[arg(long, value_name = "PATTERN", default_value = "%")]
    pub(crate) host: String,
}

/// `user rotate`
#[derive(Debug, Args)]
pub(crate) struct UserRotateArgs {
    #[command(flatten)]
    pub(crate) name: UserNameArgs,

    /// Read the password from standard input instead of generating one
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// `user add`
#[derive(Debug, Args)]
#[command(after_help = "\
The password is printed only now; the server stores only a hash. Roles:
  reader   reads
  writer   reads and writes rows, calls routines
  owner    everything in its schemas; without --schema, everything that `admin` may do
The limits hold for statements at the server, whichever of its connections carries them.

Examples:
  dormouse user add shop app --schema shop --role writer
  dormouse user add shop report --max-connections 5 --require ssl
  dormouse user add shop tenants --on-demand 'app_%'
  dormouse user add shop app --json | jq -r .password
  pwgen 24 1 | dormouse user add shop app --password-stdin")]
pub(crate) struct UserAddArgs {
    #[command(flatten)]
    pub(crate) name: UserNameArgs,

    /// A schema in which it has rights; may be repeated [default: all]
    #[arg(long = "schema", value_name = "NAME")]
    pub(crate) schemas: Vec<String>,

    /// What it may do there: reader, writer, owner
    #[arg(long, value_name = "ROLE", default_value = "reader")]
    pub(crate) role: UserRole,

    /// Sessions at once; 0: no limit of its own
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_connections: u32,

    /// Statements in an hour; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_queries_per_hour: u32,

    /// Statements that change data, in an hour; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_updates_per_hour: u32,

    /// What its connections must have: ssl
    #[arg(long, value_name = "WHAT", value_parser = ["ssl"])]
    pub(crate) require: Option<String>,

    /// Make it a template without rights: a login as an unknown user whose name matches (a pattern as in LIKE,
    /// 'app_%') with this password makes the user, with a schema of its own
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["schemas", "role"])]
    pub(crate) on_demand: Option<NamePattern>,

    /// Read the password from standard input instead of generating one
    #[arg(long)]
    pub(crate) password_stdin: bool,
}
