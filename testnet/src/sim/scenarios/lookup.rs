//! Cold lookups in a network of which a part has just died, beside stock Kademlia on the same topology.
//!
//! Half of the dead refuse connections at once; the others never answer. The nodes that look something up have been
//! idle for so long that their connections are closed, but their tables are full. Stock nodes take minutes to fill theirs
//! by themselves, so they are told whom there is: no table of theirs could be fuller.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    sim::{
        Whose,
        lookups::{Found, look_up_every, publish},
        member::{shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Cell, Report, Sheet, count, number, text, time},
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
    /// From the start of one lookup to that of the next.
    pub(crate) every: Duration,
    pub(crate) whose: Whose,
    pub(crate) stock: Tables,
}

/// How stock nodes come to have tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// They are told of all others, and take as many of each part as they have room for.
    Given,
    /// By joining, one after the other.
    Own,
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
        let network = async || Network::settled::<Shoal>(seed, way, Region::Internet, options.nodes).await;
        measured.push(measure("Shoal", network, options, out).await?);
    }
    if options.whose.includes(Whose::Stock) {
        let (region, nodes) = (Region::Internet, options.nodes);
        let network = async || match options.stock {
            Tables::Given => Network::acquainted::<Stock>(seed, way, region, nodes, Stock::settled).await,
            Tables::Own => Network::settled::<Stock>(seed, way, region, nodes).await,
        };
        measured.push(measure("stock kad", network, options, out).await?);
    }
    Ok(describe(options, &measured))
}

fn describe(options: &Options, measured: &[Measured]) -> Report {
    let mut report = Report { sheets: vec![times(options, measured)], ..Report::default() };
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
    if let [shoal, stock] = measured {
        compare(shoal, stock, &mut report);
    }
    report
}

/// The table of how long lookups took.
fn times(options: &Options, measured: &[Measured]) -> Sheet {
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
            "first mean",
            "whole p50",
            "whole p95",
            "whole mean",
            "first requests",
            "all requests",
            "lag ms",
            "worst",
        ],
    );
    for Measured { name, found, lag, is_punctual } in measured {
        sheet.row([
            text(*name),
            count(found.asked),
            number(found.percent(), 1),
            number(found.hops.mean(), 2),
            time(found.first.percentile(50), 2, *is_punctual),
            time(found.first.percentile(95), 2, *is_punctual),
            time(found.first.mean(), 2, *is_punctual),
            time(found.whole.percentile(50), 2, *is_punctual),
            time(found.whole.percentile(95), 2, *is_punctual),
            time(found.whole.mean(), 2, *is_punctual),
            number(found.first_requests.mean(), 1),
            number(found.requests.mean(), 1),
            number(lag.usual.as_secs_f64() * 1e3, 0),
            number(lag.worst.as_secs_f64() * 1e3, 0),
        ]);
    }
    if let [shoal, stock] = measured {
        sheet.row(ratios(shoal, stock));
    }
    sheet
}

async fn measure(
    name: &'static str,
    network: impl AsyncFnOnce() -> Result<Network>,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Measured> {
    let began = Instant::now();
    let network = network().await?;
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
    let found = look_up_every(options.every, &seekers, &items, &network).await?;
    let lag = network.internet.clock.take_lag();
    Ok(Measured { name, found, lag, is_punctual: network.is_punctual(lag) })
}

/// A line of the table: ours by theirs.
fn ratios(shoal: &Measured, stock: &Measured) -> [Cell; 14] {
    let in_time = shoal.is_punctual && stock.is_punctual;
    let ratio = |what: fn(&Found) -> f64| what(&shoal.found) / what(&stock.found);
    let of_time = |what| time(ratio(what), 2, in_time);
    let nothing = || number(f64::NAN, 0);
    [
        text("ratio"),
        nothing(),
        number(ratio(Found::percent), 2),
        nothing(),
        of_time(|found| found.first.percentile(50)),
        of_time(|found| found.first.percentile(95)),
        of_time(|found| found.first.mean()),
        of_time(|found| found.whole.percentile(50)),
        of_time(|found| found.whole.percentile(95)),
        of_time(|found| found.whole.mean()),
        number(ratio(|found| found.first_requests.mean()), 2),
        number(ratio(|found| found.requests.mean()), 2),
        nothing(),
        nothing(),
    ]
}

fn compare(shoal: &Measured, stock: &Measured, report: &mut Report) {
    let ratio = |what: fn(&Found) -> f64| what(&shoal.found) / what(&stock.found);
    let in_time = shoal.is_punctual && stock.is_punctual;
    let halves = [ratio(|found| found.first.percentile(50)), ratio(|found| found.whole.percentile(50))];
    let requests = [ratio(|found| found.first_requests.mean()), ratio(|found| found.requests.mean())];
    let within = |ratios: [f64; 2], most: f64| ratios.iter().all(|ratio| *ratio <= most);
    report.goal(
        format_args!(
            "at most {TIME_OF_STOCK} of stock Kademlia's time at p50, to the provider and to the end"
        ),
        in_time && within(halves, TIME_OF_STOCK),
    );
    report.goal(
        format_args!("at most {REQUESTS_OF_STOCK} times its requests, to the provider and to the end"),
        within(requests, REQUESTS_OF_STOCK),
    );
}
