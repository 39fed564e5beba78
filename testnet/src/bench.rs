//! Benchmarks: what Shoal costs, beside the least that the same work costs and beside other programs, in one run.
//!
//! Owns: the order of contenders, and what was measured. Hears: the clocks and counters of the system.
//! Tells: medians with their spread, ratios block by block, and which goals were met.

mod contender;
mod floor;
mod growth;
mod links;
mod list;
mod meter;
mod publish;
mod race;
mod record;
mod report;
mod rivals;
mod samples;
mod scene;
mod seek;
mod small_files;
mod sources;
pub(crate) mod svg;
mod swarm;
mod transfer;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rand::{SeedableRng, rngs::StdRng};
use rustix::system::uname;

pub(crate) use self::{
    floor::{Side as FloorSide, run as run_floor},
    links::{WireArgs, run_wire},
};
use self::{
    list::{ALL, Bench, Name},
    record::Record,
};
use crate::{netns, outcome, process::Launcher, shoal::Shoal, stats, table::parse_size};

/// Which benchmark, how large, and where its results go.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Which
    #[arg(value_enum)]
    name: Name,
    /// Blocks to measure, after one to warm up; 0 only reports what the file of --json holds
    #[arg(long, default_value_t = 7)]
    blocks: u32,
    /// The size of the file, where there is one
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// How many files, where there are many
    #[arg(long)]
    files: Option<u64>,
    /// How many fetch at the same time, where that are several
    #[arg(long)]
    receivers: Option<u64>,
    /// See in seconds whether everything works; the numbers mean nothing
    #[arg(long)]
    quick: bool,
    /// Decides about the order and the bytes; the one in use is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Only these contenders
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How TCP reacts to loss, on both hosts of a link: cubic, bbr or whatever the kernel has
    #[arg(long)]
    congestion: Option<String>,
    /// Work in a new folder in this one [default: that for temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep all measurements in this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Join the blocks to those in the file of --json
    #[arg(long, requires = "json")]
    append: bool,
    /// Draw a plot; of several benchmarks, one each, with their names
    #[arg(long)]
    svg: Option<PathBuf>,
}

impl Options {
    /// Why this process cannot run what was asked for, in words for the user.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        if self.name.needs_root() && self.blocks > 0 { netns::refusal() } else { None }
    }

    /// The folder to work in, if not that for temporary files.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }
}

/// What a benchmark has while it measures.
struct Run<'a> {
    launcher: &'a Launcher,
    shoal: &'a Shoal,
    /// An empty folder of its own.
    dir: &'a Path,
    blocks: u32,
    seed: u64,
    rng: StdRng,
    only: &'a [String],
    congestion: Option<&'a str>,
    record: Record,
    out: &'a mut dyn Write,
}

impl Run<'_> {
    /// Whether a contender was asked for.
    fn wants(&self, contender: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == contender)
    }

    /// Tells that a block is over; the first, number 0, is the warm-up.
    fn tell_block(&mut self, block: u32) -> Result<()> {
        let kind = if block == 0 { " (warm-up)" } else { "" };
        Ok(writeln!(self.out, "block {block} of {}{kind}", self.blocks)?)
    }
}

/// Runs what was asked for and tells how it went.
///
/// # Errors
///
/// Shoal or a floor fails, or a file with results cannot be read or written. A goal that is missed is no error.
pub(crate) fn run(
    shoal: &Shoal,
    launcher: &Launcher,
    dir: &Path,
    options: &Options,
    out: &mut dyn Write,
) -> Result<()> {
    let asked = |bench: &&Bench| match options.name {
        Name::All => !bench.name.needs_root() || netns::refusal().is_none(),
        one => one == bench.name,
    };
    options.json.iter().chain(&options.svg).try_for_each(|file| outcome::will_take(file))?;
    if let Some(file) = &options.json {
        record::check(file)?;
    }
    for bench in ALL.iter().filter(asked) {
        let dir = dir.join(bench.word);
        fs::create_dir(&dir)?;
        let record = run_one(bench, shoal, launcher, &dir, options, out)?;
        fs::remove_dir_all(&dir)?;
        let report = (bench.report)(&record);
        writeln!(out, "\n{report}\n{} blocks", record.samples.blocks())?;
        for note in &record.notes {
            writeln!(out, "{note}")?;
        }
        if let Some(file) = &options.json {
            record::write(file, bench.word, &record)?;
        }
        if let Some(file) = &options.svg {
            let file = match options.name {
                Name::All => file.with_file_name(format!(
                    "{}-{}.svg",
                    file.file_stem().unwrap_or_default().display(),
                    bench.word
                )),
                _ => file.clone(),
            };
            let picture = svg::picture(&report.charts);
            fs::write(&file, picture).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}

fn run_one(
    bench: &Bench,
    shoal: &Shoal,
    launcher: &Launcher,
    dir: &Path,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Record> {
    let before = match (&options.json, options.append) {
        (Some(file), true) => record::read(file, bench.word)?,
        _ => None,
    };
    let mut record = Record { settings: settings(bench, options), ..Record::default() };
    if options.blocks > 0 {
        let seed = options.seed.unwrap_or_else(rand::random);
        record.note(machine(dir)?);
        record.note(format!("seed {seed}"));
        writeln!(out, "{}: {}", bench.word, record.notes.join(", "))?;
        let mut run = Run {
            launcher,
            shoal,
            dir,
            blocks: options.blocks,
            seed,
            rng: StdRng::seed_from_u64(seed),
            only: &options.only,
            congestion: options.congestion.as_deref(),
            record,
            out,
        };
        (bench.measure)(&mut run)?;
        record = run.record;
    }
    Ok(match before {
        Some(mut before) if options.blocks > 0 => {
            before.append(record)?;
            before
        }
        Some(before) => before,
        None => record,
    })
}

fn settings(bench: &Bench, options: &Options) -> std::collections::BTreeMap<String, u64> {
    let chosen = |name: &str| match name {
        "size" => options.size,
        "files" => options.files,
        "receivers" => options.receivers,
        _ => None,
    };
    let value = |&(name, usual, quick): &(&str, u64, u64)| {
        (name.to_owned(), chosen(name).unwrap_or(if options.quick { quick } else { usual }))
    };
    bench.settings.iter().map(value).collect()
}

/// The class of this machine and of the disk under `dir`.
fn machine(dir: &Path) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(':').nth(1));
    let cores = std::thread::available_parallelism()?;
    let system = uname();
    Ok(format!(
        "{cores} cores of {}, {} {}, files on {}",
        model.unwrap_or("an unknown processor").trim(),
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy(),
        file_system(dir)?
    ))
}

/// The kind of file system that `dir` lies on, as the system calls it.
fn file_system(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kinds = mounts.lines().filter_map(|mount| {
        let mut words = mount.split_whitespace().skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = kinds.filter(|(point, _)| dir.starts_with(point));
    // Of two at the same place, the later one hides the other.
    let deepest = above.max_by_key(|(point, _)| point.len());
    Ok(deepest.map_or("an unknown file system", |(_, kind)| kind).to_owned())
}
