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
        lookups::{Found, look_up, publish},
        member::{Behave, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Report, Sheet, count, number, text, time},
        seed::Seed,
        wire::{Lag, Way},
    },
    table,
};

/// Nodes that publish a key each, and stay alive.
const PUBLISHERS: usize = 50;

/// Goals: round trips until the provider is named, of half and of nineteen in twenty lookups; lookups that find it, in
/// percent; time and requests beside stock Kademlia's.
const FIRST_P50: f64 = 3.0;
const FIRST_P95: f64 = 6.0;
const FOUND: f64 = 99.5;
const TIME_OF_STOCK: f64 = 0.6;
const REQUESTS_OF_STOCK: f64 = 1.2;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    /// In percent of the nodes.
    pub(crate) dead: u8,
    pub(crate) lookups: usize,
    pub(crate) rest: Duration,
    pub(crate) whose: Whose,
}

/// What was found in one network.
struct Measured {
    name: &'static str,
    found: Found,
    lag: Lag,
    is_punctual: bool,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut measured = Vec::new();
    if options.whose.includes(Whose::Shoal) {
        measured.push(measure::<Shoal>("Shoal", seed, way, options, out).await?);
    }
    if options.whose.includes(Whose::Stock) {
        measured.push(measure::<Stock>("stock kad", seed, way, options, out).await?);
    }
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
            "worst",
        ],
    );
    for Measured { name, found, lag, is_punctual } in &measured {
        sheet.row([
            text(*name),
            count(found.asked),
            number(found.percent(), 1),
            number(found.hops.mean(), 2),
            time(found.first.percentile(50), 2, *is_punctual),
            time(found.first.percentile(95), 2, *is_punctual),
            time(found.whole.percentile(50), 2, *is_punctual),
            time(found.whole.percentile(95), 2, *is_punctual),
            number(found.first_requests.mean(), 1),
            number(found.requests.mean(), 1),
            number(lag.usual.as_secs_f64() * 1e3, 0),
            number(lag.worst.as_secs_f64() * 1e3, 0),
        ]);
    }
    let mut report = Report { sheets: vec![sheet], ..Report::default() };
    if let Some(shoal) = measured.iter().find(|measured| measured.name == "Shoal") {
        let Found { first, .. } = &shoal.found;
        let (p50, p95) = (first.percentile(50), first.percentile(95));
        report.goal(
            format_args!("half are named within {FIRST_P50} round trips"),
            shoal.is_punctual && p50 <= FIRST_P50,
        );
        report.goal(
            format_args!("19 of 20 are named within {FIRST_P95} round trips"),
            shoal.is_punctual && p95 <= FIRST_P95,
        );
        report.goal(format_args!("{FOUND} % are found"), shoal.found.percent() >= FOUND);
    }
    if let [shoal, stock] = measured.as_slice() {
        compare(shoal, stock, &mut report);
    }
    Ok(report)
}

async fn measure<B: Behave>(
    name: &'static str,
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Measured> {
    let began = Instant::now();
    let network = Network::settled::<B>(seed, way, Region::Internet, options.nodes).await?;
    let up = began.elapsed().saturating_sub(network.rest.after);
    writeln!(out, "{name}: {} nodes up in {}, {}", options.nodes, table::time(up), network.rest)?;
    let mut publishers = network.alive("roles");
    publishers.truncate(PUBLISHERS.min(options.nodes / 4));
    let items = publish(&publishers, &network, "item").await?.items;
    sleep(options.rest).await;
    network.kill(options.nodes * usize::from(options.dead) / 100, &publishers)?;
    let mut seekers = network.alive("seekers");
    seekers.retain(|seeker| items.iter().all(|item| item.provider != seeker.host.peer));
    seekers.truncate(options.lookups);
    network.internet.clock.take_lag();
    let found = look_up(&seekers, &items, &network).await?;
    let lag = network.internet.clock.take_lag();
    Ok(Measured { name, found, lag, is_punctual: network.is_punctual(lag) })
}

fn compare(shoal: &Measured, stock: &Measured, report: &mut Report) {
    let ratio = |what: fn(&Found) -> f64| what(&shoal.found) / what(&stock.found);
    let named = ratio(|found| found.first.percentile(50));
    let requests = ratio(|found| found.requests.mean());
    report.findings.push(format!(
        "Shoal against stock: time to the provider p50 {named:.2}, p95 {:.2}, mean {:.2}; time to the end p50 {:.2}; \
         requests to the provider {:.2}, to the end {requests:.2}.",
        ratio(|found| found.first.percentile(95)),
        ratio(|found| found.first.mean()),
        ratio(|found| found.whole.percentile(50)),
        ratio(|found| found.first_requests.mean()),
    ));
    report.goal(
        format_args!("at most {TIME_OF_STOCK} of the time of stock Kademlia"),
        shoal.is_punctual && stock.is_punctual && named <= TIME_OF_STOCK,
    );
    report
        .goal(format_args!("at most {REQUESTS_OF_STOCK} times its requests"), requests <= REQUESTS_OF_STOCK);
}
