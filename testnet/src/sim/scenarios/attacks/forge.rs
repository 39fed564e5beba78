//! Takes records back in the name of those who announced them.
//!
//! Who provides a key stands in every record of it, with the key that its announcements are signed with. So a stranger
//! can say anything in that name; it only cannot sign it.

use std::io::Write;

use anyhow::{Context, Result};
use libp2p::{PeerId, identity::PublicKey};
use shoal_dht::Defence;

use super::{FOUND, PUBLISHERS, Side, announce_all, anywhere, honest, look_up_without_publishers, visit};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::publish,
        member::{attacker::Manner, shoal},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::Way,
    },
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 60)]
    nodes: usize,
    /// How many strangers there are
    #[arg(long, default_value_t = 3)]
    strangers: usize,
    /// How many lookups are made
    #[arg(long, default_value_t = 200)]
    lookups: usize,
}

/// What came of one side.
struct Outcome {
    /// Honest nodes that hold a record after the attack.
    copies: f64,
    asked: usize,
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
            "Keys that {} strangers take back in the name of their providers, among {} honest nodes",
            options.strangers, options.nodes
        ),
        &["signatures", "copies left", "lookups", "found %"],
    );
    let mut chart = Chart::new(FOUND);
    let mut report = Report::default();
    for side in Side::BOTH {
        let outcome = play(seed, way, options, side).await?;
        writeln!(out, "{}: {:.0} % found", side.name(), outcome.found)?;
        sheet.row([
            text(side.name()),
            number(outcome.copies, 1),
            count(outcome.asked),
            number(outcome.found, 1),
        ]);
        chart.bar(format!("forged withdrawals, {}", side.name()), &[outcome.found], side.ours());
        if side == Side::With {
            report.goal(
                format!(
                    "what strangers say in the name of others changes nothing ({:.0} % found)",
                    outcome.found
                ),
                outcome.found >= 100.0,
            );
        }
    }
    report.sheets.push(sheet);
    report.charts.push(chart);
    Ok(report)
}

async fn play(seed: Seed, way: Way, options: &Options, side: Side) -> Result<Outcome> {
    let made = shoal::Options { defences: side.defences(&[Defence::Signatures]), ..Default::default() };
    let mut network = honest(seed, way, options.nodes, &made, shoal::Habit::Aloof).await?;
    let members = network.alive("roles");
    let (publishers, others) = members.split_at_checked(PUBLISHERS).context("there are not enough nodes")?;
    let published = publish(publishers, &network, "item").await?;
    let keys: Vec<_> = published.items.iter().map(|item| item.key).collect();
    let forged: Vec<_> = publishers.iter().map(|one| public_key(&one.host.peer)).collect::<Result<_>>()?;
    let mut strangers = Vec::new();
    for number in 0..options.strangers {
        let (key, address) = (seed.identity("forger", number as u64), anywhere(number));
        // Each signs in the name of all with a key of its own, and announces the keys for itself as well: it is taken for
        // somebody who provides, and not for one who has nothing to say.
        let manner = Manner {
            signers: vec![key.clone()],
            forged: forged.clone(),
            lies: vec![address.clone()],
            ..Manner::default()
        };
        strangers.push(visit(&mut network, &key, &address, manner)?);
    }
    announce_all(&strangers, others, |_| keys.clone()).await?;
    let (roles, items) = ((publishers, others), &published.items);
    let aftermath = look_up_without_publishers(roles, items, options.lookups, &network).await?;
    let copies = aftermath.holders as f64 / items.len() as f64;
    Ok(Outcome { copies, asked: aftermath.asked, found: aftermath.found_percent() })
}

/// The key that a peer signs with, which is its name.
fn public_key(peer: &PeerId) -> Result<PublicKey> {
    PublicKey::try_decode_protobuf(peer.as_ref().digest()).context("its name is the hash of its key")
}
