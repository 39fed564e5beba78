//! What can be asked of the API: one type per route that takes a body.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shoal_node::{ErrorKind, Rate, Rates, Selector};

use super::Failure;

/// The route of the node's state, for `GET`.
pub const STATUS: &str = "/v1/status";
/// The route of the connected peers, for `GET`.
pub const PEERS: &str = "/v1/peers";
/// The route of how fast content may move, for `GET`.
pub const RATES: &str = "/v1/rates";
/// The route of what is shared, for `GET`.
pub const SHARES: &str = "/v1/shares";

/// The body of a `POST`, and where it goes.
pub trait Request: Serialize + DeserializeOwned + Send + 'static {
    /// The route.
    const PATH: &'static str;
}

/// Publishes files and directories where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Absolute paths, published in this order; the first that fails ends the work.
    pub paths: Vec<String>,
    /// The name to offer instead of the last part of the path; only with one path.
    #[serde(default)]
    pub name: Option<String>,
    /// Put private addresses into the tickets.
    #[serde(default)]
    pub lan: bool,
    /// How long to wait for the network to be told before `done`; null waits as long as it takes.
    #[serde(default)]
    pub wait_ms: Option<u64>,
}

/// Fetches content to a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// A CID or a ticket, in any form that the command line takes.
    pub link: String,
    /// The absolute path of the target, or of the existing directory to save inside.
    pub to: String,
    /// Fetch only the files of a directory that match one of these patterns.
    #[serde(default)]
    pub include: Vec<String>,
    /// What to do about an existing target with other bytes.
    #[serde(default)]
    pub replace: Replace,
    /// Share it afterwards.
    #[serde(default = "yes")]
    pub seed: bool,
    /// Give up after so long without verified progress.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Addresses of peers to ask first.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Bytes per second that this get receives at most; 0 is no limit but the node's.
    #[serde(default)]
    pub down: u64,
}

/// What to do about an existing target with other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replace {
    /// Fail.
    #[default]
    Never,
    /// Replace it.
    Overwrite,
    /// Save beside it under a free name.
    Rename,
}

/// Fetches a file and sends its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cat {
    /// As in [`Get`].
    pub link: String,
    /// As in [`Get`].
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// As in [`Get`].
    #[serde(default)]
    pub peers: Vec<String>,
    /// As in [`Get`].
    #[serde(default)]
    pub down: u64,
}

/// Lists the files of a directory without fetching them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// As in [`Get`].
    pub link: String,
    /// As in [`Get`].
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// As in [`Get`].
    #[serde(default)]
    pub peers: Vec<String>,
}

/// Asks who has content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// As in [`Get`].
    pub link: String,
    /// As in [`Get`].
    #[serde(default)]
    pub peers: Vec<String>,
}

/// Stops publishing a path, or every path with some content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Unpublish {
    /// All paths with this content.
    Cid(String),
    /// This absolute path.
    Path(String),
}

/// Follows what the node does until the caller leaves or the node stops.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {}

/// Changes how fast content may move, in bytes per second. What is not given stays as it is; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRates {
    /// Sent, to all peers together.
    #[serde(default)]
    pub up: Option<u64>,
    /// Received, from all peers together.
    #[serde(default)]
    pub down: Option<u64>,
    /// Sent to each peer.
    #[serde(default)]
    pub up_per_peer: Option<u64>,
    /// Received from each peer.
    #[serde(default)]
    pub down_per_peer: Option<u64>,
}

/// Stops the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {}

impl Request for Publish {
    const PATH: &'static str = "/v1/publish";
}

impl Request for Get {
    const PATH: &'static str = "/v1/get";
}

impl Request for Cat {
    const PATH: &'static str = "/v1/cat";
}

impl Request for Contents {
    const PATH: &'static str = "/v1/contents";
}

impl Request for Find {
    const PATH: &'static str = "/v1/find";
}

impl Request for Unpublish {
    const PATH: &'static str = "/v1/unpublish";
}

impl Request for Follow {
    const PATH: &'static str = "/v1/events";
}

impl Request for SetRates {
    const PATH: &'static str = RATES;
}

impl Request for Stop {
    const PATH: &'static str = "/v1/stop";
}

/// Bytes per second as a limit, 0 as none.
///
/// # Errors
///
/// It is less than anything could be fetched at.
pub fn rate(bytes: u64) -> Result<Option<Rate>, Failure> {
    if bytes == 0 {
        return Ok(None);
    }
    let too_low =
        || Failure::new(ErrorKind::Usage, format!("{bytes} bytes per second are too few to get anywhere"));
    Rate::per_second(bytes)
        .map(Some)
        .ok_or_else(too_low)
        .map_err(|failure| failure.hint(format!("at least {}, or 0 for no limit", Rate::MIN)))
}

impl SetRates {
    /// The new limits where these are the old ones.
    ///
    /// # Errors
    ///
    /// One of them is too low.
    pub fn over(&self, old: Rates) -> Result<Rates, Failure> {
        let new = |wanted: Option<u64>, old| wanted.map_or(Ok(old), rate);
        Ok(Rates {
            up: new(self.up, old.up)?,
            down: new(self.down, old.down)?,
            up_per_peer: new(self.up_per_peer, old.up_per_peer)?,
            down_per_peer: new(self.down_per_peer, old.down_per_peer)?,
        })
    }
}

impl Unpublish {
    /// Which shares are meant: those of the first of these that selects any. A path is taken as it is, then with the
    /// symlinks and the `..` in what there is of it resolved, as it was when it was published.
    ///
    /// # Errors
    ///
    /// The CID is none, or the path is not absolute.
    pub fn selectors(&self) -> Result<Vec<Selector>, Failure> {
        match self {
            Self::Cid(cid) => cid
                .parse()
                .map(|cid| vec![Selector::Cid(cid)])
                .map_err(|error| Failure::of(ErrorKind::Usage, &error)),
            Self::Path(path) if Path::new(path).is_absolute() => {
                let path = PathBuf::from(path);
                let resolved = resolved(&path).filter(|resolved| *resolved != path);
                Ok([Some(path), resolved].into_iter().flatten().map(Selector::Path).collect())
            }
            Self::Path(path) => {
                Err(Failure::new(ErrorKind::Usage, format!("{path:?} is not an absolute path")))
            }
        }
    }

    /// What to answer when none is meant.
    pub fn not_shared(&self) -> Failure {
        let (Self::Cid(what) | Self::Path(what)) = self;
        Failure::new(ErrorKind::NotFound, format!("{what} is not shared")).hint("`shoal ls` lists what is")
    }
}

impl From<Replace> for shoal_node::Replace {
    fn from(replace: Replace) -> Self {
        match replace {
            Replace::Never => Self::Never,
            Replace::Overwrite => Self::Overwrite,
            Replace::Rename => Self::Rename,
        }
    }
}

/// A path of which the end may be gone, with all symlinks resolved in the rest.
fn resolved(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|there| {
        let real = there.canonicalize().ok()?;
        let gone = path.strip_prefix(there).ok()?;
        Some(if gone.as_os_str().is_empty() { real } else { real.join(gone) })
    })
}

fn yes() -> bool {
    true
}
