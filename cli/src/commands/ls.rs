//! `shoal ls`: what is shared, and whether it still is what it was.

use shoal_gateway::json::{self, Event, Share, Warning};

use crate::{
    Context,
    client::Client,
    failure::Failure,
    offline,
    output::{count, size},
    session,
};

/// The state of a share of which something is gone.
pub(super) const MISSING: &str = "missing";
/// The state of a share of which something has other bytes now.
const CHANGED: &str = "changed";

/// List what is shared, and whether it is still what it was
///
/// Prints CID, size, state and path. The state is ok, changed (the file has other bytes now) or missing; what is not
/// ok is not served. Publishing it again heals it, and `shoal unpublish` takes it off the list: one by its path, or all that
/// are missing with --missing. A directory is ok while every file that was published in it is;
/// files that were added since are not shared and change nothing. Works with and without a running node.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let (shares, warnings) = shares(cx).await?;
    if shares.is_empty() && warnings.is_empty() {
        cx.printer.note("nothing is shared; `shoal publish PATH` shares something");
    }
    let count_of = |state: &str| shares.iter().filter(|share| share.state == state).count();
    let (missing, changed) = (count_of(MISSING), count_of(CHANGED));
    for share in shares {
        show(cx, share);
    }
    if missing > 0 {
        let them = count(missing.try_into().unwrap_or(u64::MAX), "share");
        cx.printer.note(&format!(
            "{them} missing: put the files back, or `shoal unpublish --missing` takes what is missing off the list"
        ));
    }
    if changed > 0 {
        let them = count(changed.try_into().unwrap_or(u64::MAX), "share");
        cx.printer.note(&format!(
            "{them} changed: `shoal publish PATH` shares what is there now, `shoal unpublish PATH` nothing"
        ));
    }
    for warning in warnings {
        cx.printer.warning(&warning.message);
        cx.printer.event(&Event::Warning(warning));
    }
    Ok(())
}

/// Everything that is shared, and warnings of what should be.
pub(super) async fn shares(cx: &Context) -> Result<(Vec<Share>, Vec<Warning>), Failure> {
    match session::guest(cx).await? {
        Some(client) => cx.unless_stopped(ask(&client)).await,
        None => offline::shares(&cx.places),
    }
}

async fn ask(client: &Client) -> Result<(Vec<Share>, Vec<Warning>), Failure> {
    let mut answer = client.get(json::SHARES).await?;
    let (mut shares, mut warnings) = (Vec::new(), Vec::new());
    while let Some(event) = answer.next().await? {
        match event {
            Event::Share(share) => shares.push(share),
            Event::Warning(warning) => warnings.push(warning),
            _ => {}
        }
    }
    Ok((shares, warnings))
}

fn show(cx: &Context, share: Share) {
    if cx.printer.quiet() {
        cx.printer.result(&share.cid);
    } else {
        let before = format!("{}  {:>8}  {:<7}  ", share.cid, size(share.size), share.state);
        cx.printer.path_result(&before, share.path.as_ref());
    }
    cx.printer.event(&Event::Share(share));
}
