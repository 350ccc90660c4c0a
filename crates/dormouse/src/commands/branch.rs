//! `dormouse branch`.

use std::path::Path;

use dormouse_api::Client;
use dormouse_api::model::{BranchRequest, Branched};

use super::told;
use crate::Outcome;
use crate::cli::BranchArgs;
use crate::credentials;
use crate::format;
use crate::output::{Colours, Output, Style};

pub(super) async fn run(
    client: &Client,
    data_dir: Option<&Path>,
    args: BranchArgs,
    output: &Output,
) -> Outcome {
    let request = BranchRequest {
        name: args.name,
        ttl: args.ttl,
        at: args.at,
    };
    let made = client.branch(&args.parent, &request).await.map_err(told)?;
    output.result(&made, |colours| shown(&made, colours))?;
    // the same password, if it is known here
    if let Some(data_dir) = data_dir
        && credentials::copy(data_dir, &made.branch.parent, &made.name, &made.user)?
    {
        output.remark(&format!("or: dormouse connect {}", made.name));
    }
    Ok(())
}

pub(super) fn shown(made: &Branched, colours: Colours) -> String {
    let parent = &made.branch.parent;
    let space = if made.shared {
        "only for what changes"
    } else {
        "in full: this file system does not share blocks"
    };
    let end = match made.branch.expires {
        Some(at) => format!("\n  dropped at {at:.0}"),
        None => String::new(),
    };
    format!(
        "branched {} from {parent}, whose server stood still for {} ms\n\n  {}\n  with the passwords of {parent}\n  \
         {} of disk space, {space}{end}\n",
        made.name,
        made.frozen_ms,
        colours.paint(Style::Bold, &made.command),
        format::size(made.size),
    )
}
