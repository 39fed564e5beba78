//! Attacks on a simulated network, each with the defence against it and without.

mod eclipse;
mod forge;
mod grind;
mod reflection;
mod spam;
mod squat;
mod takeover;

use std::{
    io::Write,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use libp2p::{Multiaddr, PeerId, identity::Keypair, multiaddr::Protocol};
use shoal_content::ProviderKey;
use shoal_dht::{Defence, Defences};
use tokio::time::sleep;

use super::super::{
    lookups::{Item, look_up},
    member::{
        Behave, Member,
        attacker::{Attacker, Manner},
        shoal::{Habit, Options, Shoal},
    },
    network::{Network, Region},
    report::Report,
    seed::Seed,
    wire::{Death, Way},
};
use crate::{bench::svg::Ours, stats::percent};

/// Where the addresses of attackers begin that live all over the internet: behind those of all members.
const OUTSIDE: usize = 10_000;

/// How often to look at what cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What has not happened by then will not.
const PATIENCE: Duration = Duration::from_secs(60);

/// From one dial of an attacker to the next, so that not all of them arrive at one moment.
const PACE: Duration = Duration::from_millis(2);

/// Attackers that speak at once. They come one by one otherwise, and hundreds of them would take minutes.
const AT_ONCE: usize = 8;

/// Honest nodes that publish a key each, where attackers aim at records.
const PUBLISHERS: usize = 10;

/// The plot that most attacks have in common; whether the defence is up stands with each name.
const FOUND: &str = "Keys found under attack, in percent (more is better)";

/// Which attack.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Attack {
    /// Identities ground near a key, who name only each other and know no provider
    Eclipse(eclipse::Options),
    /// Strangers who take records back in the name of those who provide
    Forge(forge::Options),
    /// Fake providers of a key before the real one, and after it
    Squat(squat::Options),
    /// Strangers who fill every store with random keys
    Spam(spam::Options),
    /// Thousands of identities of one address block that want into the table of one node
    Takeover(takeover::Options),
    /// Records and answers that name the address of somebody else
    Reflection(reflection::Options),
}

pub(crate) async fn run(
    attack: &Attack,
    seed: Seed,
    way: Way,
    out: &mut (dyn Write + Send),
) -> Result<Report> {
    match attack {
        Attack::Eclipse(options) => eclipse::run(seed, way, options, out).await,
        Attack::Forge(options) => forge::run(seed, way, options, out).await,
        Attack::Squat(options) => squat::run(seed, way, options, out).await,
        Attack::Spam(options) => spam::run(seed, way, options, out).await,
        Attack::Takeover(options) => takeover::run(seed, way, options, out).await,
        Attack::Reflection(options) => reflection::run(seed, way, options, out).await,
    }
}

/// Where attackers live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// All of them in one /24
    OneBlock,
    /// Each in a /16 of its own
    Anywhere,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            Self::OneBlock => "one /24",
            Self::Anywhere => "as many /16",
        }
    }

    /// Where the `number`th of them lives.
    fn address(self, number: usize) -> Multiaddr {
        match self {
            Self::OneBlock => in_one_block(number),
            Self::Anywhere => anywhere(number),
        }
    }
}

/// Whether the defence against an attack is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    With,
    Without,
}

impl Side {
    const BOTH: [Self; 2] = [Self::With, Self::Without];

    fn name(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Without => "without",
        }
    }

    /// Whose bar it is in a chart: what nodes do stands out.
    fn ours(self) -> Ours {
        if self == Self::With { Ours::Yes } else { Ours::No }
    }

    /// All defences, or all but some.
    fn defences(self, but: &[Defence]) -> Defences {
        match self {
            Self::With => Defences::ALL,
            Self::Without => but.iter().fold(Defences::ALL, |up, defence| up.without(*defence)),
        }
    }
}

