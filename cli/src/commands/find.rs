//! `shoal find`: ask the network who has some content.

use std::time::Duration;

use shoal_gateway::json::{self, Event, Holder, Looked};
use shoal_node::{Kind, Link};

use crate::{
    Context,
    args::{NodeArgs, link_text},
    failure::Failure,
    output::{count, elapsed, milliseconds, size},
    session::{self, Whose},
};

/// Ask the network who has some content
///
/// Prints each holder as it answers: its name, how much it has, how it was found and how fast it answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A CID in any of its forms, the digest that b3sum prints, or a ticket
    #[arg(value_name = "CID|TICKET", value_parser = link_text)]
    link: String,
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let kind = args.link.parse::<Link>().map_or(Kind::File, |link| link.cid().kind());
    let request = json::Find { link: args.link.clone(), peers: args.node.peers() };
    session::with_node(cx, &args.node, Whose::Any, async |session| {
        cx.unless_stopped(async {
            let mut answer = session.client.post(&request).await?;
            while let Some(event) = answer.next().await? {
                cx.printer.event(&event);
                match &event {
                    Event::Holder(holder) => show_holder(cx, holder, kind),
                    Event::Looked(looked) => show_summary(cx, looked),
                    Event::Warning(warning) => cx.printer.warning(&warning.message),
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    })
    .await
}

fn show_holder(cx: &Context, holder: &Holder, kind: Kind) {
    if cx.printer.quiet() {
        return cx.printer.result(&holder.peer);
    }
    let part = match (kind, holder.complete) {
        // What it has of the files is asked for when they are.
        (Kind::Directory, true) => "the list of its files".to_owned(),
        (Kind::Directory, false) => "a part of the list of its files".to_owned(),
        (Kind::File, true) => format!("all of {}", size(holder.size)),
        (Kind::File, false) => format!("{} of {}", size(holder.held), size(holder.size)),
    };
    let time = milliseconds(holder.round_trip_us);
    cx.printer.result(&format!(
        "{}  {part}  {}  {time}  {}",
        holder.peer,
        holder.via,
        holder.addresses.join(" ")
    ));
}

fn show_summary(cx: &Context, looked: &Looked) {
    let mut text = format!(
        "{} found, {} asked over {} in {}",
        count(looked.holders, "holder"),
        count(looked.asked, "node"),
        count(looked.hops, "hop"),
        elapsed(Duration::from_millis(looked.elapsed_ms))
    );
    if looked.gone > 0 {
        text.push_str(&format!("; {} without it any more", count(looked.gone, "other")));
    }
    if looked.silent > 0 {
        text.push_str(&format!("; {} without an answer", count(looked.silent, "other")));
    }
    if let Some(directory) = &looked.directory {
        text.push_str(&format!(
            "; a directory of {}, {}",
            count(directory.files, "file"),
            size(directory.size)
        ));
    }
    cx.printer.note(&text);
}
