//! How a node is set up: the builder, its defaults and its limits.

use std::{path::PathBuf, time::Duration};

use libp2p::Multiaddr;
use shoal_content::NetworkName;
use shoal_dht::Scopes;

use crate::{Announce, Node, Rates, StartError};

/// The port that a node listens on unless told otherwise, or where it is taken any free one.
pub const DEFAULT_PORT: u16 = 4001;

/// Files of a directory that are announced besides its root. With all of them announced, one share of a million
/// files would keep the node announcing for hours before its next share is found.
pub const DEFAULT_ANNOUNCED_FILES: usize = 1000;

/// How long a get waits without any verified progress.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Bounds on what peers can make this node hold. Each is a promise that `status` shows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Connections that are still being negotiated, each way.
    pub pending: u32,
    /// Connections that others opened.
    pub incoming: u32,
    /// All connections; more than `incoming`, so that a flood leaves room for those that this node opens.
    pub total: u32,
    /// Connections to one peer. Two nodes that dial each other over two transports at once need four.
    pub per_peer: u32,
    /// Connections from one address (one /64 for IPv6), so that one machine cannot take every place.
    pub per_ip: u32,
    /// New connections per second from one address, after a burst.
    pub per_ip_rate: u32,
    /// New connections from one address before the rate applies.
    pub per_ip_burst: u32,
    /// Addresses dialled per second, after a burst: what strangers say must not make this node scan for them.
    pub dial_rate: u32,
    /// Addresses dialled at once before the rate applies.
    pub dial_burst: u32,
    /// Dials to one machine that failed in ten minutes, after which it is left alone unless the user named it.
    pub failed_dials: usize,
    /// Ranges being sent at once.
    pub sending: usize,
    /// Ranges being sent to one peer at once.
    pub sending_per_peer: usize,
    /// Resident memory above which no new connection is accepted, in bytes.
    pub memory: usize,
}

impl Limits {
    /// The part of them that transfers keep to.
    pub(crate) fn of_transfer(&self) -> shoal_transfer::Limits {
        let mut limits = shoal_transfer::Limits::default();
        limits.total_transfers = self.sending;
        limits.per_peer_transfers = self.sending_per_peer;
        limits
    }

    /// Every limit by name, for people to read.
    pub(crate) fn list(&self) -> Vec<(&'static str, u64)> {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        vec![
            ("pending connections", self.pending.into()),
            ("incoming connections", self.incoming.into()),
            ("connections", self.total.into()),
            ("connections per peer", self.per_peer.into()),
            ("connections per address", self.per_ip.into()),
            ("new connections per address and second", self.per_ip_rate.into()),
            ("addresses dialled per second", self.dial_rate.into()),
            ("failed dials to one machine in ten minutes", wide(self.failed_dials)),
            ("ranges sent at once", wide(self.sending)),
            ("ranges sent at once per peer", wide(self.sending_per_peer)),
            ("MiB of memory, after which no new connection is taken", wide(self.memory >> 20)),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 64,
            incoming: 256,
            total: 384,
            per_peer: 4,
            per_ip: 32,
            per_ip_rate: 20,
            per_ip_burst: 64,
            dial_rate: 64,
            dial_burst: 256,
            failed_dials: 16,
            sending: 64,
            sending_per_peer: 8,
            memory: 1 << 30,
        }
    }
}

/// What carries the connections of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// TCP (TLS first, Noise beside it) and QUIC, with names looked up in DNS.
    #[default]
    Internet,
    /// Channels inside this process, at `/memory/N` addresses: for tests with many nodes.
    Memory,
}

/// Sets up a [`Node`].
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let node = shoal_node::Node::builder().home("/tmp/shoal-demo").network("demo".parse()?).start().await?;
/// println!("{}", node.peer_id());
/// node.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing runs until `start`"]
pub struct Builder {
    pub(crate) home: Option<PathBuf>,
    pub(crate) network: NetworkName,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) peers: Vec<Multiaddr>,
    pub(crate) external: Vec<Multiaddr>,
    pub(crate) scopes: Scopes,
    pub(crate) mdns: bool,
    pub(crate) announce: Announce,
    pub(crate) transport: Transport,
    pub(crate) limits: Limits,
    pub(crate) rates: Rates,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            home: None,
            network: NetworkName::default(),
            listen: Vec::new(),
            peers: Vec::new(),
            external: Vec::new(),
            scopes: Scopes::Both,
            mdns: true,
            announce: Announce::default(),
            transport: Transport::default(),
            limits: Limits::default(),
            rates: Rates::default(),
        }
    }
}

impl Builder {
    /// The directory for identity, store and lock. There is no default: a library has no home of its own.
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// The overlay to join; two networks never mix. `main` by default.
    pub fn network(mut self, network: NetworkName) -> Self {
        self.network = network;
        self
    }

    /// Adds an address to listen on. With none added, TCP and QUIC on every interface at [`DEFAULT_PORT`], or at any
    /// free port where that one is taken.
    pub fn listen(mut self, address: Multiaddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Adds a peer to connect to at the start and whenever the node knows nobody, with or without its `/p2p/ID`.
    pub fn peer(mut self, address: Multiaddr) -> Self {
        self.peers.push(address);
        self
    }

    /// Adds an address at which others reach this node, for the `wan` scope.
    pub fn external(mut self, address: Multiaddr) -> Self {
        self.external.push(address);
        self
    }

    /// Where to announce and look up. Both scopes by default.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Whether to find peers on the local network by multicast. On by default; its failure is only a warning.
    pub fn mdns(mut self, on: bool) -> Self {
        self.mdns = on;
        self
    }

    /// What of its shares the node announces. By default everything, of a directory [`DEFAULT_ANNOUNCED_FILES`] files.
    pub fn announce(mut self, what: Announce) -> Self {
        self.announce = what;
        self
    }

    /// What carries the connections.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Replaces the limits on what peers can make this node hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How fast content may move. There is no limit by default; [`Node::set_rates`] changes it while the node runs.
    pub fn rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// Starts the node: opens its home and store, listens, and joins the network.
    ///
    /// # Errors
    ///
    /// The home is in use, the store cannot be opened, or no address can be listened on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops what was started and frees the home.
    pub async fn start(self) -> Result<Node, StartError> {
        Node::start(self).await
    }
}
