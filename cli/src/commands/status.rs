//! `shoal status`: the state of the running node.

use std::time::Duration;

use shoal_gateway::json::{self, Event, Overlay, Status};

use crate::{
    Context,
    failure::Failure,
    output::{count, elapsed, size},
    session,
};

/// Show the state of the running node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show how it finds and is found: whom it knows in each scope, what it holds for others, how far announcing has got
    #[arg(long)]
    dht: bool,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let client = session::running(cx).await?;
    let event = cx.unless_stopped(client.get_one(json::STATUS)).await?;
    if let Event::Status(status) = &event {
        for (name, value) in if args.dht { dht_rows(status) } else { rows(status) } {
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
    rows.push(("peers", format!("{}, {} of this network", status.peers, status.members)));
    rows.extend(status.overlays.iter().map(|overlay| ("routing", routing(overlay))));
    rows.extend([
        ("shares", status.shares.to_string()),
        ("announced", announced(status)),
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
    rows.extend(status.problems.iter().map(|problem| ("problem", problem.clone())));
    if status.panics > 0 {
        rows.push(("crashes", format!("{}; please report this", status.panics)));
    }
    rows
}

/// How the node finds and is found.
fn dht_rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = vec![("network", format!("{}, scope {}", status.network, status.scope))];
    for overlay in &status.overlays {
        let Overlay { peers, buckets, nodes, records, keys, told, waiting, messages, sent, .. } = overlay;
        let is_alone = *peers == 0;
        let [peers, buckets] = [count(*peers, "node"), count(*buckets, "bucket")];
        rows.push(("scope", overlay.scope.clone()));
        rows.push(("  table", format!("{peers} in {buckets}, of about {nodes} in the whole network")));
        rows.push(("  reach", reach(overlay)));
        rows.push(("  held", format!("{} of others", count(*records, "record"))));
        rows.push(("  own", format!("{}, {told} of them acknowledged", count(*keys, "record"))));
        let waiting = count(*waiting, "record");
        let backlog = if is_alone {
            format!("{waiting} to be announced to the first node that is met")
        } else {
            format!("{waiting} to be announced, {} on their way", count(*messages, "message"))
        };
        rows.push(("  backlog", backlog));
        let sent = count(*sent, "announcement");
        rows.push((
            "  sweep",
            match overlay.last_told_s {
                Some(ago) => format!(
                    "{sent} sent since the start, the last taken {} ago",
                    elapsed(Duration::from_secs(ago))
                ),
                None => format!("{sent} sent since the start, none taken yet"),
            },
        ));
    }
    if status.problems.is_empty() {
        rows.push(("problems", "none known".to_owned()));
    }
    rows.extend(status.problems.iter().map(|problem| ("problem", problem.clone())));
    rows
}

/// Whether others can ask this node, in words.
fn reach(overlay: &Overlay) -> String {
    let text = match (overlay.serves, overlay.scope.as_str()) {
        (true, _) => "others know an address of this node and ask it",
        (false, "wan") => "no address is known at which the internet reaches this node: it only asks others",
        (false, _) => "this node has no address here: it only asks others",
    };
    text.to_owned()
}

/// A scope in words: whom this node knows there, and what it keeps for others.
fn routing(overlay: &Overlay) -> String {
    let known = format!(
        "{}: {} in {}, of about {}; {} held",
        overlay.scope,
        count(overlay.peers, "node"),
        count(overlay.buckets, "bucket"),
        overlay.nodes,
        count(overlay.records, "record")
    );
    if overlay.serves { known } else { format!("{known}; client only") }
}

/// How far announcing has got, over all scopes.
fn announced(status: &Status) -> String {
    let told = status.overlays.iter().map(|overlay| overlay.told).max().unwrap_or(0);
    let mut text = format!("{told} of {}", count(status.announced, "record"));
    if status.announce != "files" {
        text.push_str(&format!("; announces {}", status.announce));
    }
    let messages: u64 = status.overlays.iter().map(|overlay| overlay.messages).sum();
    let waiting = status.overlays.iter().filter(|overlay| overlay.peers > 0).map(|overlay| overlay.waiting);
    let waiting: u64 = waiting.sum();
    if messages + waiting > 0 {
        text.push_str(&format!(
            "; {} on their way, {} to do",
            count(messages, "message"),
            count(waiting, "record")
        ));
    }
    if let Some(ago) = status.overlays.iter().filter_map(|overlay| overlay.last_told_s).min() {
        text.push_str(&format!("; last {} ago", elapsed(Duration::from_secs(ago))));
    }
    text
}

/// The limits in words, on one line.
pub(super) fn limits(status: &Status) -> String {
    let limits = status.limits.iter().map(|(name, limit)| format!("{limit} {}", name.replace('_', " ")));
    limits.collect::<Vec<_>>().join(", ")
}
