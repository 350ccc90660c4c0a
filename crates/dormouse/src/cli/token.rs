//! `dormouse token`.

use clap::{Args, Subcommand};
use dormouse_api::model::{Role, RotateRequest, TokenId, TokenName, TokenRequest};
use dormouse_types::{DatabaseName, Delay};

/// `token`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Add a token and print it, once
    Add(TokenArgs),
    /// List the tokens, without their secrets
    Ls,
    /// Give a token a new secret and print it, once
    Rotate(RotateArgs),
    /// Remove a token; no later request is admitted with it
    Rm(IdArgs),
}

/// `token add`
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the token on stdout and nothing else, so that it can go into a file. Only its hash is stored.

admin: everything. operator: reads everything, changes settings, wakes, suspends and parks.
viewer: reads everything. owner: everything on the one database that --database names.

Examples:
  (umask 077; dormouse token add --role viewer --name grafana > token)
  dormouse token add --role owner --database shop --expires 1d
  dormouse --api https://db.example.org:8443 --token-file token ls")]
pub(crate) struct TokenArgs {
    /// What its holder may do: admin, operator, viewer or owner
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// The database of an owner
    #[arg(long, value_name = "NAME")]
    database: Option<DatabaseName>,

    /// When it expires: 90d, 12h, never
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: Delay,

    /// A name for lists and the ledger [default: the role]
    #[arg(long, value_name = "NAME")]
    name: Option<TokenName>,
}

impl From<TokenArgs> for TokenRequest {
    fn from(args: TokenArgs) -> Self {
        Self {
            role: args.role,
            database: args.database,
            name: args.name,
            expires: Some(args.expires),
        }
    }
}

/// `token rotate`
#[derive(Debug, Args)]
#[command(after_help = "\
The former secret stays valid for the grace, at most until it expires.

Examples:
  dormouse token rotate 3k9x0c2m7q1z > token
  dormouse token rotate 3k9x0c2m7q1z --grace 0      the former secret is invalid at once")]
pub(crate) struct RotateArgs {
    /// The token's id, as `dormouse token ls` shows it
    #[arg(value_parser = id)]
    pub(crate) id: TokenId,

    /// How long the former secret stays valid: 24h, 0
    #[arg(long, value_name = "TIME", default_value = "1d")]
    grace: Delay,

    /// When the new secret expires [default: after as long as before]
    #[arg(long, value_name = "TIME")]
    expires: Option<Delay>,
}

impl RotateArgs {
    /// The request.
    pub(crate) fn request(&self) -> RotateRequest {
        RotateRequest {
            grace: Some(self.grace),
            expires: self.expires,
        }
    }
}

/// A command about one token.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The token's id, as `dormouse token ls` shows it
    #[arg(value_parser = id)]
    pub(crate) id: TokenId,
}

fn id(text: &str) -> Result<TokenId, dormouse_api::model::InvalidId> {
    text.parse()
}
