//! Names the address of somebody else wherever an address can be named, so that honest nodes call there.
//!
//! The attackers claim to live there, announce providers who do, and answer every question with nodes and providers
//! who do. The victim has nothing to do with any of it, and never answers: it drops what it did not ask for.

use std::{io::Write, net::Ipv4Addr, time::Duration};

use anyhow::Result;
use libp2p::{Multiaddr, multiaddr::Protocol};
use tokio::time::sleep;

use super::{Side, anywhere, honest, intrude, meet};
use crate::{
    bench::svg::Chart,
    sim::{
        lookups::{Item, look_up},
        member::{
            attacker::Manner,
            shoal::{self, Dials, Habit},
        },
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::{Death, Way},
    },
};

/// Ports of the victim that are named.
const PORTS: u16 = 8;

/// Identities that each attacker announces for, and names.
const INVENTED: usize = 20;

/// How long the last dials are waited for: longer than one that gets no answer takes.
const WAIT: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many honest nodes there are
    #[arg(long, default_value_t = 30)]
    nodes: usize,
    /// How many attackers there are
    #[arg(long, default_value_t = 10)]
    attackers: usize,
    /// How many keys they announce, each of which is looked up by some
    #[arg(long, default_value_t = 50)]
    keys: u64,
    /// How many lookups are made
    #[arg(long, default_value_t = 300)]
    lookups: usize,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let most = shoal_node::Limits::default().failed_dials as f64;
    let mut sheet = Sheet::new(
        format!(
            "Dials to a victim whose address {} attackers name, by {} honest nodes that look {} keys up {} times",
            options.attackers, options.nodes, options.keys, options.lookups
        ),
        &["rules for dials", "dials to the victim", "of one node", "all dials"],
    );
    let mut chart = Chart::new("Dials of one honest node to a machine that others name (less is better)");
    let mut report = Report::default();
    for side in Side::BOTH {
        let dials = if side == Side::With { Dials::Ruled } else { Dials::Free };
        let (made, habit) = (shoal::Options::default(), Habit::Visiting(dials));
        let mut network = honest(seed, way, options.nodes, &made, habit).await?;
        let address = |port| {
            let ip = Protocol::Ip4(Ipv4Addr::new(130, 1, 1, 1));
            Multiaddr::empty().with(ip).with(Protocol::Tcp(port))
        };
        let nobody = seed.identity("victim", 0).public().to_peer_id();
        let ports: Vec<_> = (1..=PORTS).map(|port| network.internet.settle(nobody, address(port))).collect();
        ports.iter().for_each(|port| port.die(Death::Silent));
        let lies: Vec<_> = (1..=PORTS).map(address).collect();
        let keys: Vec<_> = (0..options.keys).map(|number| seed.key("item", number)).collect();
        let victims = network.alive("roles");
        let mut attackers = Vec::new();
        for attacker in 0..options.attackers {
            let key = seed.identity("attacker", attacker as u64);
            let invent = |number: usize| seed.identity("invented", (attacker * INVENTED + number) as u64);
            let signers: Vec<_> = (0..INVENTED).map(invent).collect();
            // Each its own ports: no two look the same.
            let lie =
                |number: usize| lies.iter().cycle().skip(number % lies.len()).take(4).cloned().collect();
            let named: Vec<_> =
                signers.iter().map(|one| one.public().to_peer_id()).zip((0..).map(lie)).collect();
            let manner = Manner {
                signers,
                lies: lies.clone(),
                near: named.clone(),
                providers: named,
                ..Manner::default()
            };
            let attacker = intrude(&mut network, &key, &anywhere(attacker), manner)?;
            meet(&attacker, &victims).await?;
            attacker.announce(keys.clone()).await?;
            attackers.push(attacker);
        }
        let seekers: Vec<_> = victims.iter().cycle().take(options.lookups).cloned().collect();
        let items: Vec<_> = keys.iter().map(|key| Item { key: *key, provider: nobody }).collect();
        look_up(&seekers, &items, &network).await?;
        sleep(WAIT).await;
        let knocks: u64 = ports.iter().map(|port| port.counts.knocks()).sum();
        let of_one = knocks as f64 / options.nodes as f64;
        let all: u64 = victims.iter().map(|node| node.host.counts.dials()).sum();
        writeln!(out, "{}: {knocks} dials", side.name())?;
        sheet.row([text(side.name()), count(knocks), number(of_one, 1), count(all)]);
        chart.bar(format!("{} attackers, {}", options.attackers, side.name()), &[of_one], side.ours());
        if side == Side::With {
            report.goal(
                format!("a node dials a machine that does not answer at most {most} times in ten minutes ({of_one:.1})"),
                of_one <= most,
            );
        }
    }
    report.sheets.push(sheet);
    report.charts.push(chart);
    Ok(report)
}
