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

/// What is read off the lines at the end of a plot.
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

fn describe(Grown { shoal, stock }: &Grown) -> Report {
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
    let mut joining = Sheet::new(
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
    let mut report = Report::default();
    let all = [("Shoal", shoal), ("stock kad", stock)];
    for (name, sizes) in all {
        for size in sizes {
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
            joining.row([
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
    }
    report.sheets = vec![sheet, joining];
    let laws: [(&str, Law); 6] = [
        ("Hops of a lookup", |size| size.hops),
        ("Requests of a lookup", |size| size.requests),
        ("Round trips until the provider is named, mean", |size| size.mean(size.first)),
        ("Round trips to the end of the walk, mean", |size| size.mean(size.whole)),
        ("KiB of memory a node, at rest", |size| size.resting / 1024.0),
        ("Requests to join", |size| size.requests_to_join),
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
    report
}

impl Size {
    /// The mean of times, if they are worth anything.
    fn mean(&self, times: Times) -> f64 {
        if self.is_punctual { times.mean } else { f64::NAN }
    }
}
