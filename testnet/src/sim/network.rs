//! A whole simulated network: who is in it, how they join, and when it has settled.

use std::{
    fmt,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use libp2p::{Multiaddr, identity::Keypair, multiaddr::Protocol};
use rustix::process::{Pid, setpriority_process};
use tokio::{task::JoinSet, time::sleep};

use super::{
    member::{Behave, Member},
    seed::Seed,
    wire::{Death, Internet, Kind, Lag, Way, run_clock},
};
use crate::table;

/// The port that everybody listens on.
const PORT: u16 = 4001;

/// Nodes that a newcomer is told of.
const KNOWN: u64 = 2;

/// The clock may be late by that part of a round trip before the next node has to wait. A network that starts faster
/// than the machine can follow only measures its own queues.
const MAX_JOINING_LAG: f64 = 0.25;

/// How often the network is looked at while it settles.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Requests of walks per node and second below which nobody is still looking around.
const QUIET: f64 = 0.5;

/// Some overlays look around for ever. They are at rest when they do so no less than the same time before: their rate
/// falls by less than this part from one such time to the next.
const STEADY: f64 = 0.1;
const STEADY_FOR: Duration = Duration::from_secs(15);

/// For how long it must have been quiet, and for how many round trips. Kademlia waits half a second before it looks around
/// once more; and over long ways nobody who has just begun has asked anything yet.
const QUIET_FOR: Duration = Duration::from_secs(2);
const QUIET_ROUND_TRIPS: u32 = 8;

/// A network that has not come to rest by then is taken as it is, and that is said. Stock Kademlia looks up every part of its
/// table twice when it joins, one after the other: some twenty walks of thirty round trips each.
const SETTLING: Duration = Duration::from_secs(240);

/// Requests and dials of all kinds, per node and second, below which what followed the joining is over as well: who joined is
/// called back by those it called, a few a second each, and moves between tables long after the last one has looked around.
const CALM: f64 = 0.5;

/// How long each such look at it is.
const CALM_FOR: Duration = Duration::from_secs(3);

/// A network that is not calm when so much time has passed for each of its nodes will not be; that is said.
const CALMING: Duration = Duration::from_millis(100);

/// Times are worth nothing when one tick in a hundred comes later than this part of a round trip: what is measured then
/// is the machine.
const MAX_LAG_SHARE: f64 = 0.1;

/// How far the timers of the libraries are behind, as `nice` has it: far enough to wait while the others work, and not so far
/// that they starve.
const TIMERS_BEHIND: i32 = 5;

/// Where nodes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// All over the internet, no two in the same /16.
    Internet,
    /// In one private network.
    Lan,
}

impl Region {
    /// Where the node with this number lives.
    pub(crate) fn address(self, number: usize) -> Multiaddr {
        let part = |number: usize| u8::try_from(number % 256).unwrap_or_default();
        let ip = match self {
            // From 20.x to 99.x everything is global.
            Self::Internet => {
                let first = 20 + part(number % 80);
                Ipv4Addr::new(first, part(number / 80), part(number * 7), 1 + part(number / 20_480))
            }
            Self::Lan => Ipv4Addr::new(192, 168, part(number / 250), 1 + part(number % 250)),
        };
        Multiaddr::empty().with(Protocol::Ip4(ip)).with(Protocol::Tcp(PORT))
    }
}

/// How a network came to rest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rest {
    /// How long that took after the last node had started.
    pub(crate) after: Duration,
    /// Requests of walks per node and second that go on all the same.
    pub(crate) rate: f64,
    /// Whether it did, within the time it was given.
    pub(crate) is_rest: bool,
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, rate, is_rest } = *self;
        let how = if is_rest { "at rest" } else { "not at rest" };
        write!(f, "{how} after {}, {rate:.1} requests a node and second", table::time(after))
    }
}

/// How a network became calm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calm {
    pub(crate) after: Duration,
    /// Requests and dials per node and second that go on.
    pub(crate) rate: f64,
    lag: Lag,
    /// Whether it did, within the time it was given.
    is_calm: bool,
}

impl fmt::Display for Calm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, rate, lag, is_calm } = *self;
        let how = if is_calm { "calm" } else { "not calm" };
        let (after, late) = (table::time(after), lag.usual.as_millis());
        write!(f, "{how} after {after}, {rate:.2} requests and dials a node and second, {late} ms late")
    }
}

/// What went on in the time before.
struct Window {
    since: Instant,
    requests: u64,
    rate: f64,
}

