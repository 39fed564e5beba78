//! `shoal start`: a node that runs until it is stopped.

use shoal_gateway::json::{self, Event, Ready, Status, Warning};

use crate::{
    Context, WithoutReader,
    args::NodeArgs,
    failure::{Failure, broken_off},
    session::{self, Whose},
};

const EXAMPLES: &str = "\
Examples:
  shoal start
  shoal start --peer nas.local:4001
  shoal start --network family --listen /ip4/0.0.0.0/tcp/4001 --external /ip4/203.0.113.7/tcp/4001";

/// Run a node until it is stopped
///
/// Other commands of the same home use this node instead of starting their own. Its addresses are printed once it can
/// serve. Ctrl-C or `shoal stop` stops it: it withdraws its announcements first, which takes up to 5 seconds; a second
/// Ctrl-C does not wait.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    cx.without_reader.set(WithoutReader::GoesOn);
    session::with_node(cx, &args.node, Whose::Own, async |session| {
        let Event::Status(status) = session.client.get_one(json::STATUS).await? else {
            return Err(broken_off());
        };
        report(cx, &status);
        tokio::select! {
            () = session.stopping(cx) => Ok(()),
            never = session.warn_of_unreached(cx) => match never {},
        }
    })
    .await
}

fn report(cx: &Context, status: &Status) {
    let printer = &cx.printer;
    let socket = cx.places.socket().display().to_string();
    printer.event(&Event::Ready(Ready {
        peer_id: status.peer_id.clone(),
        addresses: status.addresses.clone(),
        socket,
        home: status.home.clone(),
        network: status.network.clone(),
        pid: status.pid,
    }));
    printer.note(&format!("node     {}", status.peer_id));
    printer.note(&format!("network  {}, scope {}", status.network, status.scope));
    printer.note(&format!("home     {}", status.home));
    printer.note(&format!("speed    {}", super::limit::line(&status.rates)));
    printer.note(&format!("limits   {}", super::status::limits(status)));
    if let Some(reason) = &status.mdns_failure {
        // For people, the node has logged it.
        let message = format!("peers on the local network are not found by themselves: {reason}");
        printer.event(&Event::Warning(Warning { message }));
    }
    printer.note("listening; Ctrl-C or `shoal stop` stops it");
    for address in &status.addresses {
        printer.result(address);
    }
}
