//! How cost grows with the network: hops, requests, time and memory over its size, of ours and of stock Kademlia.

mod size;

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::size::{One, Plan, tell};
use self::size::{Size, Times, measure_apart};
use crate::{
    bench::svg::{Curves, Ours, signed},
    process::Launcher,
    sim::{
        Whose,
        report::{Report, Sheet, count, number, text, time},
        seed::Seed,
        wire::Way,
    },
    stats::{line, percent},
};

/// Nodes of the network for which the plotted lines are extrapolated.
const MILLION: f64 = 1e6;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) sizes: Vec<usize>,
    pub(crate) plan: Plan,
    pub(crate) whose: Whose,
    pub(crate) stock_up_to: usize,
}

/// What is held against the number of nodes.
type Law = fn(&Size) -> f64;

/// An overlay's name, and its networks from small to large.
type Overlay<'a> = (&'static str, &'a [Size]);

/// The networks of all runs so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Grown {
    shoal: Vec<Size>,
    stock: Vec<Size>,
}

/// Grows one network after the other, beside those that were measured `before`.
pub(crate) fn run(
    launcher: &Launcher,
    from: (Seed, Way),
    options: &Options,
    before: Option<&Value>,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut grown: Grown = match before {
        Some(before) => serde_json::from_value(before.clone()).context("what was measured before")?,
        None => Grown::default(),
    };
    for &size in &options.sizes {
        let mut measure = |one| measure_apart(launcher, one, from, size, options.plan, out);
        if options.whose.includes(Whose::Shoal) {
            take(&mut grown.shoal, measure(One::Shoal)?);
        }
        if options.whose.includes(Whose::Stock) && size <= options.stock_up_to {
            take(&mut grown.stock, measure(One::Stock)?);
        }
    }
    let mut report = describe(&grown);
    report.measured = serde_json::to_value(&grown)?;
    Ok(report)
}

/// Adds a network in its place, for any of its size that was measured before.
fn take(sizes: &mut Vec<Size>, size: Size) {
    sizes.retain(|known| known.nodes != size.nodes);
    let at = sizes.partition_point(|known| known.nodes < size.nodes);
    sizes.insert(at, size);
}

fn describe(grown: &Grown) -> Report {
    let overlays = [("Shoal", grown.shoal.as_slice()), ("stock kad", grown.stock.as_slice())];
    let mut report = Report { sheets: vec![lookups(&overlays), joining(&overlays)], ..Report::default() };
    let laws: [(&str, Law); 6] = [
        ("Hops of a lookup", |size| size.hops),
        ("Requests of a lookup", |size| size.requests),
        ("Round trips until the provider is named, mean", |size| size.mean(size.first)),
        ("Round trips to the end of the walk, mean", |size| size.mean(size.whole)),
        ("KiB of memory a node, at rest", |size| size.resting / 1024.0),
        ("Requests to join", |size| size.requests_to_join),
    ];
    for (what, of) in laws {
        plot(&mut report, &overlays, what, of);
    }
    report
}

/// The table of what lookups cost.
fn lookups(overlays: &[Overlay<'_>]) -> Sheet {
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
            "first mean",
            "whole p50",
            "whole p95",
            "whole mean",
            "copies",
            "publish p50",
            "lag ms",
            "worst",
        ],
    );
    for (name, size) in each(overlays) {
        let in_time = size.is_punctual;
        sheet.row([
            text(name),
            count(size.nodes),
            number(size.table, 0),
            number(percent(size.found, size.asked), 1),
            number(size.hops, 2),
            number(size.requests, 1),
            time(size.first.p50, 2, in_time),
            time(size.first.p95, 2, in_time),
            time(size.first.mean, 2, in_time),
            time(size.whole.p50, 2, in_time),
            time(size.whole.p95, 2, in_time),
            time(size.whole.mean, 2, in_time),
            number(size.copies, 1),
            time(size.publish, 2, in_time),
            number(size.lag_ms, 0),
            number(size.worst_ms, 0),
        ]);
    }
    sheet
}

/// The table of what joining cost.
fn joining(overlays: &[Overlay<'_>]) -> Sheet {
    let mut sheet = Sheet::new(
        "What joining cost, for each node; all that was said is counted, to newcomers too",
        &[
            "overlay",
            "nodes",
            "up s",
            "calm after s",
            "KiB joined",
            "KiB at rest",
            "MiB in all",
            "requests",
            "dials",
            "KiB sent",
        ],
    );
    for (name, size) in each(overlays) {
        sheet.row([
            text(name),
            count(size.nodes),
            number(size.up, 1),
            number(size.calm_after, 1),
            number(size.joined / 1024.0, 0),
            number(size.resting / 1024.0, 0),
            number(size.resting * size.nodes as f64 / f64::from(1 << 20), 0),
            number(size.requests_to_join, 1),
            number(size.dials, 1),
            number(size.sent / 1024.0, 1),
        ]);
    }
    sheet
}

/// Every network of every overlay.
fn each<'a>(overlays: &'a [Overlay<'_>]) -> impl Iterator<Item = (&'static str, &'a Size)> {
    overlays.iter().flat_map(|(name, sizes)| sizes.iter().map(move |size| (*name, size)))
}

/// Adds the curves of one law, and what its lines say of a million nodes.
fn plot(report: &mut Report, overlays: &[Overlay<'_>], what: &str, of: Law) {
    let mut curves = Curves::new(format!("{what} (less is better)"));
    for (name, sizes) in overlays {
        let points: Vec<_> = sizes.iter().map(|size| (size.nodes as f64, of(size))).collect();
        curves.curve(*name, &points, if *name == "Shoal" { Ours::Yes } else { Ours::No });
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

impl Size {
    /// The mean of times, if they are worth anything.
    fn mean(&self, times: Times) -> f64 {
        if self.is_punctual { times.mean } else { f64::NAN }
    }
}
