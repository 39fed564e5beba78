//! Simulated networks: thousands of nodes with Shoal's real overlay in one process, far apart and in bad company.
//!
//! Every node is a libp2p swarm with the behaviour that a Shoal node has; only the wires are simulated, so that
//! handshakes cost no work, addresses are as wanted and every request can be counted where it leaves. Times are real
//! and counted in round trips. The seed decides about keys, addresses and the order of things; how events of different
//! nodes interleave is up to the machine, so two runs with one seed agree closely and not exactly.

mod lookups;
mod member;
mod network;
mod report;
mod scenarios;
mod seed;
mod sessions;
mod wire;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{outcome, process::Launcher};

use self::{
    report::Report,
    scenarios::{announce, attacks, churn, growth, lan, lookup, restart},
    seed::Seed,
    wire::Way,
};

/// What to simulate, and how far apart the nodes are.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    scenario: Scenario,
    /// Decides about keys, addresses and topology; the one in use is printed
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Milliseconds of a round trip between any two nodes
    #[arg(long, global = true, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=1000))]
    rtt: u32,
    /// Round trips before a new connection carries bytes: 1 for QUIC, over which nodes ask those far away, and 2 for TCP
    /// and TLS 1.3
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3))]
    handshake: u32,
    /// Write the results to this file as JSON
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Join the results to those in the file of --json, and draw both
    #[arg(long, global = true, requires = "json")]
    append: bool,
    /// Draw the results into this file
    #[arg(long, global = true)]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Scenario {
    /// How hops, requests, time and memory grow with the network
    Growth {
        /// How many nodes the networks have
        #[arg(default_values_t = [100, 300, 1000])]
        sizes: Vec<usize>,
        /// How many lookups to measure in each
        #[arg(long, default_value_t = 200)]
        lookups: usize,
        /// Seconds of rest before, in which idle connections end
        #[arg(long, default_value_t = 20)]
        rest: u64,
        /// Milliseconds from one lookup to the next
        #[arg(long, default_value_t = 50)]
        every: u64,
        /// Whose overlay to measure
        #[arg(long, value_enum, default_value_t = Whose::Shoal)]
        whose: Whose,
        /// The largest network of stock Kademlia
        #[arg(long, default_value_t = 1000)]
        stock_up_to: usize,
    },
    /// One of the networks of `growth`, which starts this
    #[command(hide = true)]
    Grown {
        #[arg(value_enum)]
        whose: growth::One,
        #[arg(long)]
        nodes: usize,
        #[arg(long)]
        lookups: usize,
        #[arg(long)]
        rest: u64,
        #[arg(long)]
        every: u64,
    },
    /// Cold lookups in a network of which a part is dead, beside stock Kademlia
    Lookup {
        /// How many nodes the network has
        #[arg(long, default_value_t = 1000)]
        nodes: usize,
        /// How many percent of them die before the lookups
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=50))]
        dead: u8,
        /// How many lookups to measure
        #[arg(long, default_value_t = 200)]
        lookups: usize,
        /// Seconds of rest before, in which idle connections end
        #[arg(long, default_value_t = 20)]
        rest: u64,
        /// Milliseconds from one lookup to the next
        #[arg(long, default_value_t = 50)]
        every: u64,
        /// Whose overlay to measure
        #[arg(long, value_enum, default_value_t = Whose::Both)]
        whose: Whose,
        /// Let stock nodes fill their tables by joining, which takes minutes, instead of telling them whom there is
        #[arg(long)]
        stock_joins: bool,
    },
    /// Nodes come and go, then a part of all is gone at once: what is found
    Churn {
        /// How many nodes the network has
        #[arg(long, default_value_t = 300)]
        nodes: usize,
        /// How many items are published and looked up
        #[arg(long, default_value_t = 1000)]
        items: usize,
        /// For how many seconds nodes come and go
        #[arg(long, default_value_t = 100)]
        lasts: u64,
        /// Milliseconds that stand for a minute of a session
        #[arg(long, default_value_t = 1000)]
        minute: u64,
        /// How many percent of the nodes are gone at once in the end
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=50))]
        dead: u8,
        /// Seconds from then on until everything is looked up again, which should be over after two minutes
        #[arg(long, default_value_t = 60)]
        again: u64,
        /// Announcements that a node hands on to newcomers per second; 0 to see what it is worth
        #[arg(long, default_value_t = shoal_dht::Limits::default().handed_per_second)]
        handed: usize,
    },
    /// What it costs one node to keep items announced, beside stock Kademlia, and how fast one item can be found
    Announce {
        /// How many nodes the network has
        #[arg(long, default_value_t = 500)]
        nodes: usize,
        /// How many items are announced
        #[arg(default_values_t = [1000, 10_000, 100_000])]
        sizes: Vec<usize>,
        /// How many of them others look up
        #[arg(long, default_value_t = 500)]
        sample: usize,
        /// How many single items are published to see how fast
        #[arg(long, default_value_t = 40)]
        publishes: usize,
        /// Seconds of rest after joining and before the second half of those, in which idle connections end
        #[arg(long, default_value_t = 62)]
        rest: u64,
        /// How many keys a stock node announces; none for no comparison
        #[arg(long, default_value_t = 40)]
        stock_keys: usize,
        /// How many nodes the stock network has
        #[arg(long, default_value_t = 100)]
        stock_nodes: usize,
    },
    /// Strangers who mean harm, with the defence against them and without
    Attack {
        #[command(subcommand)]
        attack: attacks::Attack,
    },
    /// One node with very many items in a small private network: whether all of them are found
    Lan {
        /// How many nodes the network has
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(3..))]
        nodes: u8,
        /// How many items the one node has
        #[arg(long, default_value_t = 100_000)]
        items: usize,
        /// How many items each of the others has
        #[arg(long, default_value_t = 1000)]
        others: usize,
        /// How many lookups to measure
        #[arg(long, default_value_t = 1000)]
        lookups: usize,
    },
    /// A node with many items is killed and starts again: whether it announces them all at once
    Restart {
        /// How many nodes the network has besides
        #[arg(long, default_value_t = 200)]
        nodes: usize,
        /// How many items the one node has
        #[arg(long, default_value_t = 100_000)]
        items: usize,
        /// For how many seconds an announcement holds
        #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u64).range(60..))]
        ttl: u64,
        /// For how many seconds each life of the node is watched; half of the ttl if not given
        #[arg(long)]
        watch: Option<u64>,
        /// How many items are looked up after each restart
        #[arg(long, default_value_t = 100)]
        lookups: usize,
    },
}

