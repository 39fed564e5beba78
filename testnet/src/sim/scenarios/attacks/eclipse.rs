//! Hides a key behind identities that lie nearer to it than anybody else.
//!
//! They were ground for that, join like everybody, say of every announcement that they keep it, name only each other
//! when they are asked who is near, and never know a provider. They were there before the key was announced, and have
//! addresses all over the internet, so that nothing but where they lie gives them away.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use libp2p::identity::Keypair;
use shoal_content::ProviderKey;
use shoal_dht::Defence;
use tokio::time::sleep;

use super::{FOUND, Side, anywhere, honest, intrude, meet, without};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::{Found, Item, look_up},
        member::{Member, attacker::Manner, shoal},
        network::Network,
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::{Death, Way},
    },
    stats::{Samples, percent},
};

/// How often the tables are counted until they do not change any more.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Counts after which nobody waits any longer for that.
const COUNTS: usize = 15;

/// Networks at once: each is small, and most of its time is waiting.
const NETWORKS: usize = 4;

/// Lookups that must succeed, in percent.
const GOAL: f64 = 95.0;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 60)]
    nodes: usize,
    /// How many identities crowd around the key
    #[arg(long, default_value_t = 25)]
    sybils: usize,
    /// How many leading bits each of them has in common with the key
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=24))]
    bits: u32,
    /// How many keys are attacked, each in a network of its own
    #[arg(long, default_value_t = 8)]
    keys: u64,
    /// How many nodes look each of them up
    #[arg(long, default_value_t = 30)]
    lookups: usize,
}

/// What became of one key.
struct Attacked {
    /// Honest nodes that hold a record of it.
    copies: f64,
    /// Attackers in a table.
    in_tables: f64,
    looked: Found,
}

/// What became of the lookups of one side.
#[derive(Default)]
struct Outcome {
    asked: usize,
    found: usize,
    copies: Vec<f64>,
    in_tables: Vec<f64>,
    requests: Vec<f64>,
    first: Vec<f64>,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let keys: Vec<_> = (0..options.keys).map(|number| seed.key("item", number)).collect();
    // No network runs yet that this would hold up.
    let (ground, tried) = super::grind::grind(seed, &keys, options.sybils, options.bits);
    writeln!(out, "{tried} identities tried to find {} near each of {} keys", options.sybils, keys.len())?;

    let title = format!(
        "Lookups of a key with {} identities around it that share {} bits with it, among {} honest nodes",
        options.sybils, options.bits, options.nodes
    );
    let mut sheet = Sheet::new(
        title,
        &[
            "looking beside",
            "lookups",
            "found %",
            "honest copies",
            "attackers in a table",
            "requests",
            "first p50",
        ],
    );
    let mut chart = Chart::new(FOUND);
    let mut found = Vec::new();
    for side in Side::BOTH {
        let mut outcome = Outcome::default();
        let attacked = (0..).zip(keys.iter().zip(&ground)).map(|(number, (key, sybils))| {
            let seed = Seed(seed.number("network", number));
            play((seed, way), options, (*key, sybils), side)
        });
        let attacked: Vec<_> = stream::iter(attacked).buffered(NETWORKS).try_collect().await?;
        for (number, Attacked { copies, in_tables, looked }) in attacked.into_iter().enumerate() {
            writeln!(out, "{}, key {number}: {} of {} found", side.name(), looked.found, looked.asked)?;
            outcome.copies.push(copies);
            outcome.in_tables.push(in_tables);
            outcome.asked += looked.asked;
            outcome.found += looked.found;
            outcome.requests.extend(looked.requests.values());
            outcome.first.extend(looked.first.values());
        }
        let share = percent(outcome.found, outcome.asked);
        let mean = |values: &[f64]| values.iter().copied().collect::<Samples>().mean();
        sheet.row([
            text(side.name()),
            count(outcome.asked),
            number(share, 1),
            number(mean(&outcome.copies), 1),
            number(mean(&outcome.in_tables), 1),
            number(mean(&outcome.requests), 1),
            number(outcome.first.iter().copied().collect::<Samples>().percentile(50), 2),
        ]);
        let name = format!("eclipse, {} identities, {}", options.sybils, side.name());
        chart.bar(name, &[share], side.ours());
        found.push(share);
    }
    let mut report = Report { sheets: vec![sheet], charts: vec![chart], ..Report::default() };
    if let [with, without] = found.as_slice() {
        report.goal(
            format!("{GOAL} % of the lookups succeed: {with:.1} %, and {without:.1} % without the defence"),
            *with >= GOAL,
        );
    }
    Ok(report)
}

/// Attacks a key in a network of its own, and looks it up.
async fn play(
    (seed, way): (Seed, Way),
    options: &Options,
    (key, sybils): (ProviderKey, &[Keypair]),
    side: Side,
) -> Result<Attacked> {
    let made = shoal::Options { defences: side.defences(&[Defence::LookBeside]), ..Default::default() };
    let mut network = honest(seed, way, options.nodes, &made, shoal::Habit::Aloof).await?;
    let (crowd, in_tables) = crowd(&mut network, sybils).await?;
    let members = network.alive("roles");
    let (publisher, seekers) = members.split_first().context("nobody is there")?;
    publisher.announce_to_the_last(vec![key]).await?;
    let others = without(seekers, key, publisher.host.peer).await?;
    let copies = (seekers.len() - others.len()) as f64;
    // Whoever is asked must know the key from its announcement, and not be the one who has it.
    publisher.kill(Death::Silent);
    let items = [Item { key, provider: publisher.host.peer }];
    let looked = look_up(&others[..options.lookups.min(others.len())], &items, &network).await?;
    drop(crowd);
    Ok(Attacked { copies, in_tables, looked })
}

/// Lets the identities join, and waits until the tables have taken as many of them as they will. Tells how many.
async fn crowd(network: &mut Network, sybils: &[Keypair]) -> Result<(Vec<Member>, f64)> {
    let named: Vec<_> = sybils.iter().map(|key| key.public().to_peer_id()).zip((0..).map(anywhere)).collect();
    let mut members = Vec::new();
    for (key, (peer, address)) in sybils.iter().zip(&named) {
        let near = named.iter().filter(|(other, _)| other != peer);
        let near = near.map(|(peer, address)| (*peer, vec![address.clone()])).collect();
        members.push(intrude(network, key, address, Manner { near, ..Manner::default() })?);
    }
    let victims = network.alive("victims");
    for member in &members {
        meet(member, &victims).await?;
    }
    network.settle().await;
    let mut before = -1.0;
    for _ in 0..COUNTS {
        let now = in_tables(&members, &victims).await?;
        if now <= before {
            break;
        }
        before = now;
        sleep(COUNT_EVERY).await;
    }
    Ok((members, before))
}

/// How many of these a table holds on average.
async fn in_tables(these: &[Member], tables: &[Member]) -> Result<f64> {
    let mut held = 0;
    for member in tables {
        let table = member.table().await?;
        held += these.iter().filter(|one| table.contains(&one.host.peer)).count();
    }
    Ok(held as f64 / tables.len() as f64)
}
