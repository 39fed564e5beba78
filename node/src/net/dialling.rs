//! Decides which addresses may be dialled, and when: strangers tell us addresses, and must not aim us at others.
//!
//! Owns: what was dialled lately, by address.  Hears: addresses to dial, how dials ended, where this node listens.
//! Tells: how long to wait before a dial, or why there will be none.
//! Invariant: however many addresses strangers invent, one machine sees few dials of ours that it did not want, and
//! all machines together see no more of them in a second than a busy node makes anyway.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use shoal_dht::AddressClass;

use super::gate::network;
use crate::config::Limits;

/// How long failed dials to one address count.
pub(crate) const WINDOW: Duration = Duration::from_secs(10 * 60);
/// A dial that would have to wait longer for its turn is refused: whoever wants it has given up by then.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// A dial that is given up after this long got no answer. One given up earlier may have lost a race against another
/// address.
const NO_ANSWER: Duration = Duration::from_secs(2);
/// How often a machine is tried that fails all the time, and at which a peer was found before.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Addresses whose failures are remembered. When there are more, those that failed longest ago are forgotten.
const MAX_FAILING: usize = 4096;
/// Machines remembered at which a peer was found. Dials to others go out a few at a time until one is answered.
const MAX_REACHED: usize = 1024;
/// Addresses remembered that our own user named. Those named longest ago are treated like those of strangers again.
const MAX_NAMED: usize = 256;

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nobody can live at this address")]
    Nowhere,
    #[error("it is this node's own address")]
    Own,
    #[error("too many dials to this machine failed lately")]
    Failing,
    #[error("too many dials to this machine are under way, and it has not answered yet")]
    Unknown,
    #[error("too many addresses are being dialled")]
    Busy,
}

/// What is known of dials.
#[derive(Debug)]
pub(crate) struct Dialling {
    per_second: f64,
    burst: f64,
    failures_per_machine: usize,
    /// Below zero when dials wait for their turn.
    tokens: f64,
    refilled: Instant,
    own: Vec<Multiaddr>,
    /// What our own user named, the latest last.
    named: VecDeque<Multiaddr>,
    /// When dials failed, by the network that counts as one machine.
    failing: HashMap<IpAddr, VecDeque<Instant>>,
    /// Dials that have not ended, likewise. As many as wait for their turn or for an answer.
    under_way: HashMap<IpAddr, usize>,
    /// Machines at which a peer was found, the latest last.
    reached: VecDeque<IpAddr>,
}

