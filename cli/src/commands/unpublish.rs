//! `shoal unpublish`: stop sharing something.

use std::path::PathBuf;

use shoal_gateway::json::{self, Event, Share};
use shoal_node::Cid;

use super::ls;
use crate::{Context, failure::Failure, offline, places::absolute_text, session};

/// Stop sharing something; its files stay
///
/// Prints what is shared no more. Works with and without a running node; a running one also takes back what it had
/// announced.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A CID, for every path with that content, or a path; ./NAME for a path that reads like a CID
    #[arg(value_name = "CID|PATH", required_unless_present = "missing")]
    what: Option<PathBuf>,
    /// Take back everything that `shoal ls` shows as missing
    #[arg(long, conflicts_with = "what")]
    missing: bool,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let Some(what) = &args.what else { return unpublish_missing(cx).await };
    let request = match what.to_str().and_then(|text| text.parse::<Cid>().ok()) {
        Some(cid) => json::Unpublish::Cid(cid.to_string()),
        None => json::Unpublish::Path(absolute_text(what)?),
    };
    unpublish(cx, &request).await
}

/// Takes back what is not there any more.
async fn unpublish_missing(cx: &Context) -> Result<(), Failure> {
    let (shares, _) = ls::shares(cx).await?;
    let mut gone = shares.into_iter().filter(|share| share.state == ls::MISSING).peekable();
    if gone.peek().is_none() {
        cx.printer.note("nothing that is shared is missing");
    }
    for share in gone {
        unpublish(cx, &json::Unpublish::Path(share.path)).await?;
    }
    Ok(())
}

async fn unpublish(cx: &Context, request: &json::Unpublish) -> Result<(), Failure> {
    let shares = match session::guest(cx).await? {
        Some(client) => {
            cx.unless_stopped(async {
                let mut shares = Vec::new();
                let mut answer = client.post(request).await?;
                while let Some(event) = answer.next().await? {
                    if let Event::Unpublished(share) = event {
                        shares.push(share);
                    }
                }
                Ok(shares)
            })
            .await?
        }
        None => offline::unpublish(&cx.places, request)?,
    };
    for share in shares {
        show(cx, share);
    }
    Ok(())
}

fn show(cx: &Context, share: Share) {
    if cx.printer.quiet() {
        cx.printer.result(&share.cid);
    } else {
        cx.printer.path_result(&format!("{}  ", share.cid), share.path.as_ref());
    }
    cx.printer.event(&Event::Unpublished(share));
}
