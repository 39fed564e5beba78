//! `shoal id`: the name of this node.

use shoal_gateway::json::{self, Event, Identity};
use shoal_node::Home;

use crate::{Context, failure::Failure, session};

/// Print the name of this node
///
/// It is made at first use and kept in the home. Works with and without a running node.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let peer_id = match session::guest(cx).await? {
        Some(client) => match client.get_one(json::STATUS).await? {
            Event::Status(status) => status.peer_id,
            _ => return Err(crate::failure::broken_off()),
        },
        None => {
            let home = Home::open(&cx.places.node.home)?;
            home.identity()?.public().to_peer_id().to_string()
        }
    };
    cx.printer.result(&peer_id);
    cx.printer.event(&Event::Identity(Identity { peer_id }));
    Ok(())
}
