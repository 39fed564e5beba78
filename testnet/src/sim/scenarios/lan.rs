//! One node with very many items among a few others in a private network, such as a storage box at home.
//!
//! Everybody is near to every key there, so everybody is told of all of them: more than a node keeps of strangers'
//! records by default, once the others have told of theirs too. Nothing may be lost to that quota.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use libp2p::PeerId;
use shoal_content::ProviderKey;

use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{Found, Item, look_up},
        member::{Member, shoal::Shoal},
        network::{Network, Region},
        report::{Report, Sheet, count, number, text},
        resident,
        seed::Seed,
        wire::{Counts, Way},
    },
    stats::Samples,
    table,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    /// Of the one.
    pub(crate) items: usize,
    /// Of each other one.
    pub(crate) others: usize,
    pub(crate) lookups: usize,
}

/// Keys that a node has, and how many of the other nodes hold a record of each.
struct Shelf {
    owner: PeerId,
    keys: Arc<[ProviderKey]>,
    copies: Vec<usize>,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let network = Network::settled::<Shoal>(seed, way, Region::Lan, options.nodes).await?;
    let members = network.alive("roles");
    let (owner, others) = members.split_first().context("a network without nodes")?;
    let idle = resident();
    let began = Instant::now();
    let requests_before = owner.host.counts.overlay();
    let boxed = put(owner, "boxed", options.items, &network).await?;
    let announced = began.elapsed();
    let requests = owner.host.counts.overlay() - requests_before;
    writeln!(out, "{} items announced in {}", options.items, table::time(announced))?;
    // Last, so that the others find every store as full as the one could make it.
    let mut small = Vec::new();
    for (number, other) in others.iter().enumerate() {
        small.push(put(other, &format!("small {number}"), options.others, &network).await?);
    }
    let memory = resident().saturating_sub(idle);

    let boxed = count_copies(boxed, &members).await?;
    let mut counted = Vec::new();
    for shelf in small {
        counted.push(count_copies(shelf, &members).await?);
    }
    let items = sample(&boxed, &counted, options.lookups, &network);
    let mut turn = others.iter().cycle();
    let seeker = |item: &Item| turn.find(|other| other.host.peer != item.provider).cloned();
    let seekers: Vec<_> = items.iter().filter_map(seeker).collect();
    let found = look_up(&seekers, &items, &network).await?;
    let measured = Measured {
        nodes: members.len(),
        boxed: boxed.copies,
        others: counted.into_iter().flat_map(|shelf| shelf.copies).collect(),
        announced,
        requests,
        memory,
        found,
        worst_lag: network.internet.clock.take_worst_lag(),
        sent: members.iter().map(|member| Counts::bytes(&member.host.counts)).sum(),
    };
    Ok(measured.describe(options))
}

/// What the one and the others cost, and what is left of what they said.
struct Measured {
    nodes: usize,
    /// How many nodes hold a record of each item of the one.
    boxed: Vec<usize>,
    /// The same of the items of all others.
    others: Vec<usize>,
    /// How long the announcement of the one took, and its requests.
    announced: Duration,
    requests: u64,
    /// Bytes of memory that the records take in all nodes.
    memory: u64,
    found: Found,
    worst_lag: Duration,
    /// Bytes that all nodes sent.
    sent: u64,
}

impl Measured {
    fn describe(&self, options: &Options) -> Report {
        let mut chart = Chart::new("Until the provider is named, in round trips (less is better)");
        chart.bar(format!("{} items", options.items), self.found.first.values(), Ours::Yes);
        let sheets = vec![self.held(), self.lookups()];
        let mut report = Report { sheets, charts: vec![chart], ..Report::default() };
        report.findings.push(format!("All nodes together sent {}.", table::size(self.sent)));
        let lost = self.boxed.iter().chain(&self.others).filter(|copies| **copies == 0).count();
        report.goal(format!("no key is lost to a quota, {lost} are"), lost == 0);
        let Found { asked, found, .. } = self.found;
        report.goal(format!("everything is found, {found} of {asked}"), found == asked);
        report
    }

    fn held(&self) -> Sheet {
        let mut sheet = Sheet::new(
            format!(
                "Who holds the records in a private network of {} nodes; every key was looked at",
                self.nodes
            ),
            &["whose", "items", "copies mean", "copies min", "kept by nobody"],
        );
        for (whose, copies) in [("the one's", &self.boxed), ("all others'", &self.others)] {
            let samples: Samples = copies.iter().map(|copies| *copies as f64).collect();
            sheet.row([
                text(whose),
                count(copies.len()),
                number(samples.mean(), 2),
                number(samples.percentile(0), 0),
                count(copies.iter().filter(|copies| **copies == 0).count()),
            ]);
        }
        sheet
    }

    fn lookups(&self) -> Sheet {
        let mut sheet = Sheet::new(
            "Lookups by the other nodes in turn, and what the announcement of the one took",
            &[
                "lookups",
                "found %",
                "first p50",
                "first p95",
                "announced s",
                "requests",
                "requests/node",
                "MiB/node",
                "lag ms",
            ],
        );
        sheet.row([
            count(self.found.asked),
            number(self.found.percent(), 2),
            number(self.found.first.percentile(50), 2),
            number(self.found.first.percentile(95), 2),
            number(self.announced.as_secs_f64(), 1),
            count(self.requests),
            number(self.requests as f64 / self.nodes as f64, 1),
            number(self.memory as f64 / self.nodes as f64 / f64::from(1 << 20), 1),
            number(self.worst_lag.as_secs_f64() * 1e3, 0),
        ]);
        sheet
    }
}

/// Lets a node announce so many items, and waits for the last of those who are told.
async fn put(owner: &Member, what: &str, items: usize, network: &Network) -> Result<Shelf> {
    let keys: Vec<_> = (0..items as u64).map(|number| network.seed.key(what, number)).collect();
    let shelf = Shelf { owner: owner.host.peer, keys: keys.clone().into(), copies: vec![0; keys.len()] };
    if !keys.is_empty() {
        owner.announce_to_the_last(keys).await?;
    }
    Ok(shelf)
}

/// Asks every node about every key.
async fn count_copies(mut shelf: Shelf, members: &[Member]) -> Result<Shelf> {
    for member in members.iter().filter(|member| member.host.peer != shelf.owner) {
        let held = member.held(shelf.keys.clone(), shelf.owner).await?;
        for (copies, held) in shelf.copies.iter_mut().zip(held) {
            *copies += usize::from(held);
        }
    }
    Ok(shelf)
}

/// What is looked up: nine of ten are items of the one, those first that the fewest hold.
fn sample(boxed: &Shelf, others: &[Shelf], count: usize, network: &Network) -> Vec<Item> {
    let mut order = network.seed.shuffled("sample", boxed.keys.len());
    order.sort_by_key(|at| boxed.copies.get(*at).copied());
    let rarest = order.iter().take(count / 10).copied();
    let shuffled = network.seed.shuffled("sample", boxed.keys.len());
    let of_the_one = rarest.chain(shuffled.into_iter().take(count * 8 / 10));
    let mut items: Vec<_> = of_the_one
        .filter_map(|at| boxed.keys.get(at).map(|key| Item { key: *key, provider: boxed.owner }))
        .collect();
    let small: Vec<_> = others
        .iter()
        .flat_map(|shelf| shelf.keys.iter().map(|key| Item { key: *key, provider: shelf.owner }))
        .collect();
    let order = network.seed.shuffled("small sample", small.len());
    items.extend(order.into_iter().take(count / 10).filter_map(|at| small.get(at).cloned()));
    items
}
