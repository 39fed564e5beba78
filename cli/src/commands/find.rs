//! `shoal find`: ask the network who has some content.

use std::time::Duration;

use shoal_gateway::json::{self, Event, Holder, Looked};

use crate::{
    Context,
    args::{NodeArgs, link_text},
    failure::Failure,
    output::{count, elapsed, milliseconds, size},
    session,
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
    let request = json::Find { link: args.link.clone(), peers: args.node.peers() };
    session::with_node(cx, &args.node, async |session| {
        cx.unless_stopped(async {
            let mut answer = session.client.post(&request).await?;
            while let Some(event) = answer.next().await? {
                cx.printer.event(&event);
                match &event {
                    Event::Holder(holder) => show_holder(cx, holder),
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

fn show_holder(cx: &Context, holder: &Holder) {
    if cx.printer.quiet() {
        return cx.printer.result(&holder.peer);
    }
    let part = if holder.complete {
        format!("all of {}", size(holder.size))
    } else {
        format!("{} of {}", size(holder.held), size(holder.size))
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
    if looked.silent > 0 {
        text.push_str(&format!("; {} without it, or without an answer", count(looked.silent, "other")));
    }
    cx.printer.note(&text);
}