/// A running network. Dropping it ends all of its nodes.
pub(crate) struct Network {
    pub(crate) internet: Arc<Internet>,
    pub(crate) seed: Seed,
    pub(crate) members: Vec<Member>,
    /// How it was when it was last found at rest.
    pub(crate) rest: Rest,
    tasks: JoinSet<()>,
}

impl Network {
    /// A network without nodes.
    pub(crate) fn new(seed: Seed, way: Way) -> Self {
        let internet = Internet::new(way);
        let mut tasks = JoinSet::new();
        tasks.spawn(run_clock(internet.clock.clone()));
        Self { internet, seed, members: Vec::new(), rest: Rest::default(), tasks }
    }

    /// A network of `count` nodes that have joined one after the other and come to rest.
    pub(crate) async fn settled<B: Behave>(
        seed: Seed,
        way: Way,
        region: Region,
        count: usize,
    ) -> Result<Self> {
        let mut network = Self::new(seed, way);
        for _ in 0..count {
            network.join::<B>(region).await?;
        }
        network.rest = network.settle().await;
        Ok(network)
    }

    /// A network of `count` nodes that were told of all the others instead of joining: each has as much of a table as it
    /// can have.
    pub(crate) async fn acquainted<B: Behave>(
        seed: Seed,
        way: Way,
        region: Region,
        count: usize,
        make: impl Fn(&Keypair) -> (B, B::Books),
    ) -> Result<Self> {
        let mut network = Self::new(seed, way);
        for number in 0..count {
            let (key, address) = (seed.identity("node", number as u64), region.address(number));
            let member = network.start(make(&key), &key, &address)?;
            network.members.push(member);
        }
        let addresses = |member: &Member| (member.host.peer, member.host.address.clone());
        let all: Vec<_> = network.members.iter().map(addresses).collect();
        for (number, member) in network.members.iter().enumerate() {
            let order = seed.shuffled(&format!("acquaintances of {number}"), count);
            let others = order.into_iter().filter(|other| *other != number);
            member.acquaint(others.filter_map(|other| all.get(other).cloned()).collect()).await?;
        }
        network.rest = network.settle().await;
        Ok(network)
    }

    /// Lets one more node join, as fast as the machine can follow.
    pub(crate) async fn join<B: Behave>(&mut self, region: Region) -> Result<Member> {
        self.join_with(region, B::new).await
    }

    /// The same, with the behaviour that `make` makes of its key and its address.
    pub(crate) async fn join_with<B: Behave>(
        &mut self,
        region: Region,
        make: impl FnOnce(&Keypair, &Multiaddr) -> B,
    ) -> Result<Member> {
        self.join_as(region, |key, address| (make(key, address), B::Books::default())).await
    }

    /// The same, with books of its own.
    pub(crate) async fn join_as<B: Behave>(
        &mut self,
        region: Region,
        make: impl FnOnce(&Keypair, &Multiaddr) -> (B, B::Books),
    ) -> Result<Member> {
        let number = self.members.len() as u64;
        let alive: Vec<_> = self.members.iter().filter(|member| member.host.is_alive()).cloned().collect();
        let key = self.seed.identity("node", number);
        let address = region.address(self.members.len());
        let member = self.start(make(&key, &address), &key, &address)?;
        if number == 0 {
            let_timers_wait();
        }
        for known in 0..KNOWN.min(alive.len() as u64) {
            let other = self.seed.below("known", number * KNOWN + known, alive.len());
            member.dial(&alive[other]).await?;
        }
        self.members.push(member.clone());
        self.internet.clock.take_worst_lag();
        loop {
            sleep(Duration::from_millis(2)).await;
            if self.round_trips(self.internet.clock.take_worst_lag()) < MAX_JOINING_LAG {
                return Ok(member);
            }
        }
    }

    /// Starts a node that knows nobody and is no member: an outsider.
    pub(crate) fn start<B: Behave>(
        &mut self,
        made_of: (B, B::Books),
        key: &Keypair,
        address: &Multiaddr,
    ) -> Result<Member> {
        let who = (key.public().to_peer_id(), address);
        Member::start(made_of, &self.internet, who, &mut self.tasks)
    }

