//! Verified ranges of files on the wire: messages, the substream behaviour, serving and fetching.
//!
//! There are two protocols. [`have`] is a small question over libp2p's request-response: which groups of a content
//! do you hold, and who else does? The range protocol is requests and *streamed* responses, one after the other on a
//! substream: [`wire`] describes its messages, [`Behaviour`] opens and accepts the substreams, [`serve()`] answers
//! what arrives on one of them, and [`fetch()`] fetches one content from any number of peers, asking the pure
//! [`scheduler`] what to request from whom. [`fetch_bundles()`] does the same for many small files at once.
//!
//! Nothing here spawns a task: the caller polls the futures and lends a blocking [`Pool`].
//!
//! ```
//! use libp2p::PeerId;
//! use shoal_content::NetworkName;
//! use shoal_transfer::{Behaviour, Limits};
//!
//! // The behaviour goes into the Swarm, the opener to whoever fetches, and each inbound stream to `serve`.
//! let me = PeerId::random();
//! let (behaviour, opener, incoming) = Behaviour::new(me, &NetworkName::default(), Limits::default());
//! # drop((behaviour, opener, incoming));
//! ```

mod limits;

mod rate;

mod pace;

pub mod wire;

pub mod have;

mod behaviour;

mod pool;

mod stall;

mod serve;

pub mod scheduler;

mod fetch;

mod bundle;

pub use behaviour::{Behaviour, Inbound, Incoming, OpenError, Opener, RangeStream};
pub use bundle::{BundleError, BundleEvent, BundleJob, Bundled, fetch_bundles, rank};
pub use fetch::{
    Dropped, FetchError, FetchEvent, FetchJob, FetchOptions, Fetched, Lines, Naming, Open, Source,
    SourceStream, fetch, salt,
};
pub use limits::Limits;
pub use pace::{Limiter, Meter, Pacer};
pub use pool::{Pool, PoolClosed};
pub use rate::Rate;
pub use scheduler::Failure;
#[doc(hidden)]
pub use serve::encode;
pub use serve::{Library, Outcome, ServeError, ServeEvent, Served, serve};
