//! What a node decides about its part in the overlays.

use std::time::Duration;

use libp2p::identity::Keypair;
use shoal_content::NetworkName;

use crate::scope::Scopes;

/// How to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Separates overlays: nodes of different networks never mix.
    pub network: NetworkName,
    /// The node's identity, which signs its announcements.
    pub keypair: Keypair,
    /// The overlays to take part in.
    pub scopes: Scopes,
    /// Whether to look for neighbours by multicast DNS. Needs a tokio runtime.
    pub mdns: bool,
    /// What strangers and callers may use.
    pub limits: Limits,
}

/// Bounds on memory and work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Strangers' records held per scope, in memory, at about half a kilobyte each. Our own keys do not
    /// count.
    pub records: usize,
    /// Providers held per key. More of them are of no use to one who looks, and a popular key must not
    /// crowd out others.
    pub providers_per_key: usize,
    /// Lookups that walk at once; the others wait. Each keeps several dials open.
    pub lookups: usize,
    /// How long a lookup may take. Whoever waits longer believes that it hangs.
    pub lookup_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 100_000,
            providers_per_key: 64,
            lookups: 16,
            lookup_deadline: Duration::from_secs(30),
        }
    }
}
