//! Newcomers, and the records of strangers that are handed on to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use shoal_content::ProviderKey;

use super::Overlay;
use crate::handing::Neighbourhood;
use crate::position::{Node, Position};
use crate::record_store::Offer;
use crate::wire::{Receipt, Sealed};

impl Overlay {
    /// Notes that a peer was offered to the table, on the proof that it is where it says.
    pub(super) fn joined(&mut self, peer: PeerId, is_new: bool) {
        let addresses = self.table.addresses(&peer).to_vec();
        if is_new && !addresses.is_empty() {
            self.handing.joined(Node { peer, addresses }, Instant::now());
        }
    }

    /// Looks through the records for the next newcomer.
    pub(super) fn look_through(&mut self, now: Instant) {
        let Some(newcomer) = self.handing.next_newcomer(now) else { return };
        let peer = newcomer.node.peer;
        let neighbourhood = self.neighbourhood(Some(&peer), now);
        let place = Position::of_peer(&peer).place();
        let wants = |key| neighbourhood.hands(key, place);
        let found = self.records.handable(wants, |came| newcomer.lacks(came), now);
        self.handing.hand(newcomer.node, found, now);
    }

    /// Takes a withdrawal, and lets those know whom we handed on what it takes back.
    pub(super) fn take_back(&mut self, offer: Offer, sealed: &Sealed) -> Receipt {
        let (signed, keys) = (sealed.as_bytes(), &sealed.announcement().keys);
        let names = self.records.withdrawn_by(&offer, keys);
        let provider = offer.provider;
        let receipt = self.records.apply_signed(offer, keys, (signed, keys.len()));
        let withdrawal = Arc::from(signed);
        for peer in self.handing.handed_to(&names) {
            let addresses = self.table.addresses(&peer).to_vec();
            if peer != provider && !addresses.is_empty() {
                self.handing.take_back(Node { peer, addresses }, &withdrawal);
            }
        }
        receipt
    }

    /// Sends what may be sent now. True when something was sent.
    pub(super) fn send_handed(&mut self, now: Instant) -> bool {
        let mut began = false;
        while let Some((node, bytes)) = self.handing.next_message(now) {
            match Sealed::open(bytes.to_vec(), &self.network, self.scope) {
                Ok(sealed) => {
                    let announce = &mut self.protocols.announce;
                    if !announce.is_connected(&node.peer) {
                        self.outside.wait_for(node.peer, &node.addresses);
                    }
                    let sealed = Arc::new(sealed);
                    let request = announce.send_request_with_addresses(&node.peer, sealed, node.addresses);
                    self.handed.insert(request);
                    began = true;
                }
                // It was checked when it came, and cannot fail now.
                Err(error) => {
                    tracing::error!(%error, "an announcement that was believed is not");
                    self.handing.answered(&node.peer, false);
                }
            }
        }
        began
    }

    /// Those of the keys whose records we should hold, as far as we know our neighbours.
    pub(super) fn near<'a>(&self, keys: &'a BTreeSet<ProviderKey>, now: Instant) -> Vec<&'a ProviderKey> {
        let neighbourhood = self.neighbourhood(None, now);
        keys.iter().filter(|key| neighbourhood.is_ours(Position::of_key(key).place())).collect()
    }

    fn neighbourhood(&self, without: Option<&PeerId>, now: Instant) -> Neighbourhood {
        let all = self.table.distances(self.position).into_iter();
        let others = all.filter(|(_, peer)| Some(peer) != without && !self.absent.contains(peer, now));
        let others = others.map(|(_, peer)| Position::of_peer(&peer).place()).collect();
        Neighbourhood::new(self.position.place(), others)
    }
}
