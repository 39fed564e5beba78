//! What can go wrong, sorted by what the caller can do about it.

use std::io;

use libp2p::Multiaddr;

use crate::home::HomeError;

/// The kind of a failure: one word for programs, and one exit code for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that makes no sense.
    Usage,
    /// Nobody offers the content.
    NotFound,
    /// Providers are known and none can be reached.
    Unreachable,
    /// Bytes do not have the hash that they should have.
    Mismatch,
    /// A peer or this node refused.
    Refused,
    /// The target exists and holds something else.
    Exists,
    /// The disk is full, or reading or writing it failed.
    Disk,
    /// A published file changed or is missing.
    Source,
    /// No daemon answers on this home.
    NoDaemon,
    /// Nothing moved for as long as the caller was ready to wait.
    TimedOut,
    /// The work was cut off on request.
    Interrupted,
    /// Another process holds this home.
    InUse,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Usage,
        Self::NotFound,
        Self::Unreachable,
        Self::Mismatch,
        Self::Refused,
        Self::Exists,
        Self::Disk,
        Self::Source,
        Self::NoDaemon,
        Self::TimedOut,
        Self::Interrupted,
        Self::InUse,
        Self::Other,
    ];

    /// The word that names this kind in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Unreachable => "unreachable",
            Self::Mismatch => "mismatch",
            Self::Refused => "refused",
            Self::Exists => "exists",
            Self::Disk => "disk",
            Self::Source => "source",
            Self::NoDaemon => "no-daemon",
            Self::TimedOut => "timed-out",
            Self::Interrupted => "interrupted",
            Self::InUse => "in-use",
            Self::Other => "other",
        }
    }

    /// The kind that `word` names, [`ErrorKind::Other`] for a word from a newer version.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Other)
    }

    /// The exit code of a command that ends with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InUse | Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Mismatch => 5,
            Self::Refused => 6,
            Self::Exists => 7,
            Self::Disk => 8,
            Self::Source => 9,
            Self::NoDaemon => 10,
            Self::TimedOut => 11,
            Self::Interrupted => 130,
        }
    }

    /// The kind of a failed system call on a file of the user.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Source,
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Disk,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The builder was given no home.
    #[error("a node needs a home: call `home` on its builder")]
    NoHome,
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store cannot be opened.
    #[error("could not open the store")]
    Store(#[from] shoal_store::OpenError),
    /// The transports cannot be set up.
    #[error("could not set up the network")]
    Transport {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another program listens on this port.
    #[error("could not listen on {address}: the port is taken")]
    PortTaken {
        /// The address.
        address: Multiaddr,
    },
    /// The node was told to stop while it started.
    #[error("the node stopped while it started")]
    Stopped,
}

impl StartError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHome => ErrorKind::Usage,
            Self::Home(error) => error.kind(),
            Self::Store(shoal_store::OpenError::InUse { .. }) => ErrorKind::InUse,
            Self::Store(_) => ErrorKind::Disk,
            Self::Transport { .. } | Self::Listen { .. } | Self::PortTaken { .. } => ErrorKind::Other,
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Home(error) => error.hint(),
            Self::PortTaken { .. } => Some("choose another port, or 0 for any free one".into()),
            Self::Listen { .. } => {
                Some("is it an address of this machine? /ip4/0.0.0.0/tcp/0 always works".into())
            }
            _ => None,
        }
    }
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] shoal_store::StoreError),
    /// The store cannot be opened.
    #[error("could not open the store")]
    Open(#[from] shoal_store::OpenError),
    /// The node stopped first.
    #[error("the node stopped first")]
    Stopped,
}

impl StoreError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(_) | Self::Open(_) => ErrorKind::Disk,
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// The kind of a failed publish.
pub(crate) fn of_publish(error: &shoal_store::PublishError) -> ErrorKind {
    use shoal_store::PublishError;
    match error {
        PublishError::Read { source, .. } => ErrorKind::of_io(source),
        PublishError::Refused { .. } | PublishError::Nothing { .. } | PublishError::Manifest { .. } => {
            ErrorKind::Other
        }
        PublishError::Cancelled => ErrorKind::Interrupted,
        // What is left is the store's own disk.
        _ => ErrorKind::Disk,
    }
}

/// What the user can do about a failed publish.
pub(crate) fn hint_of_publish(error: &shoal_store::PublishError) -> Option<String> {
    use shoal_store::PublishError;
    match error {
        PublishError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Some("check the path".into())
        }
        PublishError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("the user that runs the node must be allowed to read it".into())
        }
        PublishError::Nothing { skipped, .. } if !skipped.is_empty() => {
            Some(format!("{} entries were skipped; `shoal publish -v` lists them", skipped.len()))
        }
        _ => None,
    }
}
