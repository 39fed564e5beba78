//! Thousands of identities of one address block call one node, to be everybody that it knows.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use shoal_dht::Defence;
use tokio::time::sleep;

use super::{PACE, Side, honest, in_one_block, intrude};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::{look_up, publish},
        member::{attacker::Manner, shoal},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::Way,
    },
};

/// Keys that the victim looks up afterwards.
const KEYS: usize = 20;

/// Identities of one block that a table takes.
const GOAL: usize = 3;

/// How long the last callers are waited for: as long as calling back those who wait takes.
const WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 60)]
    nodes: usize,
    /// How many identities call the victim
    #[arg(long, default_value_t = 2000)]
    identities: usize,
    /// Milliseconds from one call to the next
    #[arg(long, default_value_t = 20)]
    pace: u64,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut sheet = Sheet::new(
        format!(
            "The table of a node among {} honest ones that {} identities of one /24 have called",
            options.nodes, options.identities
        ),
        &["call back and caps", "in its table", "of them attackers", "dials of the victim", "keys found %"],
    );
    let mut chart = Chart::new("Identities of one /24 in the table of their victim (less is better)");
    let mut report = Report::default();
    for side in Side::BOTH {
        let but = [Defence::DialBack, Defence::AddressBlocks];
        let made = shoal::Options { defences: side.defences(&but), ..Default::default() };
        let mut network = honest(seed, way, options.nodes, &made, shoal::Habit::Aloof).await?;
        let members = network.alive("roles");
        let (victim, others) = members.split_first().context("nobody is there")?;
        let published = publish(&others[..KEYS.min(others.len())], &network, "item").await?;
        let dials = victim.host.counts.dials();
        let mut attackers = Vec::new();
        let keys: Vec<_> =
            (0..options.identities).map(|number| seed.identity("caller", number as u64)).collect();
        for (number, key) in keys.iter().enumerate() {
            let friends = keys.iter().enumerate().cycle().skip(number + 1).take(20);
            let near = friends.map(|(at, key)| (key.public().to_peer_id(), vec![in_one_block(at)])).collect();
            let manner = Manner { near, ..Manner::default() };
            let attacker = intrude(&mut network, key, &in_one_block(number), manner)?;
            attacker.dial(victim).await?;
            attackers.push(attacker);
            sleep(PACE.max(Duration::from_millis(options.pace))).await;
        }
        sleep(WAIT).await;
        let table = victim.table().await?;
        let taken = attackers.iter().filter(|attacker| table.contains(&attacker.host.peer)).count();
        let dials = victim.host.counts.dials() - dials;
        let seekers = vec![victim.clone(); published.items.len()];
        let found = look_up(&seekers, &published.items, &network).await?;
        writeln!(out, "{}: {taken} of {} in the table are attackers", side.name(), table.len())?;
        sheet.row([
            text(side.name()),
            count(table.len()),
            count(taken),
            count(dials),
            number(found.percent(), 0),
        ]);
        chart.bar(format!("{} call, {}", options.identities, side.name()), &[taken as f64], side.ours());
        if side == Side::With {
            report.goal(
                format!(
                    "at most {GOAL} of {} identities are in the table ({taken}), and the victim finds {KEYS} keys \
                     ({:.0} %)",
                    options.identities,
                    found.percent()
                ),
                taken <= GOAL && found.percent() >= 100.0,
            );
        }
    }
    report.sheets.push(sheet);
    report.charts.push(chart);
    Ok(report)
}
