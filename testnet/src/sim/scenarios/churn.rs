//! Nodes come and go while others look things up; then a part of all is gone at once.
//!
//! Those who publish stay, so that what is not found is the overlay's fault. They publish once and renew nothing
//! meanwhile. Everybody else leaves without a word when its session is over, and somebody new comes for it, with an
//! identity and an address of its own.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{Item, look_up},
        member::{
            Member,
            shoal::{self, Shoal},
        },
        network::{Network, Region},
        report::{Report, Sheet, count, number, text},
        seed::Seed,
        sessions::Sessions,
        wire::{Death, Kind, Way},
    },
    stats::{Samples, percent},
    table,
};

/// Nodes that publish, and stay.
const PUBLISHERS: usize = 20;

/// From one lookup to the next while nodes come and go.
const PACE: Duration = Duration::from_millis(100);

/// Whoever has been here for less has not found its way into the network, and looks nothing up.
const ARRIVED: Duration = Duration::from_secs(5);

/// A lookup that takes longer is one that did not find.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long each line of the table about coming and going is.
const WINDOW: Duration = Duration::from_secs(20);

/// What should be found while nodes come and go and right after a part of them is gone, and two minutes after.
const FOUND: f64 = 99.0;
const FOUND_LATER: f64 = 99.9;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) items: usize,
    /// For how long nodes come and go.
    pub(crate) lasts: Duration,
    /// What stands for a minute of the sessions.
    pub(crate) minute: Duration,
    /// In percent of the nodes, at once.
    pub(crate) dead: u8,
    /// From then on until the second look at everything.
    pub(crate) again: Duration,
    /// Announcements that each node hands on per second.
    pub(crate) handed: usize,
}

/// A lookup while nodes come and go: in which window it began, and when it found, if it did. Nothing when the seeker
/// left in the middle.
type Looked = (usize, Option<Option<Duration>>);

pub(crate) async fn run(
    seed: Seed,
    way: Way,
    options: &Options,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    let mut stage = Stage::set(seed, way, options, out).await?;
    let before = stage.copies().await?;
    let windows = stage.come_and_go(options).await?;
    let after = stage.copies().await?;

    let mut report = Report::default();
    let meanwhile = stage.describe(&windows, options, (&before, &after), &mut report);
    let (name, ours) =
        if options.handed > 0 { ("handed on", Ours::Yes) } else { ("not handed on", Ours::No) };
    let mut shares = Chart::new("Found although nodes come and go, in percent (more is better)");
    let mut held = Chart::new("Nodes that hold a record of an item, mean (more is better)");
    shares.bar(format!("while they do, {name}"), &[meanwhile], ours);
    held.bar(format!("when published, {name}"), &[before.mean()], ours);
    held.bar(format!("after they did, {name}"), &[after.mean()], ours);

    let all = stage.network.alive("survivors").len();
    let killed = all * usize::from(options.dead) / 100;
    let mut sheet = Sheet::new(
        format!("{killed} of {all} nodes are gone at once; every item is looked up; times in round trips"),
        &["when", "lookups", "found %", "first p50", "first p95", "copies mean", "copies min", "lag ms"],
    );
    stage.network.kill(killed, &stage.publishers)?;
    let killed_at = Instant::now();
    let mut found = Vec::new();
    for when in ["right after", "long after"] {
        if when == "long after" {
            sleep_until((killed_at + options.again).into()).await;
        }
        stage.network.internet.clock.take_worst_lag();
        let began = killed_at.elapsed().as_secs();
        let copies = stage.copies().await?;
        let looked = look_up(&stage.seekers(when), &stage.items, &stage.network).await?;
        let lag = stage.network.internet.clock.take_worst_lag();
        sheet.row([
            text(format!("{began} to {} s", killed_at.elapsed().as_secs())),
            count(looked.asked),
            number(looked.percent(), 2),
            number(looked.first.percentile(50), 2),
            number(looked.first.percentile(95), 2),
            number(copies.mean(), 1),
            number(copies.percentile(0), 0),
            number(lag.as_secs_f64() * 1e3, 0),
        ]);
        shares.bar(format!("{when} {} % are gone, {name}", options.dead), &[looked.percent()], ours);
        held.bar(format!("{when} {} % are gone, {name}", options.dead), &[copies.mean()], ours);
        found.push(looked.percent());
    }
    report.sheets.push(sheet);
    report.charts = vec![shares, held];
    for ((found, goal), when) in
        found.into_iter().zip([FOUND, FOUND_LATER]).zip(["right after", "within two minutes"])
    {
        report.goal(
            format!("{found:.2} % found {when} {} % of all are gone, at least {goal} %", options.dead),
            found >= goal,
        );
    }
    Ok(report)
}

