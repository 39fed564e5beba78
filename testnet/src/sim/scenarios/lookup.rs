//! Cold lookups in a network of which a part has just died, beside stock Kademlia on the same topology.
//!
//! Half of the dead refuse connections at once; the others never answer. The nodes that look something up have been
//! idle for so long that their connections are closed, but their tables are full.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    sim::{
        Whose,
        lookups::{Found, Item, look_up, publish},
        member::{Behave, Member, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::Way,
    },
    table,
};

/// Nodes that publish a key each, and stay alive.
const PUBLISHERS: usize = 50;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    /// In percent of the nodes.
    pub(crate) dead: u8,
    pub(crate) lookups: usize,
    pub(crate) rest: Duration,
    pub(crate) whose: Whose,
}

/// A network at rest in which something has been published.
struct Stage {
    name: &'static str,
    network: Network,
    items: Vec<Item>,
    publishers: Vec<Member>,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut stages = Vec::new();
    if options.whose.includes(Whose::Shoal) {
        stages.push(set::<Shoal>("Shoal", seed, way, options, out).await?);
    }
    if options.whose.includes(Whose::Stock) {
        stages.push(set::<Stock>("stock kad", seed, way, options, out).await?);
    }
    sleep(options.rest).await;

    let title = format!(
        "Cold lookups in a network of {} nodes, {} % of them dead; times in round trips",
        options.nodes, options.dead
    );
    let mut sheet = Sheet::new(
        title,
        &[
            "overlay",
            "lookups",
            "found %",
            "hops",
            "first p50",
            "first p95",
            "whole p50",
            "whole p95",
            "first requests",
            "all requests",
            "lag ms",
        ],
    );
    let mut results = Vec::new();
    for stage in &stages {
        let network = &stage.network;
        network.kill(options.nodes * usize::from(options.dead) / 100, &stage.publishers)?;
        let mut seekers = network.alive("seekers");
        seekers.retain(|seeker| stage.items.iter().all(|item| item.provider != seeker.host.peer));
        seekers.truncate(options.lookups);
        let found = look_up(&seekers, &stage.items, network).await?;
        sheet.row([
            text(stage.name),
            count(found.asked),
            number(found.percent(), 1),
            number(found.hops.mean(), 2),
            number(found.first.percentile(50), 2),
            number(found.first.percentile(95), 2),
            number(found.whole.percentile(50), 2),
            number(found.whole.percentile(95), 2),
            number(found.first_requests.mean(), 1),
            number(found.requests.mean(), 1),
            number(network.internet.clock.take_worst_lag().as_secs_f64() * 1e3, 0),
        ]);
        results.push(found);
    }
    let findings = match results.as_slice() {
        [shoal, stock] => vec![compared(shoal, stock)],
        _ => Vec::new(),
    };
    Ok(Report { sheets: vec![sheet], findings, charts: Vec::new() })
}

async fn set<B: Behave>(
    name: &'static str,
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Stage> {
    let began = Instant::now();
    let network = Network::settled::<B>(seed, way, Region::Internet, options.nodes).await?;
    writeln!(out, "{name}: {} nodes up in {}", options.nodes, table::time(began.elapsed()))?;
    let mut publishers = network.alive("roles");
    publishers.truncate(PUBLISHERS.min(options.nodes / 4));
    let items = publish(&publishers, &network, "item").await?.items;
    Ok(Stage { name, network, items, publishers })
}

fn compared(shoal: &Found, stock: &Found) -> String {
    let ratio = |what: fn(&Found) -> f64| what(shoal) / what(stock);
    format!(
        "Shoal against stock: time to the provider p50 {:.2}, p95 {:.2}; requests to the provider {:.2}, \
         to the end {:.2}; time to the end p50 {:.2}.",
        ratio(|found| found.first.percentile(50)),
        ratio(|found| found.first.percentile(95)),
        ratio(|found| found.first_requests.mean()),
        ratio(|found| found.requests.mean()),
        ratio(|found| found.whole.percentile(50)),
    )
}