impl Dialling {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let burst = f64::from(limits.dial_burst);
        Self {
            per_second: f64::from(limits.dial_rate).max(1.0),
            burst,
            failures_per_machine: limits.failed_dials,
            tokens: burst,
            refilled: now,
            own: Vec::new(),
            named: VecDeque::new(),
            failing: HashMap::new(),
            under_way: HashMap::new(),
            reached: VecDeque::new(),
        }
    }

    /// Sets where this node listens.
    pub(crate) fn listens_at(&mut self, addresses: &[Multiaddr]) {
        self.own = addresses.iter().map(bare).collect();
    }

    /// Notes an address that our own user named: it is tried as often as the user wants.
    pub(crate) fn name(&mut self, address: &Multiaddr) {
        let address = bare(address);
        self.named.retain(|known| *known != address);
        self.named.push_back(address);
        if self.named.len() > MAX_NAMED {
            self.named.pop_front();
        }
    }

    /// How long to wait before dialling `address`. A dial that is admitted counts as one under way until
    /// [`Dialling::ended`] is told of it.
    pub(crate) fn admit(&mut self, address: &Multiaddr, now: Instant) -> Result<Duration, Refusal> {
        let address = bare(address);
        // What our own user named is tried, and fails with a better reason than ours.
        if !self.named.contains(&address) {
            if self.own.contains(&address) {
                return Err(Refusal::Own);
            }
            if AddressClass::of(&address) == AddressClass::Other {
                return Err(Refusal::Nowhere);
            }
            if let Some(machine) = machine(&address) {
                let failures = self.recent_failures(machine, now);
                if failures >= self.failures_per_machine && !self.may_be_back(machine, now) {
                    return Err(Refusal::Failing);
                }
                // Each of those under way may be one more that fails, and one who drops what we send says so late.
                let under_way = self.under_way.get(&machine).copied().unwrap_or(0);
                if failures + under_way >= self.failures_per_machine && !self.reached.contains(&machine) {
                    return Err(Refusal::Unknown);
                }
            }
        }
        let wait = self.take_turn(now)?;
        if let Some(machine) = machine(&address) {
            *self.under_way.entry(machine).or_default() += 1;
        }
        Ok(wait)
    }

    /// Notes how a dial to `address` ended, or that it was given up after `elapsed`.
    pub(crate) fn ended(&mut self, address: &Multiaddr, end: End, now: Instant) {
        let Some(machine) = machine(address) else { return };
        if let Some(under_way) = self.under_way.get_mut(&machine) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(&machine);
            }
        }
        match end {
            End::Reached => {
                self.failing.remove(&machine);
                self.reached.retain(|known| *known != machine);
                self.reached.push_back(machine);
                if self.reached.len() > MAX_REACHED {
                    self.reached.pop_front();
                }
            }
            // It may have lost a race against another address of the same machine. Against those of other machines
            // whoever names them could lose on purpose.
            End::GivenUp { after } if after < NO_ANSWER && self.reached.contains(&machine) => {}
            End::NotBegun => {}
            End::Failed | End::GivenUp { .. } => self.failed(machine, now),
        }
    }

    /// Whether to try a machine that has failed again and again: one at which a peer was found is no victim, and may be
    /// back when the network is, so it is tried now and then.
    fn may_be_back(&self, machine: IpAddr, now: Instant) -> bool {
        let failed = self.failing.get(&machine).and_then(VecDeque::back);
        let is_fresh = |failed: &Instant| now.saturating_duration_since(*failed) < TRY_AGAIN;
        self.reached.contains(&machine) && !failed.is_some_and(is_fresh)
    }

    fn failed(&mut self, machine: IpAddr, now: Instant) {
        if self.failing.len() >= MAX_FAILING && !self.failing.contains_key(&machine) {
            let oldest = self.failing.iter().min_by_key(|(_, failures)| failures.back().copied());
            if let Some(oldest) = oldest.map(|(machine, _)| *machine) {
                self.failing.remove(&oldest);
            }
        }
        let failures = self.failing.entry(machine).or_default();
        failures.push_back(now);
        // What was under way when the limit was reached is beyond it, and would only take room.
        while failures.len() > self.failures_per_machine {
            failures.pop_front();
        }
    }

    fn recent_failures(&mut self, machine: IpAddr, now: Instant) -> usize {
        let Some(failures) = self.failing.get_mut(&machine) else { return 0 };
        failures.retain(|failed| now.saturating_duration_since(*failed) < WINDOW);
        let count = failures.len();
        if count == 0 {
            self.failing.remove(&machine);
        }
        count
    }

    fn take_turn(&mut self, now: Instant) -> Result<Duration, Refusal> {
        let since = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        self.refilled = now;
        let wait = Duration::from_secs_f64(((1.0 - self.tokens) / self.per_second).max(0.0));
        if wait > LONGEST_WAIT {
            return Err(Refusal::Busy);
        }
        self.tokens -= 1.0;
        Ok(wait)
    }
}

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A peer proved who it is.
    Reached,
    /// Nobody is there, or nobody who speaks our protocols.
    Failed,
    /// Whoever dialled does not wait any more.
    GivenUp { after: Duration },
    /// Its turn did not come.
    NotBegun,
}

/// What counts as one machine; none for this one, on which a test network may live.
fn machine(address: &Multiaddr) -> Option<IpAddr> {
    let ip = match address.iter().next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    (!ip.is_loopback()).then(|| network(ip))
}

/// Without the name of who should live there.
pub(super) fn bare(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests;
