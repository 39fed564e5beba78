//! `shoal paths`: where everything is kept.

use std::path::Path;

use shoal_gateway::json::{Event, PathList};

use crate::{Context, failure::Failure};

/// Print where everything is kept
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let node = &cx.places.node;
    let socket = cx.places.socket();
    let rows: [(&str, &Path); 6] = [
        ("home", &node.home),
        ("config", &cx.places.config),
        ("identity", &node.identity),
        ("store", &node.store),
        ("socket", &socket),
        ("lock", &node.lock),
    ];
    for (name, path) in rows {
        cx.printer.path_result(&format!("{name:<9} "), path);
    }
    let [home, config, identity, store, socket, lock] = rows.map(|(_, path)| path.display().to_string());
    cx.printer.event(&Event::Paths(PathList { home, config, identity, store, socket, lock }));
    Ok(())
}
