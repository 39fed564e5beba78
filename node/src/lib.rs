//! A Shoal node as a library: publish, get and find content in an overlay without tracker or server.
//!
//! ```no_run
//! # use futures::StreamExt;
//! # async fn run(dir: &std::path::Path, cid: shoal_node::Cid) -> Result<(), Box<dyn std::error::Error>> {
//! let node = shoal_node::Node::builder().home(dir).network("demo".parse()?).start().await?;
//! let shared = node.publish("photos/").await?; // durable; announcing goes on
//! println!("{}", shared.cid());
//! let mut get = node.get(cid).to("out/").start(); // a stream of progress, and a future of what was fetched
//! while let Some(progress) = get.next().await {
//!     println!("{} of {:?}", progress.verified, progress.total);
//! }
//! let fetched = get.await?;
//! println!("{}", fetched.path.display());
//! node.stop().await?;
//! # Ok(()) }
//! ```
//!
//! This is the only crate that runs a Swarm and owns tasks. It knows nothing of terminals, HTTP or environment
//! variables.

mod announce;
mod config;
mod error;
mod events;
mod find;
mod get;
mod hint;
mod home;
mod human;
mod inner;
mod job;
mod join;
mod library;
mod listen;
mod net;
mod node;
mod offline;
mod publish;
mod rates;
mod seek;
mod serve;
mod start;
mod status;
mod strangers;
mod tasks;
mod tickets;
mod trust;

pub use libp2p::{Multiaddr, PeerId};
pub use shoal_content::{
    Cid, Digest, Kind, Link, NetworkName, ParseCidError, ParseLinkError, Problem, RelPath, Ticket,
    TicketError, safe_file_name,
};
pub use shoal_dht::{OverlayStats, Scope, Scopes};
pub use shoal_store::{Published, Selector, Share, ShareState, SkipReason, Skipped};
pub use shoal_transfer::Rate;

pub use self::{
    announce::Announce,
    config::{Builder, DEFAULT_ANNOUNCED_FILES, DEFAULT_PORT, DEFAULT_TIMEOUT, Limits, Transport},
    error::{ErrorKind, StartError, StoreError},
    events::{Event, Events},
    find::{Find, FindSummary, Holder, NobodyError},
    get::{
        Awaited, Contents, ContentsEntry, Dropped, Fetched, Get, GetError, GetProgress, GetRequest, Replace,
        SourceStat, Stage,
    },
    hint::Unreached,
    home::{Home, HomeError, Paths, holder},
    human::human_size,
    job::Job,
    net::{Guard, PeerInfo, ruled},
    node::{Node, StopError},
    offline::{Naming, NamingError, VerifyError, name_of, verify_file},
    publish::{Announced, Publish, PublishAll, PublishError, PublishProgress, PublishRequest, Shared},
    rates::Rates,
    seek::Via,
    status::Status,
};