    /// Waits until nobody looks around any more, or everybody does so as before.
    pub(crate) async fn settle(&self) -> Rest {
        let began = Instant::now();
        let quiet_for = QUIET_FOR.max(self.internet.way.round_trip() * QUIET_ROUND_TRIPS);
        let mut before = self.walk_requests();
        let (mut looked, mut quiet_since) = (Instant::now(), Instant::now());
        let mut window = Window { since: looked, requests: before, rate: f64::INFINITY };
        self.internet.clock.take_lag();
        while began.elapsed() < SETTLING {
            sleep(LOOK_EVERY).await;
            let now = self.walk_requests();
            let rate = (now - before) as f64 / looked.elapsed().as_secs_f64() / self.members.len() as f64;
            (before, looked) = (now, Instant::now());
            if rate > QUIET {
                quiet_since = Instant::now();
            }
            let mut is_steady = false;
            if window.since.elapsed() >= STEADY_FOR {
                let requests = (now - window.requests) as f64;
                let rate = requests / window.since.elapsed().as_secs_f64() / self.members.len() as f64;
                // A machine that cannot follow keeps any rate.
                is_steady =
                    rate > window.rate * (1.0 - STEADY) && self.is_punctual(self.internet.clock.take_lag());
                window = Window { since: Instant::now(), requests: now, rate };
            }
            if is_steady || quiet_since.elapsed() > quiet_for {
                self.internet.clock.take_lag();
                return Rest { after: began.elapsed(), rate, is_rest: true };
            }
        }
        self.internet.clock.take_lag();
        Rest { after: began.elapsed(), rate: window.rate, is_rest: false }
    }

    /// Waits until nobody does anything to speak of, and the machine has caught up with all of them. What is measured
    /// before is how long the others keep it busy.
    pub(crate) async fn calm(&self) -> Calm {
        let (began, patience) =
            (Instant::now(), CALMING * u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        loop {
            let (before, looked) = (self.traffic(), Instant::now());
            self.internet.clock.take_lag();
            sleep(CALM_FOR).await;
            let traffic = (self.traffic() - before) as f64;
            let rate = traffic / looked.elapsed().as_secs_f64() / self.members.len() as f64;
            let lag = self.internet.clock.take_lag();
            let is_calm = rate <= CALM && self.is_punctual(lag);
            let after = began.elapsed();
            if is_calm || after >= patience {
                return Calm { after, rate, lag, is_calm };
            }
        }
    }

    /// Requests and dials of all nodes together.
    fn traffic(&self) -> u64 {
        self.members.iter().map(|member| member.host.counts.overlay() + member.host.counts.dials()).sum()
    }

    /// Whether times that were measured with such a lag are worth anything.
    pub(crate) fn is_punctual(&self, lag: Lag) -> bool {
        self.round_trips(lag.usual) <= MAX_LAG_SHARE
    }

    /// Requests of walks that all nodes together have sent.
    pub(crate) fn walk_requests(&self) -> u64 {
        self.members.iter().map(|member| member.host.counts.requests(Kind::Walk)).sum()
    }

    /// Members that are alive, in an order that the seed decides.
    pub(crate) fn alive(&self, what: &str) -> Vec<Member> {
        let order = self.seed.shuffled(what, self.members.len()).into_iter();
        let members = order.filter_map(|at| self.members.get(at));
        members.filter(|member| member.host.is_alive()).cloned().collect()
    }

    /// Kills so many members, one half refusing and one half silent, but none of those to be spared.
    pub(crate) fn kill(&self, count: usize, spared: &[Member]) -> Result<()> {
        let mut victims = self.alive("victims");
        victims.retain(|victim| !spared.iter().any(|spared| spared.host.peer == victim.host.peer));
        let victims = victims.get(..count).context("there are not that many to kill")?;
        for (number, victim) in victims.iter().enumerate() {
            victim.kill(if number % 2 == 0 { Death::Silent } else { Death::Refusing });
        }
        Ok(())
    }

    pub(crate) fn round_trips(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.internet.way.round_trip().as_secs_f64()
    }
}

/// Lets the thread that keeps the time of the libraries run behind those that do the work. It is woken at each change of any
/// of a hundred thousand timers, and on a busy machine switching to it for each takes a quarter of the processors; now it
/// sees many changes at once. Its timers are of seconds.
fn let_timers_wait() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads {
        let is_timer = std::fs::read_to_string(thread.path().join("comm"))
            .is_ok_and(|name| name.trim_end() == "futures-timer");
        let number = thread.file_name().to_str().and_then(|number| number.parse().ok());
        if is_timer && let Some(thread) = number.and_then(Pid::from_raw) {
            // Where this is not allowed the simulation takes longer.
            let _ = setpriority_process(Some(thread), TIMERS_BEHIND);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use shoal_dht::AddressClass;

    use super::*;

    #[test]
    fn everybody_has_an_address_of_the_right_kind() {
        for (region, class) in
            [(Region::Internet, AddressClass::Global), (Region::Lan, AddressClass::Private)]
        {
            let addresses: HashSet<_> = (0..5000).map(|number| region.address(number)).collect();
            assert_eq!(addresses.len(), 5000);
            assert!(addresses.iter().all(|address| AddressClass::of(address) == class));
        }
    }
}