/// A network in which much has been published.
struct Stage {
    network: Network,
    shoal: shoal::Options,
    publishers: Vec<Member>,
    /// Each item's publisher in turn.
    items: Vec<Item>,
    /// Announcements that all nodes sent before nodes came and went.
    announced: u64,
}

/// What happened in a window.
#[derive(Default)]
struct Window {
    joined: usize,
    /// Lookups whose seekers stayed, and those of them that found.
    looked: usize,
    first: Vec<f64>,
}

impl Stage {
    async fn set(seed: Seed, way: Way, options: &Options, out: &mut (dyn Write + Send)) -> Result<Self> {
        let began = Instant::now();
        let mut shoal = shoal::Options::default();
        shoal.limits.handed_per_second = options.handed;
        let mut network = Network::new(seed, way);
        for _ in 0..options.nodes {
            let make = |key: &_, address: &_| Shoal::with(key, address, &shoal);
            network.join_with(Region::Internet, make).await?;
        }
        network.settle().await;
        writeln!(out, "{} nodes up in {}", options.nodes, table::time(began.elapsed()))?;
        let mut publishers = network.alive("publishers");
        publishers.truncate(PUBLISHERS.min(options.nodes / 4).max(1));
        let mut items = Vec::new();
        for (number, publisher) in publishers.iter().enumerate() {
            let numbers = (number..options.items).step_by(publishers.len());
            let keys: Vec<_> = numbers.map(|number| seed.key("item", number as u64)).collect();
            items.extend(keys.iter().map(|key| Item { key: *key, provider: publisher.host.peer }));
            if !keys.is_empty() {
                publisher.announce_to_the_last(keys).await?;
            }
        }
        let announced = announcements(&network);
        Ok(Self { network, shoal, publishers, items, announced })
    }

    /// Lets nodes come and go, and look things up meanwhile.
    async fn come_and_go(&mut self, options: &Options) -> Result<Vec<Window>> {
        let seed = self.network.seed;
        let mut sessions = Sessions::new(seed, options.minute);
        let publishes =
            |member: &Member| self.publishers.iter().any(|other| other.host.peer == member.host.peer);
        // Who goes when, and who is here since when.
        let mut going: BTreeMap<(Duration, usize), Member> = BTreeMap::new();
        let mut here: Vec<(Duration, Member)> = Vec::new();
        for (number, member) in self.network.members.iter().enumerate() {
            here.push((Duration::ZERO, member.clone()));
            if !publishes(member) {
                going.insert((sessions.rest(), number), member.clone());
            }
        }
        let mut windows: Vec<Window> = Vec::new();
        let mut lookups: JoinSet<Looked> = JoinSet::new();
        let (began, mut next_lookup, mut number) = (Instant::now(), ARRIVED, 0_u64);
        loop {
            let next_death = going.keys().next().map_or(options.lasts, |(at, _)| *at);
            let next = next_death.min(next_lookup);
            if next >= options.lasts {
                break;
            }
            sleep_until((began + next).into()).await;
            let window = usize::try_from(next.as_secs() / WINDOW.as_secs())?;
            windows.resize_with(windows.len().max(window + 1), Window::default);
            if next_death <= next_lookup {
                let Some((_, gone)) = going.pop_first() else { continue };
                let silent = number % 2 == 0;
                number += 1;
                gone.kill(if silent { Death::Silent } else { Death::Refusing });
                here.retain(|(_, member)| member.host.is_alive());
                let make = |key: &_, address: &_| Shoal::with(key, address, &self.shoal);
                let member = self.network.join_with(Region::Internet, make).await?;
                let at = began.elapsed();
                going.insert((at + sessions.whole(), self.network.members.len()), member.clone());
                here.push((at, member));
                if let Some(window) = windows.get_mut(window) {
                    window.joined += 1;
                }
                continue;
            }
            next_lookup += PACE;
            number += 1;
            let item = self.items.get(seed.below("looked up", number, self.items.len())).cloned();
            let item = item.context("nothing was published")?;
            let settled = here.partition_point(|(since, _)| next >= ARRIVED + *since);
            let Some((_, seeker)) = here.get(seed.below("seeker", number, settled.max(1))) else { continue };
            if seeker.host.peer == item.provider {
                continue;
            }
            let seeker = seeker.clone();
            lookups.spawn(async move {
                let found = timeout(PATIENCE, seeker.find(item.key, item.provider)).await;
                let first = match found {
                    Ok(Ok(search)) => Some(search.first.map(|(time, _)| time)),
                    Ok(Err(_)) => None,
                    Err(_) => Some(None),
                };
                (window, first.filter(|_| seeker.host.is_alive()))
            });
        }
        while let Some(looked) = lookups.join_next().await {
            let (window, Some(first)) = looked? else { continue };
            let Some(window) = windows.get_mut(window) else { continue };
            window.looked += 1;
            window.first.extend(first.map(|first| self.network.round_trips(first)));
        }
        Ok(windows)
    }

