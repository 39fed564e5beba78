//! Dials and asks one peer, and what is believed of its answer.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_dht::AddressClass;
use shoal_transfer::have::{self, Answer, Have, Request, Response};

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

    /// Whom a peer that lives at `from` introduces, and where they may be dialled.
    pub(super) fn introduced(
        &self,
        others: Vec<have::Holder>,
        from: &[Multiaddr],
    ) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> {
        let others = others.into_iter().filter(|other| other.peer != self.me);
        others.map(|other| (other.peer, believable(other.addresses, from)))
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

/// What may be dialled of the addresses that somebody told who lives at `from`: whoever is far away knows nothing of
/// the networks here, and must not make this node knock at the doors in them.
fn believable(mut told: Vec<Multiaddr>, from: &[Multiaddr]) -> Vec<Multiaddr> {
    let lives = |class| from.iter().any(|address| AddressClass::of(address) == class);
    told.retain(|address| match AddressClass::of(address) {
        AddressClass::Global => true,
        AddressClass::Private => lives(AddressClass::Private) || lives(AddressClass::Loopback),
        AddressClass::Loopback => lives(AddressClass::Loopback),
        _ => false,
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_neighbours_introduce_neighbours() {
        let told =
            ["/ip4/8.8.8.8/tcp/1", "/ip4/192.168.0.9/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/0"];
        let believed = |from: &str| believable(addresses(&told), &addresses(&[from]));
        assert_eq!(believed("/ip4/9.9.9.9/tcp/1"), addresses(&told[..1]));
        assert_eq!(believed("/ip4/192.168.0.2/tcp/1"), addresses(&told[..2]));
        assert_eq!(believed("/ip4/127.0.0.1/tcp/2"), addresses(&told[..3]));
        assert_eq!(believable(addresses(&told), &[]), addresses(&told[..1]), "from nobody knows where");
    }
}
