//! What one network costs, measured in a process of its own: memory that another one left behind would be used again.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::sleep;

use crate::{
    process::{Launcher, lock},
    sim::{
        lookups::{look_up_every, publish},
        member::{Behave, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        resident,
        seed::Seed,
        wire::{Counts, Way},
    },
    stats::Samples,
    table,
};

/// Nodes that publish a key each.
const PUBLISHERS: usize = 50;

/// Tables that are counted.
const TABLES: usize = 20;

/// Begins the line with which a process of its own tells what it measured.
const MEASURED: &str = "measured: ";

/// How networks are measured, whatever their size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) lookups: usize,
    pub(crate) rest: Duration,
    /// From the start of one lookup to that of the next.
    pub(crate) every: Duration,
}

/// Whose nodes a network consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum One {
    /// Shoal's
    Shoal,
    /// libp2p's Kademlia as it comes
    Stock,
}

/// What was found in one network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    /// Seconds until the last node was started.
    pub(crate) up: f64,
    /// Seconds from then on until nothing went on to speak of.
    pub(crate) calm_after: f64,
    /// Bytes a node when it was so, and when idle connections had ended.
    pub(crate) joined: f64,
    pub(crate) resting: f64,
    /// What joining cost a node.
    pub(crate) requests_to_join: f64,
    pub(crate) dials: f64,
    pub(crate) sent: f64,
    pub(crate) table: f64,
    pub(crate) asked: usize,
    pub(crate) found: usize,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) hops: f64,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) requests: f64,
    /// Until the provider was named, and until the end.
    pub(crate) first: Times,
    pub(crate) whole: Times,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) copies: f64,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) publish: f64,
    pub(crate) lag_ms: f64,
    pub(crate) worst_ms: f64,
    pub(crate) is_punctual: bool,
}

/// Times in round trips.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Times {
    #[serde(deserialize_with = "or_nan")]
    pub(crate) p50: f64,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) p95: f64,
    #[serde(deserialize_with = "or_nan")]
    pub(crate) mean: f64,
}

impl From<&Samples> for Times {
    fn from(times: &Samples) -> Self {
        Self { p50: times.percentile(50), p95: times.percentile(95), mean: times.mean() }
    }
}

/// JSON has no word for what is not a number, and writes null.
fn or_nan<'de, D: Deserializer<'de>>(json: D) -> Result<f64, D::Error> {
    Option::deserialize(json).map(|number| number.unwrap_or(f64::NAN))
}

/// Measures a network in a process of its own; what else that says goes to `out`.
pub(crate) fn measure_apart(
    launcher: &Launcher,
    one: One,
    (seed, way): (Seed, Way),
    nodes: usize,
    plan: Plan,
    out: &mut (dyn Write + Send),
) -> Result<Size> {
    let mut command = Command::new(env::current_exe()?);
    let whose = match one {
        One::Shoal => "shoal",
        One::Stock => "stock",
    };
    command.args(["sim", "grown", whose]);
    let mut give = |name: &str, value: u128| {
        command.arg(name).arg(value.to_string());
    };
    give("--nodes", nodes as u128);
    give("--lookups", plan.lookups as u128);
    give("--rest", plan.rest.as_secs().into());
    give("--every", plan.every.as_millis());
    give("--seed", seed.0.into());
    give("--rtt", way.round_trip().as_millis());
    give("--handshake", way.handshake.into());
    let child = launcher.spawn(command.stdout(Stdio::piped()))?;
    let said = lock(&child).stdout.take().context("its output is a pipe")?;
    let mut size = None;
    for line in BufReader::new(said).lines() {
        let line = line?;
        match line.strip_prefix(MEASURED) {
            Some(measured) => size = Some(serde_json::from_str(measured)?),
            None => writeln!(out, "{line}")?,
        }
    }
    let status = lock(&child).wait()?;
    ensure!(status.success(), "{nodes} nodes: {status}");
    size.with_context(|| format!("{nodes} nodes: nothing was measured"))
}

/// Measures a network here, and says what was measured to the process that waits for it.
pub(crate) async fn tell(
    one: One,
    from: (Seed, Way),
    nodes: usize,
    plan: Plan,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let size = match one {
        One::Shoal => measure::<Shoal>("Shoal", from, nodes, plan, out).await?,
        One::Stock => measure::<Stock>("stock kad", from, nodes, plan, out).await?,
    };
    Ok(writeln!(out, "{MEASURED}{}", serde_json::to_string(&size)?)?)
}

async fn measure<B: Behave>(
    name: &str,
    (seed, way): (Seed, Way),
    nodes: usize,
    plan: Plan,
    out: &mut (dyn Write + Send),
) -> Result<Size> {
    let (began, before) = (Instant::now(), resident());
    let network = Network::settled::<B>(seed, way, Region::Internet, nodes).await?;
    let up = began.elapsed().saturating_sub(network.rest.after);
    writeln!(out, "{name}: {nodes} nodes up in {}, {}", table::time(up), network.rest)?;
    let calm = network.calm().await;
    let calm_after = began.elapsed().saturating_sub(up);
    let memory = || resident().saturating_sub(before) as f64 / nodes as f64;
    let joined = memory();
    writeln!(out, "{calm}; {} in all", table::size(resident()))?;
    let hosts = || network.members.iter().map(|member| &member.host.counts);
    let each = |count: fn(&Counts) -> u64| hosts().map(count).sum::<u64>() as f64 / nodes as f64;
    let (requests_to_join, dials, sent) = (each(Counts::overlay), each(Counts::dials), each(Counts::bytes));
    let members = network.alive("roles");
    let publishers = &members[..PUBLISHERS.min(nodes / 2)];
    let published = publish(publishers, &network, "item").await?;
    sleep(plan.rest).await;
    writeln!(out, "{}; lookups begin", network.calm().await)?;
    let resting = memory();
    network.internet.clock.take_lag();
    let seekers = &members[publishers.len()..];
    let seekers = &seekers[..plan.lookups.min(seekers.len())];
    let found = look_up_every(plan.every, seekers, &published.items, &network).await?;
    let lag = network.internet.clock.take_lag();
    let tables = members.iter().take(TABLES).map(async |member| member.table().await);
    let tables: Samples = try_join_all(tables).await?.iter().map(|table| table.len() as f64).collect();
    Ok(Size {
        nodes,
        up: up.as_secs_f64(),
        calm_after: calm_after.as_secs_f64(),
        joined,
        resting,
        requests_to_join,
        dials,
        sent,
        table: tables.mean(),
        asked: found.asked,
        found: found.found,
        hops: found.hops.mean(),
        requests: found.requests.mean(),
        first: Times::from(&found.first),
        whole: Times::from(&found.whole),
        copies: published.copies.mean(),
        publish: published.whole.percentile(50),
        lag_ms: lag.usual.as_secs_f64() * 1e3,
        worst_ms: lag.worst.as_secs_f64() * 1e3,
        is_punctual: network.is_punctual(lag),
    })
}
