//! The `shoal-testnet` program: its commands, what it prints, and how Ctrl-C ends them.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    bench, netns,
    process::Launcher,
    scenarios::{self, crowd, demo, flood, heal, hosts, kill, mdns_flood, startup, up},
    shoal::{AS_SHOAL, Shoal},
    sim,
    table::{self, parse_size},
};

/// What a shell shows for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// For something that this process cannot do at all.
const CANNOT: u8 = 2;

/// What may be sent for 100 bytes of a file while processes are killed. Less would be a wrong count.
const PERCENT: RangeInclusive<u64> = 100..=110;

/// The network of daemons that stay. Always the same, so that homes that were kept are of use.
const KEPT_NETWORK: &str = "testnet";

/// Many Shoal nodes on one machine: the demo, and what real processes must survive.
#[derive(Debug, Parser)]
#[command(name = "shoal-testnet", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Start daemons, publish on one, get by CID alone on another, compare, stop them
    Demo {
        /// How many daemons; each is told of the one before it alone
        #[arg(long, default_value_t = demo::Options::default().nodes)]
        nodes: usize,
        /// The size of the large file
        #[arg(long, value_parser = parse_size, default_value = "256MiB")]
        size: u64,
        /// How many files the tree has
        #[arg(long, default_value_t = demo::Options::default().files, value_parser = at_least_one)]
        files: usize,
    },
    /// Start a network of daemons on loopback and keep it until Ctrl-C, to try things in
    Up {
        /// How many daemons; each is told of the one before it alone
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        nodes: u16,
        /// Keep the homes of the daemons in this folder, and go on with those that are there
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Kill the getter with -9 at random moments, then the provider, and count what is sent
    Kill {
        /// The size of the file
        #[arg(long, value_parser = parse_size, default_value = "1GiB")]
        size: u64,
        /// How many times to kill each
        #[arg(long, default_value_t = 20)]
        kills: u32,
        /// Decides about the moments; the one in use is printed
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Fetch a file from one to many at once, then from many to one, with limited uplinks, beside the best possible
    Crowd {
        /// The size of the file
        #[arg(long, value_parser = parse_size, default_value = "256MiB")]
        size: u64,
        /// In how many files it is; more than one are a directory
        #[arg(long, default_value_t = 1)]
        files: u64,
        /// How many fetch from the one
        #[arg(long, default_value_t = 8)]
        receivers: usize,
        /// How many send to the one
        #[arg(long, default_value_t = 4)]
        sources: usize,
        /// What each may send, in bytes per second
        #[arg(long, default_value_t = 12_500_000)]
        up: u64,
        /// Let those who fetch leave as soon as they have it
        #[arg(long)]
        leave: bool,
    },
    /// Join two network namespaces by a cable and let two daemons find each other by multicast; needs root
    Hosts,
    /// Cut a network of two hosts in two while a get runs, join it again, and time how it heals; needs root
    Heal {
        /// How long it is cut, in seconds
        #[arg(long, default_value_t = 60)]
        cut: u64,
    },
    /// Cry out invented neighbours to a daemon by multicast, and count whom it dials; needs root
    MdnsFlood {
        /// How many are invented
        #[arg(long, default_value_t = 20_000)]
        names: u32,
    },
    /// Burden a daemon with strangers that never speak, open streams, and lie about lengths, while others use it
    Flood {
        /// How many connections that never speak
        #[arg(long, default_value_t = flood::Options::default().connections)]
        connections: usize,
        /// How many streams
        #[arg(long, default_value_t = flood::Options::default().streams)]
        streams: usize,
    },
    /// Time starts with an empty home and with many shares, and what an idle daemon uses
    Startup {
        /// How many starts of each kind
        #[arg(long, default_value_t = startup::Options::default().starts)]
        starts: usize,
        /// How many files to publish one by one
        #[arg(long, default_value_t = startup::Options::default().shares)]
        shares: usize,
        /// How many peers the idle daemon has
        #[arg(long, default_value_t = startup::Options::default().peers)]
        peers: usize,
    },
    /// Measure Shoal beside the least that the work costs and beside other programs
    Bench(bench::Options),
    /// One side of the least that a transfer costs; `bench` starts it
    #[command(hide = true)]
    Floor {
        #[command(subcommand)]
        side: bench::FloorSide,
    },
    /// Carries packets between two interfaces; `bench` starts it
    #[command(hide = true)]
    Wire(bench::WireArgs),
    /// Simulate networks of thousands of nodes, and measure what the overlay costs and survives
    Sim(sim::Args),
}

fn at_least_one(text: &str) -> Result<usize> {
    let number = text.parse()?;
    ensure!(number > 0, "it takes one at least");
    Ok(number)
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let mut args = env::args_os();
    let program = args.next().unwrap_or_default();
    // One program is both, so that one `cargo run` builds all that the demo starts.
    match args.next() {
        Some(first) if first == AS_SHOAL => {
            shoal_cli::run([OsString::from(AS_SHOAL)].into_iter().chain(args))
        }
        first => run(Args::parse_from([program].into_iter().chain(first).chain(args))),
    }
}

fn run(args: Args) -> ExitCode {
    if let Command::Bench(options) = &args.command
        && let Some(refusal) = options.refusal()
    {
        drop(writeln!(io::stderr(), "error: {refusal}"));
        return ExitCode::from(CANNOT);
    }
    let launcher = Launcher::default();
    let ours = launcher.clone();
    let ended = place(&args.command).and_then(|dir| {
        let path = dir.as_ref().map(|dir| dir.path().to_owned()).unwrap_or_default();
        let ended = until_signal(&launcher, move || scenario(&args.command, &path, &ours));
        if matches!(ended, Ok(None)) {
            // The scenario may still be at work, and then nothing of it is dropped.
            netns::remove_all();
            dir.iter().for_each(remove);
        }
        ended
    });
    match ended {
        Ok(None) => ExitCode::from(INTERRUPTED),
        Ok(Some(Ok(()))) => ExitCode::SUCCESS,
        Ok(Some(Err(error))) | Err(error) => {
            // With stderr gone there is nobody left to tell.
            drop(writeln!(io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The folder that a scenario works in, if it needs one.
fn place(command: &Command) -> Result<Option<TempDir>> {
    let mut builder = tempfile::Builder::new();
    let named = builder.prefix("shoal-");
    Ok(match command {
        Command::Floor { .. } | Command::Wire(_) => None,
        Command::Bench(options) if let Some(dir) = options.dir() => Some(named.tempdir_in(dir)?),
        _ => Some(named.tempdir()?),
    })
}

/// Removes the folder of a scenario that may still be writing into it.
fn remove(dir: &TempDir) {
    let is_gone = || fs::remove_dir_all(dir).is_ok() || !dir.path().exists();
    // What stays is left to whoever clears the folder for temporary files.
    let _ = (0..REMOVALS).any(|_| is_gone());
}

fn scenario(command: &Command, dir: &Path, launcher: &Launcher) -> Result<()> {
    let network = format!("testnet-{}", std::process::id());
    let shoal = Shoal::new(&env::current_exe()?, launcher.clone(), network);
    let out = &mut io::stdout();
    scenarios::with_logs(
        dir,
        match command {
            &Command::Demo { nodes, size, files } => {
                demo::run(&shoal, dir, &demo::Options { nodes, size, files, ..demo::Options::default() }, out)
            }
            Command::Up { nodes, dir: kept } => {
                let shoal = Shoal::new(&env::current_exe()?, launcher.clone(), KEPT_NETWORK);
                up::run(&shoal, kept.as_deref().unwrap_or(dir), usize::from(*nodes), out)
            }
            &Command::Kill { size, kills, seed } => {
                let seed = seed.unwrap_or_else(rand::random);
                kill_both(&shoal, dir, &kill::Options { size, kills, seed }, out)
            }
            &Command::Crowd { size, files, receivers, sources, up, leave } => {
                let options = crowd::Options { size, files, peers: receivers, up, leave };
                crowds(&shoal, dir, &options, sources, out)
            }
            Command::Hosts => hosts::run(&shoal, dir, out),
            &Command::Heal { cut } => {
                let options = heal::Options { cut: Duration::from_secs(cut) };
                heal::run(&shoal, dir, &options, out).map(drop)
            }
            &Command::MdnsFlood { names } => {
                mdns_flood::run(&shoal, dir, &mdns_flood::Options { names }, out).map(drop)
            }
            &Command::Flood { connections, streams } => {
                let options = flood::Options { connections, streams, ..flood::Options::default() };
                flood::run(&shoal, dir, &options, out)
            }
            &Command::Startup { starts, shares, peers } => {
                let options = startup::Options { starts, shares, peers, ..startup::Options::default() };
                startup::run(&shoal, dir, &options, out).map(drop)
            }
            Command::Bench(options) => bench::run(&shoal, launcher, dir, options, out),
            Command::Floor { side } => bench::run_floor(side),
            Command::Wire(args) => bench::run_wire(args),
            Command::Sim(args) => sim::run(args, launcher, out),
        },
    )
}

fn crowds(
    shoal: &Shoal,
    dir: &Path,
    options: &crowd::Options,
    sources: usize,
    out: &mut dyn Write,
) -> Result<()> {
    let mut report = |what: &str, outcome: crowd::Outcome| {
        writeln!(
            out,
            "{what}: {}, {:.3} of the best possible {}; {:.3} of the file sent\n",
            table::time(outcome.elapsed),
            outcome.of_bound(),
            table::time(outcome.bound),
            outcome.of_size(options.size),
        )
    };
    if options.peers > 0 {
        let outcome = crowd::one_to_many(shoal, &dir.join("one"), options, &mut io::stdout())?;
        report(&format!("one to {}", options.peers), outcome)?;
    }
    if sources > 1 {
        let options = crowd::Options { peers: sources, ..*options };
        for (name, kill) in [("many", crowd::Kill::Nobody), ("killed", crowd::Kill::One)] {
            let outcome = crowd::many_to_one(shoal, &dir.join(name), &options, kill, &mut io::stdout())?;
            report(&format!("{sources} to one, {name}"), outcome)?;
        }
    }
    Ok(())
}

type Killing = fn(&Shoal, &Path, &kill::Options, &mut dyn Write) -> Result<kill::Outcome>;

fn kill_both(shoal: &Shoal, dir: &Path, options: &kill::Options, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "seed {}", options.seed)?;
    let scenarios: [(&str, Killing); 2] = [("getter", kill::getter), ("provider", kill::provider)];
    for (who, scenario) in scenarios {
        let outcome = scenario(shoal, &dir.join(who), options, out)?;
        let percent = outcome.percent_of(options.size);
        writeln!(
            out,
            "the {who} was killed {} times; {} sent for {} ({percent} %), in {}\n",
            outcome.kills,
            table::size(outcome.sent),
            table::size(options.size),
            table::time(outcome.elapsed),
        )?;
        if outcome.kills == 0 || !PERCENT.contains(&percent) {
            bail!("the {who} should have been killed, and {PERCENT:?} % sent");
        }
    }
    Ok(())
}

/// How long a scenario that was interrupted may take to clean up: to end its processes and remove what they wrote.
const CLEANING_UP: Duration = Duration::from_secs(5);

/// How often the folder of such a one is tried to be removed: what appears in it meanwhile keeps it from that.
const REMOVALS: u32 = 10;

/// Runs `work` on a thread of its own; `None` when a signal came first, and then everything that it started is gone.
fn until_signal<T: Send + 'static>(
    launcher: &Launcher,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (done, mut result) = oneshot::channel();
        thread::spawn(move || drop(done.send(work())));
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            result = &mut result => return result.map(Some).context("the scenario panicked"),
        }
        launcher.close();
        // With its processes gone the work fails soon, and cleans up on the way. What has none would go on to its end.
        match tokio::time::timeout(CLEANING_UP, result).await {
            Ok(result) => result.map(|_| None).context("the scenario panicked"),
            Err(_) => Ok(None),
        }
    })
}
