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
    /// What is done against those who mean harm. Leaving one out is for simulations, which show what it is worth.
    pub defences: Defences,
}

/// Something done against those who mean harm, and not for those who do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defence {
    /// Who crowds around a key is looked past, when it is announced and when it is looked up.
    LookBeside,
    /// One block of addresses gets few places in a table.
    AddressBlocks,
    /// Only whom we dialled ourselves enters the `wan` table, at addresses where we met them.
    DialBack,
    /// Who fills a store makes room in it first, and the providers of a key take turns in answers.
    FairRecords,
    /// Announcements count that their provider has signed, whoever sends them.
    Signatures,
}

/// The defences that are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defences {
    down: u8,
}

impl Defences {
    /// All of them, as every node has it.
    pub const ALL: Self = Self { down: 0 };

    /// All of these but one.
    #[must_use]
    pub const fn without(self, defence: Defence) -> Self {
        Self { down: self.down | defence.bit() }
    }

    pub(crate) const fn include(self, defence: Defence) -> bool {
        self.down & defence.bit() == 0
    }
}

impl Defence {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Bounds on memory and work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Strangers' records held per scope, in memory, at up to a kilobyte each. Our own keys do not count.
    pub records: usize,
    /// Providers held per key. More of them are of no use to one who looks, and a popular key must not
    /// crowd out others.
    pub providers_per_key: usize,
    /// Announcements handed on to newcomers per second and scope. More would only be felt by our user; with none, what
    /// is announced is found less and less the more nodes come and go.
    pub handed_per_second: usize,
    /// Lookups that walk at once; the others wait. Each keeps several dials open.
    pub lookups: usize,
    /// Dials under way in the whole node beyond which an overlay begins none. It must be less than the node makes at once:
    /// those that are refused, or wait for their turn, would look like dead nodes.
    pub dials: usize,
    /// Connections of the whole node beyond which an overlay dials for lookups alone, likewise less than the node takes.
    pub connections: usize,
    /// How long a lookup may take. Whoever waits longer believes that it hangs.
    pub lookup_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 100_000,
            providers_per_key: 64,
            handed_per_second: 16,
            lookups: 16,
            dials: 48,
            connections: 352,
            lookup_deadline: Duration::from_secs(30),
        }
    }
}
