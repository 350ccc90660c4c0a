//! The command line of `dormouse wakes`.

use clap::Args;
use dormouse_types::{DatabaseName, Delay};

/// `wakes`
#[derive(Debug, Args)]
#[command(after_help = "\
Adds up the wakes in the ledger: for each statement and account, how often it was the one that
woke the database, and which share of the cost followed. Statements are shown without their
values. Of several statements that wait for one wake, the first is named.

What follows a wake is the time until the next sleep, whoever uses the database then. The share
is that of what being awake cost in this time (CPU, memory, statements and traffic, by the
minute; not storage, which is also paid asleep). If [prices] of the configuration sets none, it
is that of the unit-hours: memory over time.

A database is woken by statements that need its server. SELECT 1, pings, and what drivers send
when they connect do not wake it; nor do the users and programs of the setting never_wakes.

Examples:
  dormouse wakes shop
  dormouse wakes shop --since 7d
  dormouse wakes shop --json | jq '.rows[] | {statement: .woken_by.statement, wakes, hint}'")]
pub(crate) struct WakesArgs {
    /// Name of the database
    pub(crate) name: DatabaseName,

    /// How long ago the time begins, at most 35d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since)]
    pub(crate) since: Delay,
}

fn since(text: &str) -> Result<Delay, String> {
    let most = 35 * 24 * 60 * 60;
    match text.parse() {
        Ok(Delay::After(time)) if (1..=most).contains(&time.as_secs()) => Ok(Delay::After(time)),
        _ => Err("write a time of at most 35 days: 90m, 24h, 7d".to_owned()),
    }
}
