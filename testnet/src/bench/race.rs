//! Several contenders fetch the same original in turns, and what each of them costs.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use rand::seq::SliceRandom;

use super::{
    Run,
    contender::{Check, Contender, as_f64},
    record::Record,
    report::{Bound, Goal, median, with_spread},
    rivals::{self, ALL, Entry, OVER_QUIC, SHOAL, does},
    samples::Samples,
    scene::Scene,
    stats,
    svg::{Chart, Ours},
};
use crate::table::Table;

const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

/// Starts those of `entries` that this machine has, and says who is missing.
///
/// # Errors
///
/// Shoal or a floor does not start. A rival that does not is left out.
pub(crate) fn start(run: &mut Run<'_>, scene: &Scene, entries: &[&Entry]) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for entry in entries {
        if !run.wants(entry.name) || (entry.name == OVER_QUIC && run.only.is_empty()) {
            continue;
        }
        let lacks = entry.lacks();
        if !lacks.is_empty() {
            run.record.note(format!("without {}: {} not installed", entry.name, lacks.join(", ")));
            continue;
        }
        match entry.start(scene) {
            Ok(contender) => contenders.push(contender),
            Err(error) if is_rival(entry.name) => {
                run.record.note(format!("without {}: {error:#}", entry.name));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(contenders)
}

/// Lets each fetch once to warm up and then once in every block, in an order that chance decides.
///
/// # Errors
///
/// Shoal or a floor fails. A rival that does is left out from there on.
pub(crate) fn race(run: &mut Run<'_>, scene: &Scene, mut contenders: Vec<Contender>) -> Result<()> {
    for block in 0..=run.blocks {
        contenders.shuffle(&mut run.rng);
        let mut failed = BTreeSet::new();
        for contender in &contenders {
            let writes = ALL.iter().any(|entry| entry.name == contender.name && entry.writes());
            let check = match (writes, block) {
                (false, _) => Check::Nothing,
                (true, 0) => Check::Bytes,
                (true, _) => Check::Presence,
            };
            match contender.fetch(scene, check) {
                Ok(_) if block == 0 => {}
                Ok(cost) => cost.note(contender.name, &mut run.record.samples),
                Err(error) if is_rival(contender.name) => {
                    run.record.note(format!("without {}: {error:#}", contender.name));
                    run.record.samples.forget(contender.name);
                    failed.insert(contender.name);
                }
                Err(error) => return Err(error),
            }
        }
        contenders.retain(|contender| !failed.contains(contender.name));
        if contenders.is_empty() {
            bail!("nobody takes part");
        }
        run.tell_block(block)?;
    }
    Ok(())
}

fn is_rival(name: &str) -> bool {
    name != SHOAL && name != OVER_QUIC && !name.starts_with(rivals::FLOOR)
}

/// Who was measured, in the order of [`ALL`].
pub(crate) fn measured(samples: &Samples) -> Vec<&'static str> {
    ALL.iter()
        .map(|entry| entry.name)
        .filter(|name| !samples.of(&format!("{name} wall")).is_empty())
        .collect()
}

/// How many times as fast as `other` we are, block by block. Empty where the other was not there.
pub(crate) fn speed_by(samples: &Samples, other: &str) -> Vec<f64> {
    stats::ratios(samples.of(&format!("{other} wall")), samples.of("shoal wall"))
}

/// Processor time of both sides, block by block.
pub(crate) fn cpu(samples: &Samples, name: &str) -> Vec<f64> {
    let (send, receive) =
        (samples.of(&format!("{name} send cpu")), samples.of(&format!("{name} receive cpu")));
    send.iter().zip(receive).map(|(send, receive)| send + receive).collect()
}

/// One line for each contender: its speed, its costs, and how we compare.
pub(crate) fn table(record: &Record) -> Table {
    let heading = [
        "contender",
        "bytes are",
        "seconds",
        "MiB/s",
        "CPU-s/GiB send + receive",
        "peak MiB send, receive",
        "shoal is",
    ];
    let mut table = Table::new(&heading);
    let (samples, size) = (&record.samples, as_f64(record.setting("size")));
    for name in measured(samples) {
        let of = |quantity: &str| samples.of(&format!("{name} {quantity}"));
        let scaled = |quantity: &str, by: f64| {
            median(&of(quantity).iter().map(|value| value / by).collect::<Vec<_>>())
        };
        table.row([
            name.to_owned(),
            does(name).to_owned(),
            median(of("wall")),
            with_spread(&rates(record, name)),
            format!("{} + {}", scaled("send cpu", size / GIB), scaled("receive cpu", size / GIB)),
            format!("{}, {}", scaled("send peak", MIB), scaled("receive peak", MIB)),
            format!("{} × as fast", with_spread(&speed_by(samples, name))),
        ]);
    }
    table
}

fn rates(record: &Record, name: &str) -> Vec<f64> {
    let size = as_f64(record.setting("size")) / MIB;
    record.samples.of(&format!("{name} wall")).iter().map(|wall| size / wall).collect()
}

/// The speeds and the costs as plots.
pub(crate) fn charts(record: &Record, what: &str) -> Vec<Chart> {
    let mut speed = Chart::new(format!("{what}: MiB/s (longer is better)"));
    let mut cost = Chart::new(format!("{what}: CPU-seconds per GiB, both sides (shorter is better)"));
    let size = as_f64(record.setting("size")) / GIB;
    for name in measured(&record.samples) {
        let ours = if name == SHOAL { Ours::Yes } else { Ours::No };
        let label = format!("{name} ({})", does(name));
        speed.bar(&label, &rates(record, name), ours);
        let per_gib: Vec<f64> = cpu(&record.samples, name).iter().map(|cpu| cpu / size).collect();
        cost.bar(&label, &per_gib, ours);
    }
    vec![speed, cost]
}

/// A goal about how many times as fast as another we are.
pub(crate) fn speed_goal(record: &Record, number: &str, other: &str, at_least: f64) -> Option<Goal> {
    let what = format!("{number} speed, by that of {other}");
    Goal::new(what, &speed_by(&record.samples, other), Bound::AtLeast(at_least))
}

/// A goal about how much processor time we use by that of another.
pub(crate) fn cpu_goal(record: &Record, number: &str, other: &str, at_most: f64) -> Option<Goal> {
    let what = format!("{number} CPU of both sides, by that of {other}");
    let ratios = stats::ratios(&cpu(&record.samples, SHOAL), &cpu(&record.samples, other));
    Goal::new(what, &ratios, Bound::AtMost(at_most))
}
