//! `shoal peers`: who the running node is connected to.

use std::time::Duration;

use shoal_gateway::json::{self, Event, Peer};

use crate::{
    Context,
    failure::Failure,
    output::{count, elapsed, milliseconds},
    session,
};

/// List the peers that the running node is connected to
///
/// Prints name, direction, round-trip time, how long it is connected, its program and its addresses.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let client = session::running(cx).await?;
    cx.unless_stopped(async {
        let mut answer = client.get(json::PEERS).await?;
        let mut peers = 0;
        while let Some(event) = answer.next().await? {
            if let Event::Peer(peer) = &event {
                peers += 1;
                show(cx, peer);
            }
            cx.printer.event(&event);
        }
        cx.printer.note(&count(peers, "peer"));
        Ok(())
    })
    .await
}

fn show(cx: &Context, peer: &Peer) {
    if cx.printer.quiet() {
        return cx.printer.result(&peer.peer);
    }
    let round_trip = peer.round_trip_us.map_or_else(|| "-".to_owned(), milliseconds);
    let connected = elapsed(Duration::from_secs(peer.connected_s));
    cx.printer.result(&format!(
        "{}  {:<3}  {round_trip}  {connected}  {}  {}",
        peer.peer,
        peer.direction,
        peer.agent,
        peer.addresses.join(" ")
    ));
}
