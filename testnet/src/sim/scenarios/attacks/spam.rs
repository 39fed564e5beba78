//! Fills the stores of all nodes with random keys, and sees what is left for those who have something to share.

use std::{io::Write, sync::Arc};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use shoal_content::ProviderKey;
use shoal_dht::{Defence, Limits};

use super::{FOUND, From, PUBLISHERS, Side, announce_all, honest, look_up_without_publishers, visit};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::publish,
        member::{Member, attacker::Manner, shoal},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::Way,
    },
    stats::percent,
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 40)]
    nodes: usize,
    /// How many keys the strangers announce to each of them, all together
    #[arg(long, default_value_t = 20_000)]
    keys: usize,
    /// How many records a node has room for
    #[arg(long, default_value_t = 5000)]
    records: usize,
    /// How many strangers there are; several numbers for several floods
    #[arg(long, default_values_t = [3, 100])]
    senders: Vec<usize>,
    /// Where they live; several places for several floods
    #[arg(long, value_enum, num_args = 1.., default_values_t = [From::OneBlock, From::Anywhere])]
    from: Vec<From>,
    /// How many lookups are made
    #[arg(long, default_value_t = 40)]
    lookups: usize,
}

/// What came of one flood.
struct Outcome {
    /// Strangers' records that the fullest node holds.
    held: usize,
    /// Honest announcements that every node has kept which was told.
    kept: f64,
    /// Nodes that keep an honest record.
    copies: f64,
    found: f64,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut sheet = Sheet::new(
        format!(
            "Announcements among {} honest nodes with room for {} records, after {} random keys of strangers",
            options.nodes, options.records, options.keys
        ),
        &["fair shares", "strangers", "from", "their records", "published %", "copies", "found %"],
    );
    let mut chart = Chart::new(FOUND);
    let mut goals = Vec::new();
    let floods = options.senders.iter().flat_map(|senders| options.from.iter().map(|from| (*senders, *from)));
    for (senders, from) in floods {
        for side in Side::BOTH {
            let outcome = play(seed, way, options, (senders, from), side).await?;
            let place = from.name();
            writeln!(out, "{} {senders} strangers of {place}: {:.0} % found", side.name(), outcome.found)?;
            sheet.row([
                text(side.name()),
                count(senders),
                text(place),
                count(outcome.held),
                number(outcome.kept, 0),
                number(outcome.copies, 1),
                number(outcome.found, 0),
            ]);
            let name = format!("spam, {senders} of {place}, {}", side.name());
            chart.bar(name, &[outcome.found], side.ours());
            if side == Side::With {
                goals.push((senders, place, outcome));
            }
        }
    }
    let mut report = Report { sheets: vec![sheet], charts: vec![chart], ..Report::default() };
    for (senders, place, outcome) in goals {
        report.goal(
            format!(
                "with {senders} strangers of {place} every publish succeeds ({:.0} %), every key is found ({:.0} %), and no node \
                 holds more records than it has room for ({})",
                outcome.kept, outcome.found, outcome.held
            ),
            outcome.kept >= 100.0 && outcome.found >= 100.0 && outcome.held <= options.records,
        );
    }
    Ok(report)
}

async fn play(
    seed: Seed,
    way: Way,
    options: &Options,
    (senders, from): (usize, From),
    side: Side,
) -> Result<Outcome> {
    let limits = Limits { records: options.records, ..Limits::default() };
    let made =
        shoal::Options { defences: side.defences(&[Defence::FairRecords]), limits, ..Default::default() };
    let mut network = honest(seed, way, options.nodes, &made, shoal::Habit::Aloof).await?;
    let victims = network.alive("victims");
    let mut strangers = Vec::new();
    for number in 0..senders {
        let (key, address) = (seed.identity("spammer", number as u64), from.address(number));
        let manner = Manner { signers: vec![key.clone()], lies: vec![address.clone()], ..Manner::default() };
        strangers.push(visit(&mut network, &key, &address, manner)?);
    }
    let share = options.keys / senders.max(1);
    let keys = |number: usize| -> Vec<_> {
        (number * share..(number + 1) * share).map(|number| seed.key("spam", number as u64)).collect()
    };
    announce_all(&strangers, &victims, keys).await?;
    let members = network.alive("roles");
    let (publishers, others) = members.split_at_checked(PUBLISHERS).context("there are not enough nodes")?;
    let published = publish(publishers, &network, "item").await?;
    let whole = published.copies.values().iter().filter(|copies| **copies > 0.0).count();
    let roles = (publishers, others);
    let aftermath = look_up_without_publishers(roles, &published.items, options.lookups, &network).await?;
    let strangers: Vec<_> =
        strangers.into_iter().enumerate().map(|(number, stranger)| (stranger, keys(number).into())).collect();
    let held = try_join_all(others.iter().map(|node| held(node, &strangers))).await?;
    Ok(Outcome {
        held: held.into_iter().max().unwrap_or(0),
        kept: percent(whole, publishers.len()),
        copies: published.copies.mean(),
        found: aftermath.found_percent(),
    })
}

/// How many records of strangers a node holds.
async fn held(node: &Member, strangers: &[(Member, Arc<[ProviderKey]>)]) -> Result<usize> {
    let mut count = 0;
    for (stranger, keys) in strangers {
        count += node.held(keys.clone(), stranger.host.peer).await?.into_iter().filter(|held| *held).count();
    }
    Ok(count)
}
