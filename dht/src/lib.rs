//! Finds who has content, and tells others that we have it: Kademlia, signed announcements and mDNS.
//!
//! One [`Behaviour`] holds an overlay per [`Scope`], `lan` and `wan`, and speaks to the node only in
//! [`Event`]s. The node runs the swarm, feeds [`Behaviour::identified`] with what identify learns and
//! [`Behaviour::set_own_addresses`] with where it listens, and moves the bytes.
//!
//! | to … | look at |
//! | --- | --- |
//! | see what it can do | [`Behaviour`], [`Event`] |
//! | know which address goes where | [`AddressClass`], [`Scope`] |
//! | read what travels | `wire`, `codec` |
//! | follow an announcement | `provide`, then `record_store` at the other end |
//! | see records handed on | `handing`, then `record_store::proof` |
//! | follow a lookup | `lookup`, `search`, `walk`, then `overlay` |
//! | know who is in the tables | `table`, `overlay::table`, `refresh` |
//! | see what nodes of other makers are answered | `kademlia`, `overlay::answering` |
//! | know whom we stay connected to | `anchors`, `stay` |

mod absent;
mod allowance;
mod anchors;
mod behaviour;
mod causes;
mod check;
mod codec;
mod config;
mod disk;
mod event;
mod handing;
mod kademlia;
mod lookup;
mod neighbours;
mod on_heap;
mod overlay;
mod pace;
mod position;
mod provide;
mod record_store;
mod refresh;
mod scope;
mod search;
#[cfg(test)]
mod simulation;
mod size;
mod stats;
mod stay;
mod table;
mod tally;
mod under_way;
mod walk;
mod wire;

pub use behaviour::{Behaviour, MdnsError};
pub use causes::causes;
pub use codec::is_unsupported;
pub use config::{Config, Defence, Defences, Limits};
pub use disk::RecordChange;
pub use event::Event;
pub use lookup::{LookupId, Outcome};
pub use on_heap::OnHeap;
pub use provide::{AnnounceId, OwnKey, WithdrawalId};
pub use scope::{AddressClass, MAX_ADDRESS_LEN, MAX_ADDRESSES, Scope, Scopes};
pub use stats::{OverlayStats, Stats};
