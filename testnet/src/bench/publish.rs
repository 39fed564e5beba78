//! Publishing a large file, and very many small ones, the first time and again.

use std::{env, ffi::OsStr, fs, os::unix::fs::MetadataExt, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use shoal_gateway::json::{Event, Published};

use super::{
    Run,
    contender::as_f64,
    meter::{self, Watch},
    record::Record,
    report::{Bound, Goal, Report, median, with_spread},
    samples::Samples,
    scene::find_program,
    small_files::EACH,
    stats,
    svg::{Chart, Ours},
};
use crate::{
    sample,
    shoal::{AS_SHOAL, Daemon},
    table::{self, Table},
};

const MIB: f64 = 1_048_576.0;

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let large = run.dir.join("original/large.bin");
    sample::write_file(&large, run.seed, run.record.setting("size"))?;
    let many = run.dir.join("original/many");
    sample::write_equal(&many, run.seed, run.record.setting("files"), EACH)?;
    sample::make_old(&large)?;
    sample::make_old(&many)?;
    let b3sum = find_program("b3sum");
    if b3sum.is_none() {
        run.record.note("without b3sum: not installed".to_owned());
    }
    let mut works = vec![Work::Large, Work::OnlyHash, Work::Many];
    works.extend(b3sum.is_some().then_some(Work::B3sum));
    for block in 0..=run.blocks {
        works.shuffle(&mut run.rng);
        let mut samples = Samples::default();
        for work in &works {
            match work {
                Work::Large => publish_new(run, &large, "large", &mut samples)?,
                Work::Many => publish_new(run, &many, "many", &mut samples)?,
                Work::OnlyHash => {
                    let mut hash = Command::new(env::current_exe()?);
                    hash.args([AS_SHOAL, "publish", "--only-hash", "--home"]).arg(run.dir.join("none"));
                    samples.push("only-hash wall", time(run, hash.arg(&large))?);
                }
                Work::B3sum => samples.push("b3sum wall", time(run, Command::new("b3sum").arg(&large))?),
            }
        }
        if block > 0 {
            run.record.samples.append(samples)?;
        }
        run.tell_block(block)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Large,
    Many,
    OnlyHash,
    B3sum,
}

/// Publishes at a daemon that has never seen the path, and then once more.
fn publish_new(run: &Run<'_>, path: &Path, what: &str, samples: &mut Samples) -> Result<()> {
    let home = run.dir.join("home");
    let daemon = Daemon::start(run.shoal, &home, &run.shoal.on_loopback())?;
    let pid = daemon.ready().pid;
    let (disk_before, cpu_before) = (disk_use(&home)?, meter::cpu_seconds(pid)?);
    meter::reset_peak(pid);
    let watch = Watch::on(pid);
    let (first, wall) = publish(run, &home, path)?;
    ensure!(first.unchanged == 0, "{} files were known before", first.unchanged);
    samples.push(format!("{what} wall"), wall);
    samples.push(format!("{what} cpu"), meter::cpu_seconds(pid)? - cpu_before);
    samples.push(format!("{what} disk"), as_f64(disk_use(&home)?.saturating_sub(disk_before)));
    let (again, wall) = publish(run, &home, path)?;
    samples.push(format!("{what} again wall"), wall);
    samples.push(format!("{what} again hashed"), as_f64(again.hashed));
    samples.push(format!("{what} peak"), as_f64(watch.peak()));
    drop(watch);
    daemon.stop()?;
    fs::remove_dir_all(&home)?;
    Ok(())
}

/// Publishes at the daemon of `home`: from the start of the command until it says that it is durable.
pub(crate) fn publish(run: &Run<'_>, home: &Path, path: &Path) -> Result<(Published, f64)> {
    let start = Instant::now();
    let command = run.shoal.start(home, &[OsStr::new("publish"), path.as_os_str()])?;
    loop {
        match command.next()? {
            // Telling others goes on without the command.
            Event::Published(published) => return Ok((published, start.elapsed().as_secs_f64())),
            Event::Done(done) => anyhow::bail!("nothing was published: {done:?}"),
            _ => {}
        }
    }
}

/// Runs a command to its end, in seconds.
fn time(run: &Run<'_>, command: &mut Command) -> Result<f64> {
    let output = fs::File::create(run.dir.join("output"))?;
    let start = Instant::now();
    let child = run.launcher.spawn(command.stdout(output.try_clone()?).stderr(output))?;
    let status = child.lock().unwrap_or_else(std::sync::PoisonError::into_inner).wait()?;
    let wall = start.elapsed().as_secs_f64();
    let printed = || fs::read_to_string(run.dir.join("output")).unwrap_or_default();
    ensure!(status.success(), "{} failed: {}", command.get_program().display(), printed().trim());
    Ok(wall)
}

/// Bytes that the files below a folder take on disk.
fn disk_use(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { disk_use(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

pub(crate) fn report(record: &Record) -> Report {
    let samples = &record.samples;
    let (size, files) = (as_f64(record.setting("size")), as_f64(record.setting("files")));
    let rates =
        |of: &str, amount: f64| -> Vec<f64> { samples.of(of).iter().map(|wall| amount / wall).collect() };
    let scaled = |of: &str, by: f64| -> Vec<f64> { samples.of(of).iter().map(|value| value / by).collect() };

    let mut large = Table::new(&["one large file", "seconds", "MiB/s"]);
    let mut speed = Chart::new("hashing one large file: MiB/s (longer is better)");
    for (key, name, ours) in [
        ("large wall", "shoal publish", Ours::Yes),
        ("only-hash wall", "shoal publish --only-hash", Ours::Yes),
        ("b3sum wall", "b3sum", Ours::No),
    ] {
        let rates = rates(key, size / MIB);
        large.row([name.to_owned(), median(samples.of(key)), with_spread(&rates)]);
        speed.bar(name, &rates, ours);
    }
    let mut many = Table::new(&["many small files", "seconds", "files/s"]);
    let mut per_second = Chart::new("publishing many small files: files/s (longer is better)");
    for (key, name) in [("many wall", "the first time"), ("many again wall", "again, unchanged")] {
        let rates = rates(key, files);
        many.row([name.to_owned(), with_spread(samples.of(key)), with_spread(&rates)]);
        per_second.bar(name, &rates, Ours::Yes);
    }
    let by_b3sum = stats::ratios(samples.of("b3sum wall"), samples.of("large wall"));
    let again = as_f64(record.setting("files")) / 100_000.0;
    let goals = [
        Goal::new("G8 speed, by that of b3sum", &by_b3sum, Bound::AtLeast(0.8)),
        Goal::new("G8 disk besides the file, %", &scaled("large disk", size / 100.0), Bound::AtMost(0.5)),
        Goal::new("G9 files/s", &rates("many wall", files), Bound::AtLeast(15_000.0)),
        Goal::new("G9 again, s per 100,000 files", &scaled("many again wall", again), Bound::AtMost(1.0)),
        Goal::new("G9 bytes hashed again", samples.of("many again hashed"), Bound::AtMost(0.0)),
        Goal::new("G9 peak memory of the daemon, MiB", &scaled("many peak", MIB), Bound::AtMost(150.0)),
    ];
    Report {
        title: format!(
            "publish: one file of {}, and {files} files of {EACH} bytes",
            table::size(record.setting("size"))
        ),
        tables: vec![large, many],
        goals: goals.into_iter().flatten().collect(),
        charts: vec![speed, per_second],
    }
}
