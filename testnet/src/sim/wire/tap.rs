//! Counts what a host sends, by protocol, where it leaves.
//!
//! A request is what the opener of a stream says after the negotiation, or says again after it heard something. So one
//! stream with one question counts one, and one with many questions as many as were asked in turn.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::host::Host;

/// Bytes at the start of a stream within which its protocol is named. More than that is no negotiation.
const MAX_NAME: usize = 256;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Questions of walks: who is close to a key, and who provides it.
    Walk,
    /// Announcements.
    Announce,
    /// Everything else: identify, ping, what failed to be negotiated.
    Other,
}

/// What one host has sent.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    walk: AtomicU64,
    announce: AtomicU64,
    other: AtomicU64,
    bytes: AtomicU64,
    dials: AtomicU64,
    knocks: AtomicU64,
}

impl Counts {
    /// Requests of a kind.
    pub(crate) fn requests(&self, kind: Kind) -> u64 {
        self.of(kind).load(Ordering::Relaxed)
    }

    /// Requests of walks and announcements.
    pub(crate) fn overlay(&self) -> u64 {
        self.requests(Kind::Walk) + self.requests(Kind::Announce)
    }

    /// Bytes on streams, in requests and answers alike.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Attempts to connect.
    pub(crate) fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }

    /// Attempts of others to connect to it.
    pub(crate) fn knocks(&self) -> u64 {
        self.knocks.load(Ordering::Relaxed)
    }

    pub(super) fn knocked(&self) {
        self.knocks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dialled(&self) {
        self.dials.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Walk => &self.walk,
            Kind::Announce => &self.announce,
            Kind::Other => &self.other,
        }
    }
}

/// Listens to one end of a stream.
pub(super) struct Tap {
    host: Option<Arc<Host>>,
    phase: Phase,
}

enum Phase {
    /// What was said so far does not name the protocol yet.
    Naming(Vec<u8>),
    /// The protocol is known, and whether the next words begin a request.
    Known { kind: Kind, asks_next: bool },
}

impl Tap {
    /// Counts for `host`, who opened the stream.
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host: Some(host), phase: Phase::Naming(Vec::new()) }
    }

    /// Counts nothing: the end that answers.
    pub(super) fn deaf() -> Self {
        Self { host: None, phase: Phase::Known { kind: Kind::Other, asks_next: false } }
    }

    pub(super) fn said(&mut self, bytes: &[u8]) {
        let Some(host) = &self.host else { return };
        host.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match &mut self.phase {
            Phase::Naming(said) => {
                said.extend_from_slice(bytes);
                if let Some((kind, named)) = named(said) {
                    let asks_next = said.len() <= named;
                    if !asks_next {
                        host.counts.of(kind).fetch_add(1, Ordering::Relaxed);
                    }
                    self.phase = Phase::Known { kind, asks_next };
                }
            }
            Phase::Known { kind, asks_next } if *asks_next && !bytes.is_empty() => {
                *asks_next = false;
                host.counts.of(*kind).fetch_add(1, Ordering::Relaxed);
            }
            Phase::Known { .. } => {}
        }
    }

    pub(super) fn heard(&mut self) {
        if let Phase::Known { asks_next, .. } = &mut self.phase {
            *asks_next = true;
        }
    }
}

/// The kind of the protocol that the opener proposes first, and where its proposal ends.
fn named(said: &[u8]) -> Option<(Kind, usize)> {
    let mut lines = said.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let (first, second) = (lines.next(), lines.next());
    let (Some(first), Some(second)) = (first, second) else {
        return (said.len() > MAX_NAME).then_some((Kind::Other, 0));
    };
    // One byte of length stands before each name.
    let name = said.get(first + 2..second).unwrap_or_default();
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    let kind = if has(b"/announce/") {
        Kind::Announce
    } else if has(b"/kad/") || has(b"/find/") || has(b"/walk/") {
        Kind::Walk
    } else {
        Kind::Other
    };
    Some((kind, second + 1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use libp2p::PeerId;

    use super::*;
    use crate::sim::wire::{Internet, Way};

    const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

    fn host() -> Arc<Host> {
        let internet = Internet::new(Way { one_way: Duration::ZERO, handshake: 0 });
        internet.settle(PeerId::random(), "/ip4/1.2.3.4/tcp/1".parse().expect("an address"))
    }

    #[test]
    fn a_request_is_one_however_it_is_written_and_negotiated() {
        let proposal = b"\x14/shoal/main/wan/kad/1\n";
        for answered_first in [false, true] {
            let host = host();
            let mut tap = Tap::new(host.clone());
            tap.said(HEADER);
            tap.said(proposal);
            assert_eq!(host.counts.requests(Kind::Walk), 0, "a proposal is no request");
            if answered_first {
                tap.heard();
            }
            tap.said(b"\x05hel");
            tap.said(b"lo");
            assert_eq!(host.counts.requests(Kind::Walk), 1);
            tap.heard();
            tap.said(b"and another one");
            assert_eq!(host.counts.requests(Kind::Walk), 2);
        }
        let host = host();
        Tap::new(host.clone()).said(&[HEADER, proposal, b"\x05hello"].concat());
        assert_eq!(host.counts.requests(Kind::Walk), 1);
    }

    #[test]
    fn protocols_are_told_apart() {
        for (name, kind) in [
            ("/shoal/main/lan/announce/1\n", Kind::Announce),
            ("/ipfs/kad/1.0.0\n", Kind::Walk),
            ("/ipfs/id/1.0.0\n", Kind::Other),
        ] {
            let said = [HEADER, &[u8::try_from(name.len()).expect("short")], name.as_bytes()].concat();
            assert_eq!(named(&said), Some((kind, said.len())), "{name}");
        }
        assert_eq!(named(HEADER), None);
        assert_eq!(named(&[0; MAX_NAME + 1]), Some((Kind::Other, 0)));
    }
}
