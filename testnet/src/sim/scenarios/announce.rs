//! What it costs one node to keep few, many or very many items announced, and whether others find them.
//!
//! Stock Kademlia makes a lookup and twenty messages for each key. That is measured on some keys in a network of its
//! own and multiplied: a hundred thousand of them would take hours.

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
        lookups::{Item, look_up},
        member::{Member, Publication, shoal::Shoal, stock::Stock},
        network::{Network, Region},
        report::{Cell, Report, Sheet, count, number, text},
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

/// Round trips between knowing the nodes and having told them, with what the clock of the simulation adds.
const TELLING: f64 = 1.1;

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
    messages: u64,
    found: f64,
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
    let cycles = sweeps(&network, options, stock, &mut report, out).await?;
    publishes(&network, options, &mut report).await?;

    let mut chart = Chart::new("Messages of one cycle (less is better)");
    for cycle in &cycles {
        chart.bar(format!("{} items", cycle.items), &[cycle.messages as f64], Ours::Yes);
    }
    report.charts.push(chart);
    for cycle in &cycles {
        let per_node = cycle.messages as f64 / options.nodes as f64;
        report.goal(
            format!(
                "{} items cost {per_node:.2} messages for each node, at most {MOST_PER_NODE}",
                cycle.items
            ),
            per_node <= MOST_PER_NODE,
        );
        report.goal(
            format!("{:.2} % of {} items are found, at least {FOUND} %", cycle.found, cycle.items),
            cycle.found >= FOUND,
        );
    }
    let points: Vec<_> = cycles.iter().map(|cycle| (cycle.items as f64, cycle.messages as f64)).collect();
    if let Some(slope) = slope(&points) {
        report.goal(
            format!("messages grow with items to the power of {slope:.3}, at most {FLAT}"),
            slope <= FLAT,
        );
    }
    if let Some((stock, last)) = stock.zip(cycles.last()) {
        let times = stock * last.items as f64 / last.messages as f64;
        report.goal(
            format!(
                "stock kad would need {times:.0} times as many messages for {} items, at least {BETTER}",
                last.items
            ),
            times >= BETTER,
        );
    }
    Ok(report)
}

/// Announces each number of items from a node of its own.
async fn sweeps(
    network: &Network,
    options: &Options,
    stock: Option<f64>,
    report: &mut Report,
    out: &mut (dyn Write + Send),
) -> Result<Vec<Cycle>> {
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
    let members = network.alive("roles");
    let mut cycles = Vec::new();
    for (announcer, &items) in members.iter().zip(&options.sizes) {
        let keys: Vec<_> =
            (0..items as u64).map(|number| network.seed.key(&format!("of {items}"), number)).collect();
        for cycle in ["first", "again"] {
            let counts = &announcer.host.counts;
            let sent = || (counts.overlay(), counts.requests(Kind::Walk), counts.bytes(), counts.dials());
            let (before, memory, began) = (sent(), resident(), Instant::now());
            announcer.announce_to_the_last(keys.clone()).await?;
            let (after, took) = (sent(), began.elapsed());
            let memory = resident().saturating_sub(memory) as f64;
            let messages = after.0 - before.0;
            writeln!(out, "{items} items, {cycle}: {messages} messages in {}", table::time(took))?;
            let sampled: Vec<_> =
                network.seed.shuffled("sampled", items).into_iter().take(options.sample).collect();
            let sampled: Arc<[_]> = sampled.into_iter().filter_map(|at| keys.get(at).copied()).collect();
            let (copies, near) = copies(&members, announcer, &sampled).await?;
            let sampled: Vec<_> =
                sampled.iter().map(|key| Item { key: *key, provider: announcer.host.peer }).collect();
            let others: Vec<_> =
                members.iter().filter(|other| other.host.peer != announcer.host.peer).cloned().collect();
            let seekers: Vec<_> = others.iter().cycle().take(sampled.len()).cloned().collect();
            let found = look_up(&seekers, &sampled, network).await?;
            sheet.row([
                count(items),
                text(cycle),
                count(messages),
                count(after.1 - before.1),
                number(messages as f64 / options.nodes as f64, 2),
                stock.map_or_else(|| text("-"), |stock| number(stock * items as f64, 0)),
                number((after.2 - before.2) as f64 / f64::from(1 << 20), 1),
                count(after.3 - before.3),
                number(took.as_secs_f64(), 1),
                number(copies.mean(), 1),
                number(copies.percentile(0), 0),
                number(near.mean(), 1),
                number(near.percentile(0), 0),
                count(found.asked),
                number(percent(found.found, found.asked), 2),
                number(memory / 1024.0 / options.nodes as f64, 0),
                number(memory / (copies.mean() * items as f64), 0),
                number(network.internet.clock.take_worst_lag().as_secs_f64() * 1e3, 0),
            ]);
            cycles.push(Cycle { items, messages, found: found.percent() });
        }
    }
    report.sheets.push(sheet);
    Ok(cycles)
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

/// Publishes single items, over connections that are open and over ones that are not, and lets others find them.
async fn publishes(network: &Network, options: &Options, report: &mut Report) -> Result<()> {
    let mut sheet = Sheet::new(
        "From a publish until three of four holders hold it; times in round trips",
        &[
            "connections",
            "publishes",
            "walk p50",
            "then told p50",
            "then told p75",
            "then told p95",
            "whole p50",
            "whole p95",
            "copies",
            "found at once %",
            "lag ms",
        ],
    );
    let mut chart =
        Chart::new("From knowing the holders to having told them, in round trips (less is better)");
    for connections in ["warm", "cold"] {
        if connections == "cold" {
            sleep(options.rest).await;
        }
        network.internet.clock.take_worst_lag();
        let members = network.alive(connections);
        let (mut done, mut items) = (Vec::new(), Vec::new());
        for (number, publisher) in members.iter().take(options.publishes).enumerate() {
            let key = network.seed.key(connections, number as u64);
            done.push(publisher.announce(vec![key]).await?);
            items.push(Item { key, provider: publisher.host.peer });
        }
        let seekers: Vec<_> = members.iter().rev().take(items.len()).cloned().collect();
        let found = look_up(&seekers, &items, network).await?;
        let of = |time: &dyn Fn(&Publication) -> Option<Duration>| -> Samples {
            done.iter().filter_map(time).map(|time| network.round_trips(time)).collect()
        };
        let walk = of(&|done| done.chosen);
        let told = of(&|done| Some(done.ended.saturating_sub(done.chosen?)));
        let whole = of(&|done| Some(done.ended));
        let acknowledged: Samples = done.iter().map(|done| done.acknowledged as f64).collect();
        sheet.row([
            text(connections),
            count(done.len()),
            number(walk.percentile(50), 2),
            number(told.percentile(50), 2),
            number(told.percentile(75), 2),
            number(told.percentile(95), 2),
            number(whole.percentile(50), 2),
            number(whole.percentile(95), 2),
            number(acknowledged.mean(), 1),
            Cell::Number(found.percent(), 1),
            number(network.internet.clock.take_worst_lag().as_secs_f64() * 1e3, 0),
        ]);
        chart.bar(connections, told.values(), Ours::Yes);
        report.goal(
            format!(
                "with {connections} connections, three of four holders hold it {:.2} round trips after the walk \
                 at p50, {:.2} at p95, at most 1",
                told.percentile(50),
                told.percentile(95)
            ),
            told.percentile(95) <= TELLING && found.found == found.asked,
        );
    }
    report.sheets.push(sheet);
    report.charts.push(chart);
    Ok(())
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
