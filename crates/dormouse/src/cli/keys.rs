//! The command line of `dormouse key`.

use clap::{Args, Subcommand};
use dormouse_types::DatabaseName;

use super::NameArgs;

/// `key`
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// The commands of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the master key and the keys of the databases, by fingerprint and version
    #[command(
        after_help = "Examples:\n  dormouse key ls\n  dormouse key ls --json | jq -r .master"
    )]
    Ls,
    /// Replace the key of a database, or the master key
    #[command(after_help = "\
The key of a database: its server is restarted with a new key, which its client connections do not notice,
and its files are encrypted with it in the background, while it is awake. Then the old key is forgotten.
If the server cannot be restarted now, its next start has the new key.

The master key: put the new one where the configuration says, keep the old one until this command has ended.
The keys of all databases are wrapped by the new one; no file is encrypted again.

Examples:
  dormouse key rotate shop
  dormouse key rotate --master")]
    Rotate(KeyRotateArgs),
    /// Encrypt a database that is not encrypted
    #[command(after_help = "\
Its server is restarted with a key, which its client connections do not notice, and its files are encrypted in
the background, while it is awake. Cannot be undone.

Examples:
  dormouse key encrypt shop")]
    Encrypt(NameArgs),
}

/// `key rotate`
#[derive(Debug, Args)]
pub(crate) struct KeyRotateArgs {
    /// Name of the database
    #[arg(required_unless_present = "master", conflicts_with = "master")]
    pub(crate) name: Option<DatabaseName>,

    /// Replace the master key
    #[arg(long)]
    pub(crate) master: bool,
}
