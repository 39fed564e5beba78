//! Names of content, group ranges, manifests, safe relative paths and tickets.
//!
//! Everything here is pure: no files, no sockets, no clock, no async runtime. What a stranger sends is
//! parsed by this crate into types that cannot be wrong, and the rest of Shoal takes only those types.
//!
//! | to … | look at |
//! | --- | --- |
//! | name content | [`Digest`], [`Cid`], [`Link`], [`ProviderKey`], [`Pass`] |
//! | speak of parts of a blob | [`GroupRanges`], [`Tree`] |
//! | check bytes as they arrive | [`Decoder`], [`group_cv`], [`parent_cv`] |
//! | describe a directory | [`RelPath`], [`Entry`], [`Manifest`], [`Root`] |
//! | hand content to a friend | [`Ticket`], [`safe_file_name`] |
//!
//! ```
//! use shoal_content::{Cid, Digest};
//!
//! let cid = Cid::file(Digest::of(b"hello"));
//! let same: Cid = format!("ipfs://{cid}").parse()?;
//! assert_eq!(cid, same);
//! # Ok::<(), shoal_content::ParseCidError>(())
//! ```

mod digest;
mod id;
mod link;
mod manifest;
mod network;
mod pass;
mod portable;
mod range;
#[cfg(test)]
mod reference;
mod relpath;
mod sizes;
mod ticket;
mod tree;
mod verify;

pub use digest::{Digest, ParseDigestError};
pub use id::{Cid, Kind, ParseCidError};
pub use link::{Link, ParseLinkError};
pub use manifest::{
    Assembly, Encoded, Entry, MAX_ENTRIES, MAX_MANIFEST_LEN, MAX_PAGE_LEN, MAX_ROOT_LEN, Manifest,
    ManifestError, PageRef, Pages, Root,
};
pub use network::{NetworkName, ParseNetworkNameError, ProviderKey};
pub use pass::Pass;
pub use portable::{Problem, portability_problems, safe_file_name};
pub use range::{GroupRanges, MAX_RANGE_PAIRS, RangePairsError};
pub use relpath::{MAX_COMPONENT_LEN, MAX_PATH_DEPTH, MAX_PATH_LEN, ParsePathError, RelPath};
pub use sizes::SIZES;
pub use ticket::{MAX_TICKET_ADDRESSES, MAX_TICKET_LEN, Ticket, TicketError};
pub use tree::{GROUP_LEN, PARENT_LEN, Plan, Step, Tree, left_groups};
pub use verify::{BadBytes, Decoder, group_cv, parent_cv};
