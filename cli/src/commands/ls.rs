//! `shoal ls`: what is shared, and whether it still is what it was.

use shoal_gateway::json::{self, Event, Share, Warning};

use crate::{Context, client::Client, failure::Failure, offline, output::size, session};

/// List what is shared, and whether it is still what it was
///
/// Prints CID, size, state and path. The state is ok, changed (the file has other bytes now) or missing; what is not
/// ok is not served, and publishing it again heals it. A directory is ok while every file that was published in it is;
/// files that were added since are not shared and change nothing. Works with and without a running node.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let (shares, warnings) = match session::guest(cx).await? {
        Some(client) => cx.unless_stopped(ask(&client)).await?,
        None => offline::shares(&cx.places)?,
    };
    if shares.is_empty() && warnings.is_empty() {
        cx.printer.note("nothing is shared; `shoal publish PATH` shares something");
    }
    for share in shares {
        show(cx, share);
    }
    for warning in warnings {
        cx.printer.warning(&warning.message);
        cx.printer.event(&Event::Warning(warning));
    }
    Ok(())
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