/// A network of honest nodes that has come to rest.
async fn honest(seed: Seed, way: Way, count: usize, options: &Options, habit: Habit) -> Result<Network> {
    let mut network = Network::new(seed, way);
    for _ in 0..count {
        let make = |key: &Keypair, address: &Multiaddr| (Shoal::with(key, address, options), habit);
        network.join_as(Region::Internet, make).await?;
    }
    network.settle().await;
    Ok(network)
}

/// Starts an attacker; it knows nobody yet.
fn intrude(network: &mut Network, key: &Keypair, address: &Multiaddr, manner: Manner) -> Result<Member> {
    network.start((Attacker::new(key, address), manner.into()), key, address)
}

/// Starts an attacker that does not join: it only says what it has to say.
fn visit(network: &mut Network, key: &Keypair, address: &Multiaddr, manner: Manner) -> Result<Member> {
    network.start((Attacker::guest(key), manner.into()), key, address)
}

/// Lets an attacker meet all of these, and waits until it has.
async fn meet(attacker: &Member, victims: &[Member]) -> Result<()> {
    for victim in victims {
        attacker.dial(victim).await?;
        sleep(PACE).await;
    }
    until("an attacker has met its victims", async || Ok(attacker.table().await?.len() >= victims.len()))
        .await
}

/// Lets each of these strangers meet all victims and announce its keys.
async fn announce_all(
    strangers: &[Member],
    victims: &[Member],
    keys: impl Fn(usize) -> Vec<ProviderKey>,
) -> Result<()> {
    let visits = strangers.iter().enumerate().map(|(number, stranger)| {
        let keys = keys(number);
        async move {
            meet(stranger, victims).await?;
            stranger.announce(keys).await.map(drop)
        }
    });
    stream::iter(visits).buffer_unordered(AT_ONCE).try_collect().await
}

/// Waits for a condition.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !condition().await? {
        if began.elapsed() > PATIENCE {
            bail!("waited in vain until {what}");
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// What became of items that honest nodes had published.
struct Aftermath {
    /// Nodes, of those who did not publish, that held a record, of all items together.
    holders: usize,
    asked: usize,
    found: usize,
}

impl Aftermath {
    fn found_percent(&self) -> f64 {
        percent(self.found, self.asked)
    }
}

/// Looks up what was published, about `lookups` times in all, once its publishers are silent: whoever is asked must know it
/// from announcements, and whoever asks must not hold it.
async fn look_up_without_publishers(
    (publishers, others): (&[Member], &[Member]),
    items: &[Item],
    lookups: usize,
    network: &Network,
) -> Result<Aftermath> {
    publishers.iter().for_each(|publisher| publisher.kill(Death::Silent));
    let mut aftermath = Aftermath { holders: 0, asked: 0, found: 0 };
    for item in items {
        let mut seekers = without(others, item.key, item.provider).await?;
        aftermath.holders += others.len() - seekers.len();
        seekers.truncate(lookups.div_ceil(PUBLISHERS));
        let looked = look_up(&seekers, std::slice::from_ref(item), network).await?;
        aftermath.asked += looked.asked;
        aftermath.found += looked.found;
    }
    Ok(aftermath)
}

/// Those who do not hold the record themselves, and so have to ask.
async fn without(members: &[Member], key: ProviderKey, provider: PeerId) -> Result<Vec<Member>> {
    let mut without = Vec::new();
    for member in members {
        if member.held([key].into(), provider).await? == [false] {
            without.push(member.clone());
        }
    }
    Ok(without)
}

/// Where the `number`th attacker lives who has addresses all over the internet.
fn anywhere(number: usize) -> Multiaddr {
    Region::Internet.address(OUTSIDE + number)
}

/// Where the `number`th attacker lives who has one address block and all its ports.
fn in_one_block(number: usize) -> Multiaddr {
    let host = u8::try_from(1 + number % 250).unwrap_or(1);
    let port = u16::try_from(4001 + number / 250).unwrap_or(u16::MAX);
    Multiaddr::empty().with(Protocol::Ip4(Ipv4Addr::new(120, 1, 2, host))).with(Protocol::Tcp(port))
}
