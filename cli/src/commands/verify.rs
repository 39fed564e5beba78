//! `shoal verify`: check that a file or directory has the name that it should have.

use std::path::PathBuf;

use shoal_gateway::json::{Event, Verified};
use shoal_node::Cid;

use crate::{Context, args::cid_of_file, failure::Failure, places::absolute};

/// Check that a file or directory has the name that it should have
///
/// Reads it and nothing else: needs no node, no network and no home. Exits with 5 where it has another name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file or directory
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// A CID in any of its forms, or the digest that b3sum prints
    #[arg(value_parser = cid_of_file)]
    cid: Cid,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let path = absolute(&args.path)?;
    cx.unless_stopped(async { Ok(shoal_node::verify_file(&path, &args.cid).await?) }).await?;
    cx.printer.path_result(&format!("{}  ", args.cid), &args.path);
    cx.printer.note("verified");
    let path = path.display().to_string();
    cx.printer.event(&Event::Verified(Verified { cid: args.cid.to_string(), path }));
    Ok(())
}
