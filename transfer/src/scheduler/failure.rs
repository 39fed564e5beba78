//! What goes wrong with sources, and what comes of it.

use std::time::Instant;

use super::{Action, RequestId, STALL, Scheduler, SourceId};

/// Why a request failed, and why a source was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It sent bytes that do not match the digest.
    #[error("sent bytes that do not match")]
    BadBytes {
        /// In which group, if it was not among the hashes above the groups.
        group: Option<u64>,
    },
    /// It says the content is another size than it is.
    #[error("claims a size of {claimed} bytes")]
    WrongSize {
        /// What it says.
        claimed: u64,
    },
    /// It sent what the protocol does not allow.
    #[error("broke the protocol: {0}")]
    Misbehaved(String),
    /// It does not have the content.
    #[error("does not have it")]
    NotFound,
    /// Its file changed.
    #[error("its file changed")]
    Changed,
    /// It could not read its file.
    #[error("could not read its file")]
    Unreadable,
    /// It serves too many others.
    #[error("is busy")]
    Busy,
    /// It sent nothing that verifies for [`STALL`].
    #[error("stopped sending")]
    Stalled,
    /// The connection was lost.
    #[error("connection lost")]
    Lost,
    /// No connection could be made.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// It sent what the protocol does not allow.
    pub(crate) fn misbehaved(how: &str) -> Self {
        Failure::Misbehaved(how.to_owned())
    }

    /// Whether it proves the source unfit, so that it is not worth another try when it is found again.
    pub fn is_proof(&self) -> bool {
        match self {
            Failure::BadBytes { .. } | Failure::WrongSize { .. } | Failure::Misbehaved(_) => true,
            Failure::NotFound
            | Failure::Changed
            | Failure::Unreadable
            | Failure::Busy
            | Failure::Stalled
            | Failure::Lost
            | Failure::Unreachable(_) => false,
        }
    }
}

impl Scheduler {
    /// Cancels requests that are silent for too long.
    pub(super) fn give_up_stalled(&mut self, now: Instant) {
        let stalled: Vec<(RequestId, SourceId)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.quiet(now) >= STALL)
            .map(|(id, request)| (*id, request.source))
            .collect();
        for (id, source) in stalled {
            self.cancel(id);
            self.blame(source, Failure::Stalled, now);
        }
    }

    /// Asks a source later, or drops it.
    pub(super) fn blame(&mut self, id: SourceId, failure: Failure, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let is_guess = source.is_guess;
        if source.failed(&failure, now) && !is_guess {
            return;
        }
        self.remove_source(id);
        self.actions.push(if is_guess && !failure.is_proof() {
            Action::Forget { source: id }
        } else {
            Action::Drop { source: id, reason: failure }
        });
    }

    /// Removes a source with its requests.
    pub(super) fn remove_source(&mut self, id: SourceId) {
        let requests: Vec<RequestId> =
            self.requests.iter().filter(|(_, request)| request.source == id).map(|(id, _)| *id).collect();
        for request in requests {
            self.cancel(request);
        }
        self.sources.remove(&id);
    }
}
