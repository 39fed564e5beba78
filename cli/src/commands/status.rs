//! `shoal status`: the state of the running node.

use std::time::Duration;

use shoal_gateway::json::{self, Event, Status};

use crate::{
    Context,
    failure::Failure,
    output::{elapsed, size},
    session,
};

/// Show the state of the running node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let client = session::running(cx).await?;
    let event = cx.unless_stopped(client.get_one(json::STATUS)).await?;
    if let Event::Status(status) = &event {
        for (name, value) in rows(status) {
            cx.printer.result(&format!("{name:<10} {value}"));
        }
    }
    cx.printer.event(&event);
    Ok(())
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("node", status.peer_id.clone()),
        ("version", status.version.clone()),
        ("network", format!("{}, scope {}", status.network, status.scope)),
        ("home", status.home.clone()),
        ("process", format!("{}, up {}", status.pid, elapsed(Duration::from_secs(status.uptime_s)))),
    ];
    rows.extend(status.addresses.iter().map(|address| ("listening", address.clone())));
    rows.extend(status.external.iter().map(|address| ("external", address.clone())));
    let tables: Vec<_> = status.tables.iter().map(|(scope, nodes)| format!("{scope} {nodes}")).collect();
    rows.extend([
        ("peers", format!("{}, {} of this network", status.peers, status.members)),
        ("routing", if tables.is_empty() { "-".to_owned() } else { tables.join(", ") }),
        ("records", status.records.to_string()),
        ("shares", status.shares.to_string()),
        ("announced", status.announced.to_string()),
        ("sent", format!("{}, {} transfers now", size(status.sent), status.sending)),
        ("received", size(status.received)),
        ("jobs", status.jobs.to_string()),
        ("speed", super::limit::line(&status.rates)),
        ("limits", limits(status)),
    ]);
    rows.extend(
        status
            .unreached
            .iter()
            .map(|peer| ("unreached", format!("{}: {}", peer.addresses.join(" or "), peer.reason))),
    );
    rows.extend(status.mdns_failure.iter().map(|failure| ("mdns", format!("off: {failure}"))));
    if status.panics > 0 {
        rows.push(("crashes", format!("{}; please report this", status.panics)));
    }
    rows
}

/// The limits in words, on one line.
pub(super) fn limits(status: &Status) -> String {
    let limits = status.limits.iter().map(|(name, limit)| format!("{limit} {}", name.replace('_', " ")));
    limits.collect::<Vec<_>>().join(", ")
}