/// Whose overlay is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Whose {
    /// Shoal's and the stock one
    Both,
    /// Shoal's
    Shoal,
    /// libp2p's Kademlia as it comes
    Stock,
}

impl Whose {
    fn includes(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// Runs a simulation; what it found goes to `out` and to the files that were asked for.
///
/// # Errors
///
/// A network does not come to rest, or a file cannot be written.
pub fn run(args: &Args, launcher: &Launcher, out: &mut (dyn Write + Send)) -> Result<()> {
    let seed = Seed(args.seed.unwrap_or_else(rand::random));
    let way = Way { one_way: Duration::from_millis(args.rtt.into()) / 2, handshake: args.handshake };
    if !matches!(args.scenario, Scenario::Grown { .. }) {
        writeln!(
            out,
            "seed {}, round trip {} ms, handshake {} round trips",
            seed.0, args.rtt, args.handshake
        )?;
    }
    args.json.iter().chain(&args.svg).try_for_each(|file| outcome::will_take(file))?;
    let settings = json!({ "seed": seed.0, "rtt_ms": args.rtt, "handshake": args.handshake });
    let before = match &args.json {
        Some(path) if args.append && path.exists() => Some(before(path, &settings)?),
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = before.as_ref().and_then(|before| before.get("measured"));
    let mut report = runtime.block_on(scenario(&args.scenario, launcher, (seed, way), measured, out))?;
    write!(out, "{report}")?;
    if let Some(before) = &before {
        report.join(before)?;
    }
    if let Some(path) = &args.json {
        let mut json = report.json(&settings)?;
        if let Some(before) = &before {
            report::join_tables(&mut json, before);
        }
        fs::write(path, format!("{json:#}\n")).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.svg {
        fs::write(path, report.picture()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What earlier runs with the same settings found.
fn before(path: &Path, settings: &Value) -> Result<Value> {
    let before: Value =
        serde_json::from_slice(&fs::read(path)?).with_context(|| path.display().to_string())?;
    let theirs = before.get("settings").unwrap_or(&Value::Null);
    ensure!(theirs == settings, "{}: {theirs} does not join with {settings}", path.display());
    Ok(before)
}

async fn scenario(
    scenario: &Scenario,
    launcher: &Launcher,
    (seed, way): (Seed, Way),
    measured: Option<&Value>,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    match *scenario {
        Scenario::Growth { ref sizes, lookups, rest, every, whose, stock_up_to } => {
            let plan = plan(lookups, rest, every);
            let options = growth::Options { sizes: sizes.clone(), plan, whose, stock_up_to };
            growth::run(launcher, (seed, way), &options, measured, out)
        }
        Scenario::Grown { whose, nodes, lookups, rest, every } => {
            growth::tell(whose, (seed, way), nodes, plan(lookups, rest, every), out).await?;
            Ok(Report::default())
        }
        Scenario::Lookup { nodes, dead, lookups, rest, every, whose, stock_joins } => {
            let (rest, every) = (Duration::from_secs(rest), Duration::from_millis(every));
            let stock = if stock_joins { lookup::Tables::Own } else { lookup::Tables::Given };
            lookup::run(seed, way, &lookup::Options { nodes, dead, lookups, rest, every, whose, stock }, out)
                .await
        }
        Scenario::Churn { nodes, items, lasts, minute, dead, again, handed } => {
            let (lasts, minute) = (Duration::from_secs(lasts), Duration::from_millis(minute));
            let again = Duration::from_secs(again);
            let options = churn::Options { nodes, items, lasts, minute, dead, again, handed };
            churn::run(seed, way, &options, out).await
        }
        Scenario::Announce { nodes, ref sizes, sample, publishes, rest, stock_keys, stock_nodes } => {
            let (sizes, rest) = (sizes.clone(), Duration::from_secs(rest));
            let options =
                announce::Options { nodes, sizes, sample, publishes, rest, stock_keys, stock_nodes };
            announce::run(seed, way, &options, out).await
        }
        Scenario::Attack { ref attack } => attacks::run(attack, seed, way, out).await,
        Scenario::Restart { nodes, items, ttl, watch, lookups } => {
            let (ttl, watch) = (Duration::from_secs(ttl), Duration::from_secs(watch.unwrap_or(ttl / 2)));
            let options = restart::Options { nodes, items, ttl, watch, lookups };
            restart::run(seed, way, &options, out).await
        }
        Scenario::Lan { nodes, items, others, lookups } => {
            let options = lan::Options { nodes: nodes.into(), items, others, lookups };
            lan::run(seed, way, &options, out).await
        }
    }
}

fn plan(lookups: usize, rest: u64, every: u64) -> growth::Plan {
    growth::Plan { lookups, rest: Duration::from_secs(rest), every: Duration::from_millis(every) }
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) * 1024
}
