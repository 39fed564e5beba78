//! A node with many items is killed and starts again: whether it goes on announcing where it was, or begins anew.

use std::{
    io::Write,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use libp2p::{Multiaddr, identity::Keypair};
use shoal_content::ProviderKey;
use shoal_dht::OwnKey;
use tokio::time::sleep;

use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{Found, Item, look_up},
        member::{
            Member,
            shoal::{self, Habit, Shoal},
        },
        network::{Network, Region},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        wire::{Death, Way},
    },
    table,
};

/// Nodes that the one knows when it starts.
const KNOWN: usize = 2;

/// Peers with which it has found its way into the network again.
const ARRIVED: usize = 15;

/// It should have got there by then.
const ARRIVING: Duration = Duration::from_secs(30);

/// Parts of the time that are told apart.
const PARTS: u32 = 10;

/// How much of a cycle one of those parts may carry once it runs, and after a restart, in percent.
const MOST_IN_A_PART: f64 = 30.0;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) items: usize,
    /// For how long announcements hold. They are told again within half of that.
    pub(crate) ttl: Duration,
    /// How long each life of the node is watched, twice for the first one.
    pub(crate) watch: Duration,
    pub(crate) lookups: usize,
}

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let network = Network::settled::<Shoal>(seed, way, Region::Internet, options.nodes).await?;
    let keys: Vec<_> = (0..options.items as u64).map(|number| seed.key("item", number)).collect();
    let mut stage = Stage {
        network,
        key: seed.identity("announcer", 0),
        address: Region::Internet.address(options.nodes),
        keys,
        since: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        options: *options,
    };

    let first = stage.start(None).await?;
    let announced = stage.watch("first start", &first).await?;
    let (cycle, half) = (announced.messages(), table::time(announced.half(options)));
    writeln!(out, "announced with {cycle} messages, half of them in {half}")?;
    let running = stage.watch("the same, later", &first).await?;
    let progress = first.progress().await?.context("the node cannot say how far it has come")?;
    first.kill(Death::Refusing);

    let resumed = stage.start(Some(progress)).await?;
    let after = stage.watch("started again, goes on", &resumed).await?;
    let after = stage.look_up(after, &resumed).await?;
    resumed.kill(Death::Refusing);

    let forgetful = stage.start(None).await?;
    let anew = stage.watch("started again, knows nothing", &forgetful).await?;
    let anew = stage.look_up(anew, &forgetful).await?;
    Ok(describe(options, &[announced, running, after, anew]))
}

/// Tells what each life of the node sent; the messages of the first one are a cycle.
fn describe(options: &Options, lives: &[Life; 4]) -> Report {
    let [first, running, resumed, _] = lives;
    let cycle = first.messages();
    let mut sheet = Sheet::new(
        format!(
            "One node keeps {} items announced among {} for {} s at a time; messages in {} s",
            options.items,
            options.nodes,
            options.ttl.as_secs(),
            options.watch.as_secs()
        ),
        &["run", "messages", "first tenth %", "busiest tenth %", "lookups", "found %", "lag ms"],
    );
    let mut chart = Chart::new("Messages in the first tenth after a start (less is better)");
    let percent_of_cycle = |messages: u64| messages as f64 * 100.0 / cycle as f64;
    for life in lives {
        let found = life.found.as_ref();
        sheet.row([
            text(life.name),
            count(life.messages()),
            number(percent_of_cycle(life.soonest()), 1),
            number(percent_of_cycle(life.busiest()), 1),
            count(found.map_or(0, |found| found.asked)),
            number(found.map_or(f64::NAN, Found::percent), 1),
            number(life.worst_lag.as_secs_f64() * 1e3, 0),
        ]);
        chart.bar(life.name, &[life.soonest() as f64], Ours::Yes);
    }
    let mut report = Report { sheets: vec![sheet], charts: vec![chart], ..Report::default() };
    for (what, life) in [("once it runs", running), ("after a restart", resumed)] {
        let most = percent_of_cycle(life.busiest());
        report.goal(
            format!(
                "{what} no tenth of the time carries more than {MOST_IN_A_PART} % of a cycle, {most:.1} %"
            ),
            most <= MOST_IN_A_PART,
        );
    }
    if let Some(Found { asked, found, .. }) = resumed.found {
        report.goal(
            format!("all that was announced before a restart is found, {found} of {asked}"),
            found == asked,
        );
    }
    report
}

