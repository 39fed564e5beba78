//! Fills the list of a key's providers with fakes before the real one comes, and again after it.

use std::io::Write;

use anyhow::{Context, Result, bail};
use libp2p::{Multiaddr, identity::Keypair};
use shoal_content::ProviderKey;
use shoal_dht::Defence;

use super::{FOUND, From, Side, announce_all, anywhere, honest, meet, visit, without};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::{Item, look_up},
        member::{
            Member,
            attacker::{Manner, words::position},
            shoal,
        },
        network::Network,
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::{Death, Way},
    },
    stats::percent,
};

/// Questions to each of the nodes that should hold the record.
const QUESTIONS: usize = 5;

/// Where those begin among outsiders who only ask: behind all fakes.
const ASKERS: usize = 5000;

/// Nodes that are asked directly, the nearest to the key.
const ASKED: usize = 10;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 40)]
    nodes: usize,
    /// How many fakes come before the real provider
    #[arg(long, default_value_t = 64)]
    before: usize,
    /// How many fakes come after it, in the second half of the rows
    #[arg(long, default_value_t = 128)]
    after: usize,
    /// How many nodes look the key up
    #[arg(long, default_value_t = 20)]
    lookups: usize,
}

/// What came of one row.
struct Outcome {
    /// Nodes, of those asked directly, that named the real one in one of five answers at least.
    named_by: f64,
    found: f64,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut sheet = Sheet::new(
        format!("A key with fake providers, among {} honest nodes", options.nodes),
        &["turns and shares", "fakes before", "fakes after", "from", "named in 5 answers by %", "found %"],
    );
    let mut chart = Chart::new(FOUND);
    let mut goals = Vec::new();
    for (after, from) in
        [(0, From::Anywhere), (options.after, From::OneBlock), (options.after, From::Anywhere)]
    {
        for side in Side::BOTH {
            let outcome = play(seed, way, options, (after, from), side).await?;
            let place = from.name();
            writeln!(out, "{} {after} after, {place}: {:.0} % found", side.name(), outcome.found)?;
            sheet.row([
                text(side.name()),
                count(options.before),
                count(after),
                text(place),
                number(outcome.named_by, 0),
                number(outcome.found, 0),
            ]);
            let fakes = if after == 0 {
                format!("squat, {} before", options.before)
            } else {
                format!("squat, {after} after of {place}")
            };
            chart.bar(format!("{fakes}, {}", side.name()), &[outcome.found], side.ours());
            if side == Side::With {
                goals.push((after, place, outcome));
            }
        }
    }
    let mut report = Report { sheets: vec![sheet], charts: vec![chart], ..Report::default() };
    for (after, place, outcome) in goals {
        report.goal(
            format!(
                "with {} fakes before and {after} after it from {place}, every node asked names the real provider in \
                 one of five answers ({:.0} %) and every lookup finds it ({:.0} %)",
                options.before, outcome.named_by, outcome.found
            ),
            outcome.named_by >= 100.0 && outcome.found >= 100.0,
        );
    }
    Ok(report)
}

async fn play(
    seed: Seed,
    way: Way,
    options: &Options,
    (after, from): (usize, From),
    side: Side,
) -> Result<Outcome> {
    let made = shoal::Options { defences: side.defences(&[Defence::FairRecords]), ..Default::default() };
    let mut network = honest(seed, way, options.nodes, &made, shoal::Habit::Aloof).await?;
    let key = seed.key("item", 0);
    let mut fakes = fake(&mut network, 0..options.before, From::Anywhere, key).await?;
    let members = network.alive("roles");
    let (publisher, seekers) = members.split_first().context("nobody is there")?;
    publisher.announce_to_the_last(vec![key]).await?;
    fakes.extend(fake(&mut network, options.before..options.before + after, from, key).await?);

    let place = position(key.as_bytes());
    let mut nearest = seekers.to_vec();
    nearest.sort_by_key(|member| {
        let there = position(&member.host.peer.to_bytes());
        place.iter().zip(there).map(|(a, b)| a ^ b).collect::<Vec<_>>()
    });
    let mut named_by = 0;
    for (number, holder) in nearest.iter().take(ASKED).enumerate() {
        let asker = outsider(&mut network, "asker", number, &anywhere(ASKERS + number))?;
        meet(&asker, std::slice::from_ref(holder)).await?;
        let mut named = false;
        for _ in 0..QUESTIONS {
            named |= asker.find(key, publisher.host.peer).await?.first.is_some();
        }
        named_by += usize::from(named);
    }
    // Whoever is asked for it must know it from its announcement, and not be it.
    publisher.kill(Death::Silent);
    let items = [Item { key, provider: publisher.host.peer }];
    let seekers = without(seekers, key, publisher.host.peer).await?;
    if seekers.is_empty() {
        bail!("every node holds the record, so nobody is left to look for it: take more with --nodes");
    }
    let found = look_up(&seekers[..options.lookups.min(seekers.len())], &items, &network).await?;
    Ok(Outcome { named_by: percent(named_by, ASKED.min(nearest.len())), found: found.percent() })
}

/// Lets so many fakes announce the key to everybody.
async fn fake(
    network: &mut Network,
    numbers: std::ops::Range<usize>,
    from: From,
    key: ProviderKey,
) -> Result<Vec<Member>> {
    let mut fakes = Vec::new();
    for number in numbers {
        fakes.push(outsider(network, "fake", number, &from.address(number))?);
    }
    announce_all(&fakes, &network.alive("victims"), |_| vec![key]).await?;
    Ok(fakes)
}

fn outsider(network: &mut Network, what: &str, number: usize, address: &Multiaddr) -> Result<Member> {
    let key: Keypair = network.seed.identity(what, number as u64);
    let manner = Manner { signers: vec![key.clone()], lies: vec![address.clone()], ..Manner::default() };
    visit(network, &key, address, manner)
}
