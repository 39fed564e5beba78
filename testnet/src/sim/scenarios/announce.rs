//! What it costs one node to keep few, many or very many items announced, and whether others find them.
//!
//! Stock Kademlia makes a lookup and twenty messages for each key. That is measured on some keys in a network of its
//! own and multiplied: a hundred thousand of them would take hours.

mod single;

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use libp2p::{PeerId, kad::KBucketKey};
use shoal_content::ProviderKey;
use tokio::time::sleep;

use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{Found, Item, look_up},
        member::{Member, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Report, Sheet, count, number, text},
        resident,
        seed::Seed,
        wire::{Kind, Way},
    },
    stats::{Samples, percent, slope},
    table,
};

/// Messages for each node of the network that a cycle may cost.
const MOST_PER_NODE: f64 = 3.0;

/// How many times as many stock Kademlia should need.
const BETTER: f64 = 500.0;

/// What should be found, in percent.
const FOUND: f64 = 99.5;

/// Exponent of messages over items that still counts as flat.
const FLAT: f64 = 0.05;

/// Nodes that should hold a key.
const NEAREST: usize = 20;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    /// How many items are announced, each time by another node.
    pub(crate) sizes: Vec<usize>,
    /// Items of each that are looked up by others.
    pub(crate) sample: usize,
    /// Single items that are published to see how fast.
    pub(crate) publishes: usize,
    /// After joining and before cold publishes: until idle connections have ended.
    pub(crate) rest: Duration,
    /// Keys that a stock node announces.
    pub(crate) stock_keys: usize,
    pub(crate) stock_nodes: usize,
}

/// What a cycle took.
struct Cycle {
    items: usize,
    /// Whether it was the first of these items, in a word.
    name: &'static str,
    sent: Sent,
    took: Duration,
    /// Bytes of memory that it took in all nodes.
    memory: f64,
    /// How many nodes hold a record of an item, and how many of those nearest to it.
    copies: Samples,
    near: Samples,
    found: Found,
    worst_lag: Duration,
}

/// What a node sent.
#[derive(Clone, Copy)]
struct Sent {
    messages: u64,
    /// Those of the messages that were questions of walks.
    walks: u64,
    bytes: u64,
    dials: u64,
}

impl Sent {
    fn by(member: &Member) -> Self {
        let counts = &member.host.counts;
        let (messages, walks) = (counts.overlay(), counts.requests(Kind::Walk));
        Sent { messages, walks, bytes: counts.bytes(), dials: counts.dials() }
    }

    fn since(self, before: Sent) -> Self {
        Sent {
            messages: self.messages - before.messages,
            walks: self.walks - before.walks,
            bytes: self.bytes - before.bytes,
            dials: self.dials - before.dials,
        }
    }
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut report = Report::default();
    let stock = stock(seed, way, options, out).await?;
    let began = Instant::now();
    let network = Network::settled::<Shoal>(seed, way, Region::Internet, options.nodes).await?;
    writeln!(out, "{} nodes up in {}", options.nodes, table::time(began.elapsed()))?;
    sleep(options.rest).await;
    let cycles = sweeps(&network, options, out).await?;
    report.sheets.push(costs(&cycles, options, stock));
    single::publishes(&network, options, &mut report).await?;
    judge(&cycles, options, stock, &mut report);
    Ok(report)
}

/// Holds what the cycles took against what they may take.
fn judge(cycles: &[Cycle], options: &Options, stock: Option<f64>, report: &mut Report) {
    let mut chart = Chart::new("Messages of one cycle (less is better)");
    for cycle in cycles {
        chart.bar(format!("{} items", cycle.items), &[cycle.sent.messages as f64], Ours::Yes);
    }
    report.charts.push(chart);
    for cycle in cycles {
        let per_node = cycle.sent.messages as f64 / options.nodes as f64;
        report.goal(
            format!(
                "{} items cost {per_node:.2} messages for each node, at most {MOST_PER_NODE}",
                cycle.items
            ),
            per_node <= MOST_PER_NODE,
        );
        let found = cycle.found.percent();
        report.goal(
            format!("{found:.2} % of {} items are found, at least {FOUND} %", cycle.items),
            found >= FOUND,
        );
    }
    let points: Vec<_> =
        cycles.iter().map(|cycle| (cycle.items as f64, cycle.sent.messages as f64)).collect();
    if let Some(slope) = slope(&points) {
        report.goal(
            format!("messages grow with items to the power of {slope:.3}, at most {FLAT}"),
            slope <= FLAT,
        );
    }
    if let Some((stock, last)) = stock.zip(cycles.last()) {
        let times = stock * last.items as f64 / last.sent.messages as f64;
        report.goal(
            format!(
                "stock kad would need {times:.0} times as many messages for {} items, at least {BETTER}",
                last.items
            ),
            times >= BETTER,
        );
    }
}

/// Announces each number of items from a node of its own, twice.
async fn sweeps(network: &Network, options: &Options, out: &mut (dyn Write + Send)) -> Result<Vec<Cycle>> {
    let members = network.alive("roles");
    let mut cycles = Vec::new();
    for (announcer, &items) in members.iter().zip(&options.sizes) {
        let keys: Vec<_> =
            (0..items as u64).map(|number| network.seed.key(&format!("of {items}"), number)).collect();
        for name in ["first", "again"] {
            let cycle = sweep(network, &members, announcer, &keys, (name, options.sample)).await?;
            let (messages, took) = (cycle.sent.messages, table::time(cycle.took));
            writeln!(out, "{items} items, {name}: {messages} messages in {took}")?;
            cycles.push(cycle);
        }
    }
    Ok(cycles)
}