/// What was seen of the node from one start, or from a later moment on.
struct Life {
    name: &'static str,
    /// The messages that it sent in each part of the time.
    parts: Vec<u64>,
    /// What others found of its items, if they were asked.
    found: Option<Found>,
    /// How late the simulator's clock was at the worst moment.
    worst_lag: Duration,
}

impl Life {
    fn messages(&self) -> u64 {
        self.parts.iter().sum()
    }

    fn soonest(&self) -> u64 {
        self.parts.first().copied().unwrap_or(0)
    }

    fn busiest(&self) -> u64 {
        self.parts.iter().copied().max().unwrap_or(0)
    }

    /// When half of the messages had been sent, to a part of the time.
    fn half(&self, options: &Options) -> Duration {
        let all = self.messages();
        let mut sum = 0;
        let before = self.parts.iter().take_while(|part| {
            sum += **part;
            sum * 2 < all
        });
        options.watch / PARTS * u32::try_from(before.count() + 1).unwrap_or(PARTS)
    }
}

struct Stage {
    network: Network,
    key: Keypair,
    address: Multiaddr,
    keys: Vec<ProviderKey>,
    /// Since when they are the node's own.
    since: u64,
    options: Options,
}

impl Stage {
    /// Starts the node, and waits until it has found its way into the network.
    async fn start(&mut self, progress: Option<Vec<u8>>) -> Result<Member> {
        let mut shoal = Shoal::with(&self.key, &self.address, &shoal::Options::default());
        if let Some(progress) = progress {
            shoal.resume(&progress);
        }
        let member = self.network.start((shoal, Habit::default()), &self.key, &self.address)?;
        for known in self.network.alive("known").iter().take(KNOWN) {
            member.dial(known).await?;
        }
        let began = Instant::now();
        while member.table().await?.len() < ARRIVED.min(self.options.nodes) {
            if began.elapsed() > ARRIVING {
                bail!("the node found nobody");
            }
            sleep(Duration::from_millis(50)).await;
        }
        let own = |key: &ProviderKey| OwnKey { key: *key, since: self.since };
        member.keep(self.keys.iter().map(own).collect(), self.options.ttl).await?;
        Ok(member)
    }

    /// Counts the messages that the node sends from now on.
    async fn watch(&self, name: &'static str, member: &Member) -> Result<Life> {
        let began = Instant::now();
        let mut before = member.host.counts.overlay();
        let mut parts = Vec::new();
        for part in 1..=PARTS {
            tokio::time::sleep_until((began + self.options.watch * part / PARTS).into()).await;
            let now = member.host.counts.overlay();
            parts.push(now - before);
            before = now;
        }
        Ok(Life { name, parts, found: None, worst_lag: self.network.internet.clock.take_worst_lag() })
    }

    /// Lets others look for the node's items at the end of a life.
    async fn look_up(&self, life: Life, owner: &Member) -> Result<Life> {
        let sampled = self.network.seed.shuffled("sampled", self.keys.len()).into_iter();
        let sampled = sampled.take(self.options.lookups).filter_map(|at| self.keys.get(at));
        let items: Vec<_> = sampled.map(|key| Item { key: *key, provider: owner.host.peer }).collect();
        let seekers = self.network.alive("seekers");
        let seekers: Vec<_> = seekers.iter().cycle().take(items.len()).cloned().collect();
        let found = look_up(&seekers, &items, &self.network).await?;
        let worst_lag = life.worst_lag.max(self.network.internet.clock.take_worst_lag());
        Ok(Life { found: Some(found), worst_lag, ..life })
    }
}
