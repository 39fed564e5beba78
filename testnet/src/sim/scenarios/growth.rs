//! How cost grows with the network: hops, requests, time and memory over its size, of ours and of stock Kademlia.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::sleep;

use crate::{
    bench::svg::{Curves, Ours, signed},
    sim::{
        Whose,
        lookups::{Found, look_up, publish},
        member::{Behave, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Report, Sheet, count, number, text, time},
        resident,
        seed::Seed,
        wire::{Counts, Lag, Way},
    },
    stats::{Samples, line},
    table,
};

/// Nodes that publish a key each.
const PUBLISHERS: usize = 50;

/// Tables that are counted.
const TABLES: usize = 20;

/// What is read off the lines at the end of a plot.
const MILLION: f64 = 1e6;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) sizes: Vec<usize>,
    pub(crate) lookups: usize,
    pub(crate) rest: Duration,
    pub(crate) whose: Whose,
    pub(crate) stock_up_to: usize,
}

/// What is held against the number of nodes.
type Law = fn(&Size) -> f64;

/// What was found in one network.
struct Size {
    nodes: usize,
    /// Until the last node was started.
    up: Duration,
    /// Bytes a node when all were up, and at rest.
    joined: f64,
    resting: f64,
    table: f64,
    rest: String,
    requests: f64,
    dials: f64,
    sent: f64,
    found: Found,
    copies: f64,
    publish: f64,
    lag: Lag,
    is_punctual: bool,
}

/// Grows one network after the other.
pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let (mut shoal, mut stock) = (Vec::new(), Vec::new());
    let before = resident();
    for &size in &options.sizes {
        if options.whose.includes(Whose::Shoal) {
            shoal.push(measure::<Shoal>("Shoal", (seed, way), size, before, options, out).await?);
        }
        if options.whose.includes(Whose::Stock) && size <= options.stock_up_to {
            stock.push(measure::<Stock>("stock kad", (seed, way), size, before, options, out).await?);
        }
    }
    let mut sheet = Sheet::new(
        "Cold lookups in networks of different sizes; times in round trips",
        &[
            "overlay",
            "nodes",
            "table",
            "found %",
            "hops",
            "requests",
            "first p50",
            "first p95",
            "whole p50",
            "whole p95",
            "copies",
            "publish p50",
            "lag ms",
            "worst",
        ],
    );
    let mut joining = Sheet::new(
        "What joining cost, for each node; all that was said is counted, to newcomers too",
        &["overlay", "nodes", "up s", "rest", "KiB joined", "KiB at rest", "requests", "dials", "KiB sent"],
    );
    let mut report = Report::default();
    let all = [("Shoal", &shoal), ("stock kad", &stock)];
    for (name, sizes) in all {
        for size in sizes {
            let (found, in_time) = (&size.found, size.is_punctual);
            sheet.row([
                text(name),
                count(size.nodes),
                number(size.table, 0),
                number(found.percent(), 1),
                number(found.hops.mean(), 2),
                number(found.requests.mean(), 1),
                time(found.first.percentile(50), 2, in_time),
                time(found.first.percentile(95), 2, in_time),
                time(found.whole.percentile(50), 2, in_time),
                time(found.whole.percentile(95), 2, in_time),
                number(size.copies, 1),
                time(size.publish, 2, in_time),
                number(size.lag.usual.as_secs_f64() * 1e3, 0),
                number(size.lag.worst.as_secs_f64() * 1e3, 0),
            ]);
            joining.row([
                text(name),
                count(size.nodes),
                number(size.up.as_secs_f64(), 1),
                text(&*size.rest),
                number(size.joined / 1024.0, 0),
                number(size.resting / 1024.0, 0),
                number(size.requests, 1),
                number(size.dials, 1),
                number(size.sent / 1024.0, 1),
            ]);
        }
    }
    report.sheets = vec![sheet, joining];
    let laws: [(&str, Law); 6] = [
        ("Hops of a lookup", |size| size.found.hops.mean()),
        ("Requests of a lookup", |size| size.found.requests.mean()),
        ("Round trips until the provider is named, mean", |size| size.mean(&size.found.first)),
        ("Round trips to the end of the walk, mean", |size| size.mean(&size.found.whole)),
        ("KiB of memory a node, at rest", |size| size.resting / 1024.0),
        ("Requests to join", |size| size.requests),
    ];
    for (what, of) in laws {
        let mut curves = Curves::new(format!("{what} (less is better)"));
        for (name, sizes) in all {
            let points: Vec<_> = sizes.iter().map(|size| (size.nodes as f64, of(size))).collect();
            curves.curve(name, &points, if name == "Shoal" { Ours::Yes } else { Ours::No });
            let measured = points.iter().filter(|(_, y)| y.is_finite());
            let doublings: Vec<_> = measured.map(|(nodes, y)| (nodes.log2(), *y)).collect();
            if let Some((slope, at_zero)) = line(&doublings) {
                let million = at_zero + slope * MILLION.log2();
                let slope = signed(slope);
                report
                    .findings
                    .push(format!("{what}, {name}: {slope} a doubling, {million:.1} at a million nodes."));
            }
        }
        report.curves.push(curves);
    }
    Ok(report)
}

impl Size {
    /// The mean of times, if they are worth anything.
    fn mean(&self, times: &Samples) -> f64 {
        if self.is_punctual { times.mean() } else { f64::NAN }
    }
}

async fn measure<B: Behave>(
    name: &str,
    (seed, way): (Seed, Way),
    nodes: usize,
    before: u64,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Size> {
    let began = Instant::now();
    let network = Network::settled::<B>(seed, way, Region::Internet, nodes).await?;
    let up = began.elapsed().saturating_sub(network.rest.after);
    // What an earlier network left behind is used again.
    let memory = || resident().saturating_sub(before) as f64 / nodes as f64;
    let joined = memory();
    let all = table::size(resident().saturating_sub(before));
    writeln!(out, "{name}: {nodes} nodes up in {}, {}, {all} in all", table::time(up), network.rest)?;
    let hosts = || network.members.iter().map(|member| &member.host.counts);
    let each = |count: fn(&Counts) -> u64| hosts().map(count).sum::<u64>() as f64 / nodes as f64;
    let (requests, dials, sent) = (each(Counts::overlay), each(Counts::dials), each(Counts::bytes));
    let members = network.alive("roles");
    let publishers = &members[..PUBLISHERS.min(nodes / 2)];
    let published = publish(publishers, &network, "item").await?;
    sleep(options.rest).await;
    let resting = memory();
    network.internet.clock.take_lag();
    let seekers = &members[publishers.len()..];
    let found = look_up(&seekers[..options.lookups.min(seekers.len())], &published.items, &network).await?;
    let lag = network.internet.clock.take_lag();
    let tables = members.iter().take(TABLES).map(async |member| member.table().await);
    let tables: Samples = try_join_all(tables).await?.iter().map(|table| table.len() as f64).collect();
    Ok(Size {
        nodes,
        up,
        joined,
        resting,
        table: tables.mean(),
        rest: network.rest.to_string(),
        requests,
        dials,
        sent,
        found,
        copies: published.copies.mean(),
        publish: published.whole.percentile(50),
        lag,
        is_punctual: network.is_punctual(lag),
    })
}
