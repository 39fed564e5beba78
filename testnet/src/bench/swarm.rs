//! One seed and several who all want the same file or directory at once, each with a limited uplink.

use std::{fs, time::Instant};

use anyhow::Result;

use super::{
    Run,
    contender::as_f64,
    meter,
    record::Record,
    report::{Bound, Goal, Report, with_spread},
    sources::{UPLINK, fetched},
    stats,
    svg::{Chart, Ours},
};
use crate::{
    sample,
    shoal::Daemon,
    table::{self, Table},
};

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let original = run.dir.join("original");
    let (size, files) = (run.record.setting("size"), run.record.setting("files"));
    match files {
        1 => sample::write_file(&original, run.seed, size)?,
        files => sample::write_equal(&original, run.seed, files, size / files.max(1))?,
    }
    sample::make_old(&original)?;
    for block in 1..=run.blocks {
        let dir = run.dir.join("swarm");
        let mut options = run.shoal.on_loopback();
        options.extend(["--up".to_owned(), UPLINK.to_string()]);
        let seed = Daemon::start(run.shoal, &dir.join("seed"), &options)?;
        options.extend(["--peer".to_owned(), seed.address()?]);
        let mut receivers = Vec::new();
        for number in 0..run.record.setting("receivers") {
            receivers.push(Daemon::start(run.shoal, &dir.join(format!("receiver-{number}")), &options)?);
        }
        let cid = seed.publish(&original)?;
        let before = seed.status()?.sent;
        let start = Instant::now();
        let mut gets = Vec::new();
        for number in 0..receivers.len() {
            let target = dir.join(format!("got-{number}")).display().to_string();
            let home = dir.join(format!("receiver-{number}"));
            gets.push(run.shoal.start(&home, &["get", &cid, "-o", &target])?);
        }
        for get in gets {
            fetched(&get)?;
        }
        let last = start.elapsed().as_secs_f64();
        let sent = seed.status()?.sent.saturating_sub(before);
        let mut cpu = meter::cpu_seconds(seed.ready().pid)?;
        let mut by_all = sent;
        for receiver in &receivers {
            cpu += meter::cpu_seconds(receiver.ready().pid)?;
            by_all += receiver.status()?.sent;
        }
        let needed = run.record.setting("size") * run.record.setting("receivers");
        let samples = &mut run.record.samples;
        samples.push("last wall", last);
        samples.push("seed sent", as_f64(sent));
        samples.push("all cpu", cpu);
        samples.push("waste", as_f64(by_all.saturating_sub(needed)) / as_f64(needed) * 100.0);
        drop((receivers, seed));
        fs::remove_dir_all(&dir)?;
        run.tell_block(block)?;
    }
    Ok(())
}

/// The least time in which everyone can have everything: the seed must send it once, and all together everything.
fn fluid_bound(size: f64, receivers: f64, uplink: f64) -> f64 {
    (size / uplink).max(receivers * size / (uplink * (receivers + 1.0)))
}

pub(crate) fn report(record: &Record) -> Report {
    let (size, receivers) = (as_f64(record.setting("size")), as_f64(record.setting("receivers")));
    let bound = fluid_bound(size, receivers, as_f64(UPLINK));
    let of = |quantity: &str, by: f64| -> Vec<f64> {
        record.samples.of(quantity).iter().map(|value| value / by).collect()
    };
    let gib = size * receivers / as_f64(1 << 30);
    let mut table = Table::new(&[
        "last to finish, s",
        "least possible, s",
        "seed sent, by the file",
        "waste %",
        "CPU-s/GiB received",
    ]);
    table.row([
        with_spread(&of("last wall", 1.0)),
        with_spread(&[bound]),
        with_spread(&of("seed sent", size)),
        with_spread(&of("waste", 1.0)),
        with_spread(&of("all cpu", gib)),
    ]);
    let mut chart = Chart::new("seconds until the last has everything (shorter is better)");
    chart.bar("shoal", &of("last wall", 1.0), Ours::Yes);
    chart.bar("least possible", &[bound], Ours::No);
    let late = stats::ratios(&of("last wall", 1.0), &vec![bound; record.samples.blocks()]);
    let goals = [
        Goal::new("G4 last to finish, by the fluid bound", &late, Bound::AtMost(1.25)),
        Goal::new("G4 sent by the seed, by the file", &of("seed sent", size), Bound::AtMost(1.3)),
        Goal::new("G4 waste, %", &of("waste", 1.0), Bound::AtMost(1.0)),
    ];
    Report {
        title: format!(
            "swarm: {} in {} from one seed to {receivers} receivers, uplinks of 100 Mbit/s",
            table::size(record.setting("size")),
            match record.setting("files") {
                1 => "a file".to_owned(),
                files => format!("{files} files"),
            }
        ),
        tables: vec![table],
        goals: goals.into_iter().flatten().collect(),
        charts: vec![chart],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_seed_or_everyone_together() {
        // Alone with the seed, a receiver waits for the seed; so do many whose uplinks are as good.
        assert!((fluid_bound(100.0, 1.0, 10.0) - 10.0).abs() < 1e-9);
        assert!((fluid_bound(100.0, 8.0, 10.0) - 10.0).abs() < 1e-9);
    }
}