    /// Puts what happened while nodes came and went into the report. Tells how much was found, in percent.
    fn describe(
        &self,
        windows: &[Window],
        options: &Options,
        (before, after): (&Samples, &Samples),
        report: &mut Report,
    ) -> f64 {
        let mean = Sessions::new(self.network.seed, options.minute).mean();
        let mut sheet = Sheet::new(
            format!(
                "{} nodes come and go, sessions of {:.0} s on average; times in round trips",
                options.nodes,
                mean.as_secs_f64()
            ),
            &["until s", "joined", "lookups", "found %", "first p50", "first p95"],
        );
        let (mut joined, mut looked, mut found) = (0, 0, 0);
        for (at, window) in windows.iter().enumerate() {
            let first: Samples = window.first.iter().copied().collect();
            let until = WINDOW.as_secs() * (at as u64 + 1);
            let rate = percent(window.first.len(), window.looked);
            sheet.row([
                count(until),
                count(window.joined),
                count(window.looked),
                number(rate, 2),
                number(first.percentile(50), 2),
                number(first.percentile(95), 2),
            ]);
            joined += window.joined;
            looked += window.looked;
            found += window.first.len();
        }
        report.sheets.push(sheet);
        let handed = announcements(&self.network) - self.announced;
        let copies = |copies: &Samples| format!("{:.1}, at least {:.0}", copies.mean(), copies.percentile(0));
        let lag = self.network.internet.clock.take_worst_lag();
        report.findings.push(format!(
            "{joined} nodes came; copies of an item among the living: {} before, {} after; announcements handed on \
             to each newcomer: {:.1}; the clock was at most {} ms late.",
            copies(before),
            copies(after),
            handed as f64 / joined as f64,
            lag.as_millis()
        ));
        let rate = percent(found, looked);
        report.goal(
            format!("{rate:.2} % of {looked} lookups found while nodes come and go, at least {FOUND} %"),
            rate >= FOUND,
        );
        rate
    }

    /// How many of the living hold a record of each item.
    async fn copies(&self) -> Result<Samples> {
        let members = self.network.alive("holders");
        let mut copies = Vec::new();
        for publisher in &self.publishers {
            let provider = publisher.host.peer;
            let of_provider = self.items.iter().filter(|item| item.provider == provider);
            let keys: Arc<[_]> = of_provider.map(|item| item.key).collect();
            let mut counts = vec![0.0; keys.len()];
            for member in &members {
                let held = member.held(keys.clone(), provider).await?;
                counts.iter_mut().zip(held).filter(|(_, held)| *held).for_each(|(count, _)| *count += 1.0);
            }
            copies.extend(counts);
        }
        Ok(copies.into_iter().collect())
    }

    /// One who looks for each item: others than who publishes it.
    fn seekers(&self, what: &str) -> Vec<Member> {
        let mut others = self.network.alive(what);
        others.retain(|member| self.publishers.iter().all(|other| other.host.peer != member.host.peer));
        others.iter().cycle().take(self.items.len()).cloned().collect()
    }
}

fn announcements(network: &Network) -> u64 {
    network.members.iter().map(|member| member.host.counts.requests(Kind::Announce)).sum()
}
