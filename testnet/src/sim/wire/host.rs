//! Who lives at which address, how far apart they are, and who has died.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures::task::AtomicWaker;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::{
    clock::{Clock, held},
    link::{Connection, State},
    tap::Counts,
};

/// Connections that arrive at a host faster than it takes them. More are refused, like a full backlog.
const BACKLOG: usize = 1024;

/// How long the ways are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// From any host to any other one.
    pub(crate) one_way: Duration,
    /// Round trips before a new connection carries its first byte: QUIC needs one, TCP and TLS 1.3 need two.
    pub(crate) handshake: u32,
}

impl Way {
    pub(crate) fn round_trip(self) -> Duration {
        self.one_way * 2
    }

    /// What a new connection takes before it carries its first byte.
    pub(crate) fn handshake(self) -> Duration {
        self.round_trip() * self.handshake
    }
}

/// How a host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Its machine is there and says that nobody listens; its connections are reset.
    Refusing,
    /// Whatever is sent there is lost. Nobody is told.
    Silent,
}

const ALIVE: u8 = 0;
const REFUSING: u8 = 1;
const SILENT: u8 = 2;

/// All hosts.
pub(crate) struct Internet {
    pub(crate) clock: Arc<Clock>,
    pub(crate) way: Way,
    hosts: Mutex<HashMap<Multiaddr, Arc<Host>>>,
}

/// A machine with one address, and somebody who listens there.
pub(crate) struct Host {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) counts: Counts,
    life: AtomicU8,
    links: Mutex<Vec<Weak<State>>>,
    arriving: Mutex<Vec<(u64, Connection, Multiaddr)>>,
    pub(super) listener: Arc<AtomicWaker>,
}

impl Internet {
    pub(crate) fn new(way: Way) -> Arc<Self> {
        Arc::new(Self { clock: Arc::new(Clock::new()), way, hosts: Mutex::default() })
    }

    /// Lets `peer` live at `address`, whoever did before.
    pub(crate) fn settle(&self, peer: PeerId, address: Multiaddr) -> Arc<Host> {
        let host = Arc::new(Host {
            peer,
            address: address.clone(),
            counts: Counts::default(),
            life: AtomicU8::new(ALIVE),
            links: Mutex::default(),
            arriving: Mutex::default(),
            listener: Arc::default(),
        });
        held(&self.hosts).insert(address, host.clone());
        host
    }

    /// Who lives at an address, named with or without its peer.
    pub(super) fn at(&self, address: &Multiaddr) -> Option<Arc<Host>> {
        let mut bare = address.clone();
        if matches!(bare.iter().last(), Some(Protocol::P2p(_))) {
            bare.pop();
        }
        held(&self.hosts).get(&bare).cloned()
    }

    /// Connects two hosts: the end of the one who asked.
    pub(super) fn connect(&self, from: &Arc<Host>, to: &Arc<Host>) -> Option<Connection> {
        if !to.is_alive() {
            return None;
        }
        let (near, far, state) = Connection::pair(&self.clock, self.way.one_way, [from.clone(), to.clone()]);
        let due = self.clock.after(self.way.one_way);
        {
            let mut arriving = held(&to.arriving);
            if arriving.len() >= BACKLOG {
                return None;
            }
            arriving.push((due, far, from.address.clone()));
        }
        from.note(state.clone());
        to.note(state);
        self.clock.set(due, to.listener.clone());
        Some(near)
    }
}

impl Host {
    pub(crate) fn is_alive(&self) -> bool {
        self.life.load(Ordering::Relaxed) == ALIVE
    }

    pub(super) fn is_silent(&self) -> bool {
        self.life.load(Ordering::Relaxed) == SILENT
    }

    /// Must come before its node is dropped, whose farewells would be heard otherwise.
    pub(crate) fn die(&self, how: Death) {
        let life = match how {
            Death::Refusing => REFUSING,
            Death::Silent => SILENT,
        };
        self.life.store(life, Ordering::Relaxed);
        if how == Death::Silent {
            held(&self.links).iter().filter_map(Weak::upgrade).for_each(|link| link.fall_silent());
        }
        held(&self.arriving).clear();
    }

    /// The next connection that has arrived, and from where.
    pub(super) fn accept(&self, clock: &Clock) -> Option<(Connection, Multiaddr)> {
        let mut arriving = held(&self.arriving);
        let next = arriving.iter().position(|(due, ..)| clock.is_due(*due))?;
        let (_, connection, from) = arriving.remove(next);
        Some((connection, from))
    }

    fn note(&self, link: Weak<State>) {
        let mut links = held(&self.links);
        if links.len() == links.capacity() {
            links.retain(|link| link.strong_count() > 0);
        }
        links.push(link);
    }
}
