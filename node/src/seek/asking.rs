//! Dials and asks one peer.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_transfer::have::{Answer, Have, Request, Response};

use super::{Seek, Via};
use crate::{hint::Hint, net::NetError};

/// Somebody to be asked.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) via: Via,
}

/// What became of one question.
pub(super) enum Asked {
    /// It was dialled first, and is connected now.
    Met {
        peer: PeerId,
        who: Met,
        start: Instant,
    },
    Candidate {
        candidate: Candidate,
        answer: Result<Answer, NetError>,
        round_trip: Duration,
    },
    NoUse {
        hint: Hint,
        error: NetError,
    },
}

/// Who was dialled before being asked.
pub(super) enum Met {
    Hint(Hint),
    Candidate(Candidate),
}

impl Seek {
    /// The members of the network that are connected.
    pub(super) async fn connected(&self) -> Vec<Candidate> {
        let connected = self.net.peers().await.into_iter().filter(|info| info.member);
        connected.map(|info| Candidate::neighbour(info.peer, info.addresses)).collect()
    }

    /// Peers whose place in the overlay is near.
    pub(super) async fn near(&self) -> Vec<Candidate> {
        let near = self.net.overlay().await.neighbours;
        near.into_iter().map(|(peer, addresses)| Candidate::neighbour(peer, addresses)).collect()
    }

    /// Connects to a peer, to ask it when that is done.
    pub(super) async fn meet(&self, candidate: Candidate) -> Asked {
        let start = Instant::now();
        let peer = candidate.peer;
        match self.net.meet(peer, candidate.addresses.clone()).await {
            Ok(()) => Asked::Met { peer, who: Met::Candidate(candidate), start },
            Err(error) => Asked::Candidate { candidate, answer: Err(error), round_trip: start.elapsed() },
        }
    }

    /// Asks a peer. What it takes is counted from `start`.
    pub(super) async fn ask(&self, candidate: Candidate, start: Instant) -> Asked {
        let question = Request::Have(Have { key: self.key });
        let answer = self.net.ask(candidate.peer, candidate.addresses.clone(), question).await;
        let answer = answer.and_then(|response| match response {
            Response::Answer(answer) => Ok(answer),
            Response::Ack => Err(NetError::NoAnswer),
        });
        Asked::Candidate { candidate, answer, round_trip: start.elapsed() }
    }

    /// Connects to a peer that was named by its addresses, to ask it when that is done.
    pub(super) async fn meet_hint(&self, hint: Hint) -> Asked {
        let start = Instant::now();
        match hint.meet(&self.net).await {
            Ok(peer) => Asked::Met { peer, who: Met::Hint(hint), start },
            Err(error) => Asked::NoUse { hint, error },
        }
    }

    /// Asks the peer that lives where somebody said.
    pub(super) async fn ask_hint(&self, hint: Hint, peer: PeerId, start: Instant) -> Asked {
        let candidate = Candidate { peer, addresses: hint.addresses.clone(), via: Via::Hint };
        match self.ask(candidate, start).await {
            Asked::Candidate { answer: Err(error), .. } => Asked::NoUse { hint, error },
            asked => asked,
        }
    }
}

impl Candidate {
    pub(super) fn neighbour(peer: PeerId, addresses: Vec<Multiaddr>) -> Self {
        Self { peer, addresses, via: Via::Neighbour }
    }
}

impl Met {
    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        match self {
            Self::Hint(hint) => hint.addresses.clone(),
            Self::Candidate(candidate) => candidate.addresses.clone(),
        }
    }
}