/// Announces keys once, and looks at who holds a sample of them and whether others find it.
async fn sweep(
    network: &Network,
    members: &[Member],
    announcer: &Member,
    keys: &[ProviderKey],
    (name, sample): (&'static str, usize),
) -> Result<Cycle> {
    let (before, memory, began) = (Sent::by(announcer), resident(), Instant::now());
    announcer.announce_to_the_last(keys.to_vec()).await?;
    let (sent, took) = (Sent::by(announcer).since(before), began.elapsed());
    let memory = resident().saturating_sub(memory) as f64;
    let sampled = network.seed.shuffled("sampled", keys.len()).into_iter().take(sample);
    let sampled: Arc<[_]> = sampled.filter_map(|at| keys.get(at).copied()).collect();
    let (copies, near) = copies(members, announcer, &sampled).await?;
    let sampled: Vec<_> =
        sampled.iter().map(|key| Item { key: *key, provider: announcer.host.peer }).collect();
    let others: Vec<_> =
        members.iter().filter(|other| other.host.peer != announcer.host.peer).cloned().collect();
    let seekers: Vec<_> = others.iter().cycle().take(sampled.len()).cloned().collect();
    let found = look_up(&seekers, &sampled, network).await?;
    let worst_lag = network.internet.clock.take_worst_lag();
    Ok(Cycle { items: keys.len(), name, sent, took, memory, copies, near, found, worst_lag })
}

/// The table of what cycles took; `stock` are the messages that a key costs stock Kademlia.
fn costs(cycles: &[Cycle], options: &Options, stock: Option<f64>) -> Sheet {
    let mut sheet = Sheet::new(
        format!(
            "One of {} nodes announces items, and announces them again; stock is scaled up",
            options.nodes
        ),
        &[
            "items",
            "cycle",
            "messages",
            "walks'",
            "per node",
            "stock",
            "MiB sent",
            "dials",
            "took s",
            "copies mean",
            "copies min",
            "near mean",
            "near min",
            "lookups",
            "found %",
            "KiB/node",
            "B/record",
            "lag ms",
        ],
    );
    let nodes = options.nodes as f64;
    for Cycle { items, name, sent, took, memory, copies, near, found, worst_lag } in cycles {
        let items_count = *items as f64;
        sheet.row([
            count(*items),
            text(*name),
            count(sent.messages),
            count(sent.walks),
            number(sent.messages as f64 / nodes, 2),
            stock.map_or_else(|| text("-"), |stock| number(stock * items_count, 0)),
            number(sent.bytes as f64 / f64::from(1 << 20), 1),
            count(sent.dials),
            number(took.as_secs_f64(), 1),
            number(copies.mean(), 1),
            number(copies.percentile(0), 0),
            number(near.mean(), 1),
            number(near.percentile(0), 0),
            count(found.asked),
            number(percent(found.found, found.asked), 2),
            number(memory / 1024.0 / nodes, 0),
            number(memory / (copies.mean() * items_count), 0),
            number(worst_lag.as_secs_f64() * 1e3, 0),
        ]);
    }
    sheet
}

/// How many nodes hold a record of each key, and how many of the [`NEAREST`] to it do.
async fn copies(members: &[Member], owner: &Member, keys: &Arc<[ProviderKey]>) -> Result<(Samples, Samples)> {
    let mut holders: Vec<Vec<PeerId>> = vec![Vec::new(); keys.len()];
    for member in members {
        let held = member.held(keys.clone(), owner.host.peer).await?;
        for (holders, _) in holders.iter_mut().zip(held).filter(|(_, held)| *held) {
            holders.push(member.host.peer);
        }
    }
    let near = |(key, holders): (&ProviderKey, &Vec<PeerId>)| {
        let nearest = nearest(members, &KBucketKey::new(key.as_bytes().as_slice()), owner);
        nearest.iter().filter(|peer| holders.contains(peer)).count() as f64
    };
    let near = keys.iter().zip(&holders).map(near).collect();
    Ok((holders.iter().map(|holders| holders.len() as f64).collect(), near))
}

/// The members nearest to a place, without one of them.
fn nearest<T>(members: &[Member], place: &KBucketKey<T>, without: &Member) -> Vec<PeerId> {
    let others = members.iter().map(|member| member.host.peer).filter(|peer| *peer != without.host.peer);
    let mut others: Vec<_> = others.map(|peer| (KBucketKey::from(peer).distance(place), peer)).collect();
    others.sort_unstable();
    others.into_iter().take(NEAREST).map(|(_, peer)| peer).collect()
}

/// Requests that a key costs a stock node on average.
async fn stock(seed: Seed, way: Way, options: &Options, out: &mut (dyn Write + Send)) -> Result<Option<f64>> {
    if options.stock_keys == 0 {
        return Ok(None);
    }
    let network = Network::settled::<Stock>(seed, way, Region::Internet, options.stock_nodes).await?;
    let members = network.alive("roles");
    let announcer = members.first().context("a network without nodes")?;
    let keys = (0..options.stock_keys as u64).map(|number| seed.key("stock", number)).collect();
    let before = announcer.host.counts.overlay();
    announcer.announce(keys).await?;
    let each = (announcer.host.counts.overlay() - before) as f64 / options.stock_keys as f64;
    writeln!(
        out,
        "stock kad: {each:.1} messages a key, from {} keys among {} nodes",
        options.stock_keys, options.stock_nodes
    )?;
    Ok(Some(each))
}

#[cfg(test)]
mod tests;
