//! One file from several sources with limited uplinks, and from four of which one is killed midway.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result, bail};
use rand::seq::SliceRandom;
use shoal_gateway::json::{Event, Fetched};

use super::{
    Run,
    contender::as_f64,
    record::Record,
    report::{Bound, Goal, Report, with_spread},
    stats,
    svg::{Chart, Ours},
};
use crate::{
    sample,
    shoal::{Daemon, Running},
    table::{self, Table},
};

/// What each source may send in a second: 100 Mbit.
pub(crate) const UPLINK: u64 = 12_500_000;

const MIB: f64 = 1_048_576.0;

/// How many sources to get from. Each adds a quarter of the file, so that the time should stay the same.
const COUNTS: [usize; 3] = [1, 2, 4];

/// All sources there are.
const SOURCES: usize = 4;

/// One measurement: from how many sources, and whether one of them dies.
#[derive(Debug, Clone, Copy)]
enum Case {
    From(usize),
    Killed,
}

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let size = run.record.setting("size");
    let mut files = Vec::new();
    for (number, count) in (1..).zip(COUNTS) {
        let file = run.dir.join(format!("original-{count}.bin"));
        sample::write_file(&file, run.seed.wrapping_add(number), size / SOURCES as u64 * count as u64)?;
        sample::make_old(&file)?;
        files.push((count, file));
    }
    let mut cases: Vec<Case> = COUNTS.map(Case::From).into_iter().chain([Case::Killed]).collect();
    for block in 1..=run.blocks {
        cases.shuffle(&mut run.rng);
        for case in &cases {
            let count = if let Case::From(count) = case { *count } else { SOURCES };
            let file =
                files.iter().find(|(of, _)| *of == count).map(|(_, file)| file).context("no such file")?;
            measure_one(run, *case, count, file)?;
        }
        run.tell_block(block)?;
    }
    Ok(())
}

fn measure_one(run: &mut Run<'_>, case: Case, count: usize, file: &PathBuf) -> Result<()> {
    let dir = run.dir.join("case");
    let mut args = vec!["get".to_owned()];
    let mut sources = Vec::new();
    for number in 0..count {
        let mut options = run.shoal.on_loopback();
        options.extend(["--up".to_owned(), UPLINK.to_string()]);
        let source = Daemon::start(run.shoal, &dir.join(format!("source-{number}")), &options)?;
        let cid = source.publish_alone(file)?;
        if number == 0 {
            args.push(cid);
            args.extend(["-o".to_owned(), dir.join("got.bin").display().to_string()]);
            args.extend(run.shoal.on_loopback());
        }
        args.extend(["--peer".to_owned(), source.address()?]);
        sources.push(source);
    }
    let size = fs::metadata(file)?.len();
    let start = Instant::now();
    let get = run.shoal.start(&dir.join("getter"), &args)?;
    let mut ideal = least(size, count);
    let mut sent = 0;
    if matches!(case, Case::Killed) {
        let there = progress_to(&get, size / 2)?;
        sent += sources.last().context("no source")?.status()?.sent;
        // Dropping it kills it.
        drop(sources.pop());
        let left = size.saturating_sub(there);
        ideal = least(there, count) + least(left, sources.len());
    }
    let fetched = fetched(&get)?;
    let wall = start.elapsed().as_secs_f64();
    get.finish()?;
    let name = match case {
        Case::From(count) => format!("from {count}"),
        Case::Killed => "killed".to_owned(),
    };
    let samples = &mut run.record.samples;
    samples.push(format!("{name} wall"), wall);
    samples.push(format!("{name} ideal"), ideal);
    for source in &sources {
        sent += source.status()?.sent;
    }
    samples.push(format!("{name} waste"), as_f64(sent.saturating_sub(size)) / as_f64(size) * 100.0);
    if matches!(case, Case::Killed) {
        let dropped = fetched.dropped.len();
        samples.push("killed dropped", as_f64(dropped as u64));
    }
    drop(sources);
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The least that so many bytes take from so many sources, all of which send what they may from the first moment on.
fn least(bytes: u64, sources: usize) -> f64 {
    as_f64(bytes) / as_f64(UPLINK) / as_f64(sources as u64)
}

/// Waits until so many bytes are there, and tells how many exactly.
fn progress_to(get: &Running, bytes: u64) -> Result<u64> {
    loop {
        match get.next()? {
            Event::Progress(progress) if progress.bytes >= bytes => return Ok(progress.bytes),
            Event::Done(done) => bail!("the get ended before half of it was there: {done:?}"),
            _ => {}
        }
    }
}

/// Waits until everything is there.
pub(crate) fn fetched(get: &Running) -> Result<Fetched> {
    loop {
        match get.next()? {
            Event::Fetched(fetched) => return Ok(fetched),
            Event::Done(done) => bail!("the get failed: {done:?}"),
            _ => {}
        }
    }
}

pub(crate) fn report(record: &Record) -> Report {
    let of = |quantity: &str| record.samples.of(quantity);
    let size = record.setting("size");
    let mut table =
        Table::new(&["sources of 100 Mbit/s", "size", "seconds", "MiB/s", "of the possible", "waste %"]);
    let mut chart = Chart::new("from several sources of 100 Mbit/s: MiB/s (longer is better)");
    let mut points = Vec::new();
    for count in COUNTS {
        let amount = size / SOURCES as u64 * count as u64;
        let wall = of(&format!("from {count} wall"));
        let rates: Vec<f64> = wall.iter().map(|wall| as_f64(amount) / MIB / wall).collect();
        let share = stats::ratios(of(&format!("from {count} ideal")), wall);
        let waste = with_spread(of(&format!("from {count} waste")));
        table.row([
            count.to_string(),
            table::size(amount),
            with_spread(wall),
            with_spread(&rates),
            with_spread(&share),
            waste,
        ]);
        chart.bar(format!("{count}"), &rates, Ours::Yes);
        points.extend(stats::spread(&rates).map(|spread| (as_f64(count as u64), spread.median)));
    }
    let killed = stats::ratios(of("killed wall"), of("killed ideal"));
    let share = stats::ratios(of("killed ideal"), of("killed wall"));
    let words = ["4, one killed midway".to_owned(), table::size(size), with_spread(of("killed wall"))];
    let [who, amount, wall] = words;
    let waste = with_spread(of("killed waste"));
    table.row([who, amount, wall, "-".to_owned(), with_spread(&share), waste]);
    let four = stats::ratios(of("from 4 ideal"), of("from 4 wall"));
    let slope: Vec<f64> = stats::slope(&points).into_iter().collect();
    let goals = [
        Goal::new("G3 rate from 4 sources, by their sum", &four, Bound::AtLeast(0.95)),
        Goal::new("G3 waste from 4 sources, %", of("from 4 waste"), Bound::AtMost(1.0)),
        Goal::new("G3 time with one killed, by the least possible", &killed, Bound::AtMost(1.05)),
        Goal::new("G3 waste with one killed, %", of("killed waste"), Bound::AtMost(1.0)),
        Goal::new("exponent: rate by the number of sources", &slope, Bound::AtLeast(0.95)),
    ];
    Report {
        title: "sources: one file from several sources that may send 100 Mbit/s each".to_owned(),
        tables: vec![table],
        goals: goals.into_iter().flatten().collect(),
        charts: vec![chart],
    }
}
