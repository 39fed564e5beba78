//! How cost grows with the network: hops, requests, time and memory over its size.

use std::{io::Write, time::Instant};

use anyhow::Result;
use futures::future::try_join_all;

use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{look_up, publish},
        member::shoal::Shoal,
        network::{Network, Region},
        report::{Report, Sheet, count, number},
        resident,
        seed::Seed,
        wire::{Counts, Way},
    },
    stats::{Samples, line},
    table,
};

/// Nodes that publish a key each.
const PUBLISHERS: usize = 50;

/// Tables that are counted.
const TABLES: usize = 20;

/// Grows one network after the other.
pub(crate) async fn run(
    seed: Seed,
    way: Way,
    sizes: &[usize],
    lookups: usize,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut sheet = Sheet::new(
        "Lookups in networks of different sizes, before idle connections end; times in round trips",
        &[
            "nodes",
            "up s",
            "KiB/node",
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
        ],
    );
    let mut joining = Sheet::new(
        "What joining cost, for each node; all that was said is counted, to newcomers too",
        &["nodes", "requests", "dials", "KiB sent"],
    );
    let (mut hops, mut requests) = (Vec::new(), Vec::new());
    let mut first = Chart::new("Until the provider is named, in round trips (less is better)");
    let mut requests_chart = Chart::new("Requests of a lookup (less is better)");
    for &size in sizes {
        let (before, began) = (resident(), Instant::now());
        let network = Network::settled::<Shoal>(seed, way, Region::Internet, size).await?;
        let up = began.elapsed();
        let memory = resident().saturating_sub(before);
        writeln!(out, "{size} nodes up in {}, {} in all", table::time(up), table::size(memory))?;
        let hosts = || network.members.iter().map(|member| &member.host.counts);
        joining.row([
            count(size),
            number(hosts().map(Counts::overlay).sum::<u64>() as f64 / size as f64, 1),
            number(hosts().map(Counts::dials).sum::<u64>() as f64 / size as f64, 1),
            number(hosts().map(Counts::bytes).sum::<u64>() as f64 / size as f64 / 1024.0, 1),
        ]);
        let members = network.alive("roles");
        let publishers = &members[..PUBLISHERS.min(size / 2)];
        let published = publish(publishers, &network, "item").await?;
        let seekers = &members[publishers.len()..];
        let found = look_up(&seekers[..lookups.min(seekers.len())], &published.items, &network).await?;
        let tables = members.iter().take(TABLES).map(async |member| member.table().await);
        let tables: Samples = try_join_all(tables).await?.iter().map(|table| table.len() as f64).collect();
        sheet.row([
            count(size),
            number(up.as_secs_f64(), 1),
            number(memory as f64 / 1024.0 / size as f64, 0),
            number(tables.mean(), 0),
            number(found.percent(), 1),
            number(found.hops.mean(), 2),
            number(found.requests.mean(), 1),
            number(found.first.percentile(50), 2),
            number(found.first.percentile(95), 2),
            number(found.whole.percentile(50), 2),
            number(found.whole.percentile(95), 2),
            number(published.copies.mean(), 1),
            number(published.whole.percentile(50), 2),
            number(network.internet.clock.take_worst_lag().as_secs_f64() * 1e3, 0),
        ]);
        first.bar(format!("{size} nodes"), found.first.values(), Ours::Yes);
        requests_chart.bar(format!("{size} nodes"), found.requests.values(), Ours::Yes);
        hops.push((size as f64, found.hops.mean()));
        requests.push((size as f64, found.requests.mean()));
    }
    let mut report = Report { sheets: vec![sheet], ..Report::default() };
    for (what, points) in [("Hops", &hops), ("Requests", &requests)] {
        let doublings: Vec<_> = points.iter().map(|(size, y)| (size.log2(), *y)).collect();
        if let Some((slope, at_zero)) = line(&doublings).filter(|(slope, _)| slope.is_finite()) {
            let million = at_zero + slope * 1e6_f64.log2();
            report.findings.push(format!(
                "{what} grow by {slope:.2} when the network doubles: {million:.1} at a million nodes, by this line."
            ));
        }
    }
    report.charts = vec![first, requests_chart];
    report.sheets.push(joining);
    Ok(report)
}
