//! What the announcer is asked to do, and what it tells of it.

use libp2p::PeerId;
use shoal_content::ProviderKey;

/// Names one announcement; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnounceId(pub u64);

/// Names one withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WithdrawalId(pub(crate) u64);

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    Announce(AnnounceId),
    Withdraw(WithdrawalId),
}

/// A key of ours, and since which second of the Unix epoch it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// The key.
    pub key: ProviderKey,
    /// Since when.
    pub since: u64,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    Started,
    Asked(PeerId),
    Acknowledged(PeerId),
    Failed(PeerId),
    /// Nobody else will be asked.
    Chosen,
    Done,
}

/// What a peer did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It keeps all of it.
    Stored,
    /// It keeps none or only a part.
    Refused,
    /// Nobody knows whether it arrived.
    Lost,
    /// It cannot have arrived.
    Unreachable,
    /// It was not sent, because this node dials too many others already.
    Postponed,
    /// It was not sent: its keys were withdrawn meanwhile.
    Withdrawn,
}
