//! How cost grows with the size of a file and with the number of files.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    Run,
    contender::{Check, as_f64},
    publish,
    record::Record,
    report::{Bound, Goal, Report, number, with_spread},
    rivals::{ALL, SHOAL},
    samples::Samples,
    scene::{Original, Place, Scene},
    small_files::EACH,
    stats,
    svg::{Chart, Ours},
};
use crate::{
    sample,
    shoal::Daemon,
    table::{self, Table},
};

const MIB: f64 = 1_048_576.0;

/// Measurements of each kind: two points would make any growth a straight line.
const STEPS: u32 = 4;

/// How much larger each file is than the one before.
const SIZE_FACTOR: u64 = 4;

/// How many more files each directory has than the one before.
const FILES_FACTOR: u64 = 10;

/// The largest exponent that still counts as proportional.
const PROPORTIONAL: f64 = 1.1;

/// The largest exponent that still counts as not growing.
const FLAT: f64 = 0.1;

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    for block in 0..run.blocks {
        let mut samples = Samples::default();
        for size in steps(run.record.setting("size"), SIZE_FACTOR) {
            let path = run.dir.join("original/large.bin");
            sample::write_file(&path, run.seed, size)?;
            let what = format!("{size} bytes");
            publish_twice(run, &path, &what, &mut samples)?;
            get(run, Original::file(&path)?, &what, &mut samples)?;
            fs::remove_file(&path)?;
        }
        for files in steps(run.record.setting("files"), FILES_FACTOR) {
            let path = run.dir.join("original/many");
            sample::write_equal(&path, run.seed, files, EACH)?;
            let original = Original::directory(&path, files * EACH)?;
            let what = format!("{files} files");
            publish_twice(run, &path, &what, &mut samples)?;
            get(run, original, &what, &mut samples)?;
            fs::remove_dir_all(&path)?;
        }
        run.record.samples.append(samples)?;
        run.tell_block(block + 1)?;
    }
    Ok(())
}

fn steps(first: u64, factor: u64) -> Vec<u64> {
    (0..STEPS).map(|step| first.saturating_mul(factor.saturating_pow(step))).collect()
}

/// Gets the original once, from a daemon that is new.
fn get(run: &Run<'_>, original: Original, what: &str, samples: &mut Samples) -> Result<()> {
    let dir = run.dir.join("scene");
    fs::create_dir(&dir)?;
    let scene = Scene::set(run.launcher, run.shoal, Place::loopback(), original, &dir)?;
    for entry in ALL.iter().filter(|entry| entry.name == SHOAL) {
        let cost = entry.start(&scene)?.fetch(&scene, Check::Bytes)?;
        cost.note(what, samples);
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn publish_twice(run: &Run<'_>, path: &Path, content: &str, samples: &mut Samples) -> Result<()> {
    let home = run.dir.join("home");
    let daemon = Daemon::start(run.shoal, &home, &run.shoal.on_loopback())?;
    for what in ["publish", "again"] {
        let (_, wall) = publish::publish(run, &home, path)?;
        samples.push(format!("{content} {what}"), wall);
    }
    daemon.stop()?;
    fs::remove_dir_all(&home)?;
    Ok(())
}

pub(crate) fn report(record: &Record) -> Report {
    let sizes = steps(record.setting("size"), SIZE_FACTOR);
    let files = steps(record.setting("files"), FILES_FACTOR);
    let bytes: Vec<_> =
        sizes.iter().map(|&size| (format!("{size} bytes"), table::size(size), size)).collect();
    let trees: Vec<_> =
        files.iter().map(|&files| (format!("{files} files"), format!("{files} files"), files)).collect();

    let mut tables = Vec::new();
    let mut goals = Vec::new();
    let mut charts = Vec::new();
    for (steps, quantity, title, bound) in [
        (&bytes, "publish", "seconds to publish a file", PROPORTIONAL),
        (&bytes, "wall", "seconds to get a file", PROPORTIONAL),
        (&bytes, "send peak", "peak MiB of the sender", FLAT),
        (&bytes, "receive peak", "peak MiB of the receiver", FLAT),
        (&trees, "publish", "seconds to publish a directory", PROPORTIONAL),
        (&trees, "again", "seconds to publish it again", PROPORTIONAL),
        (&trees, "wall", "seconds to get a directory", PROPORTIONAL),
        (&trees, "receive peak", "peak MiB of the receiver of a directory", FLAT),
    ] {
        let unit = if quantity.ends_with("peak") { MIB } else { 1.0 };
        let of = |key: &str| -> Vec<f64> {
            record.samples.of(&format!("{key} {quantity}")).iter().map(|value| value / unit).collect()
        };
        let mut table = Table::new(&[title, "median (quartiles)"]);
        let mut chart = Chart::new(title);
        for (key, name, _) in steps {
            table.row([name.clone(), with_spread(&of(key))]);
            chart.bar(name, &of(key), Ours::Yes);
        }
        let points = steps.iter().filter_map(|(key, _, amount)| {
            stats::spread(&of(key)).map(|spread| (as_f64(*amount), spread.median))
        });
        let points: Vec<_> = points.collect();
        if let Some(slope) = stats::slope(&points) {
            table.row(["exponent".to_owned(), number(slope)]);
            // What every process costs makes the growth of small ones look slow.
            if let Some(last) = points.last_chunk::<2>().and_then(|last| stats::slope(last)) {
                table.row(["exponent of the last step".to_owned(), number(last)]);
            }
            goals.push(Goal::new(format!("exponent: {title}"), &[slope], Bound::AtMost(bound)));
        }
        tables.push(table);
        charts.push(chart);
    }
    Report {
        title: "growth: log-log slopes over four sizes; 1 is proportional, 0 is flat".to_owned(),
        tables,
        goals: goals.into_iter().flatten().collect(),
        charts,
    }
}
