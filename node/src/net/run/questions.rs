//! Questions of peers, and answers to ours.

use futures::FutureExt;
use libp2p::request_response::{self, OutboundFailure};
use shoal_transfer::have;

use super::{Driver, failure, waiting::Ask};

/// Questions of peers being answered. More are told to ask elsewhere, so that a flood of them costs no memory.
const ANSWERING: usize = 64;

impl Driver {
    /// Asks a peer, which is dialled first where needed.
    pub(super) fn ask(&mut self, ask: Ask) {
        let have = &mut self.swarm.behaviour_mut().have;
        let id = have.send_request_with_addresses(&ask.peer, ask.question.clone(), ask.addresses.clone());
        self.waiting.asks.insert(id, ask);
    }

    pub(super) fn on_have(&mut self, event: request_response::Event<have::Request, have::Response>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request, channel, .. } => {
                    // Over the limit the channel is dropped, and the asker hears at once that this node will not.
                    if self.answers.len() < ANSWERING {
                        let answer = (self.wiring.answer)(peer, request);
                        self.answers.push(answer.map(|answer| (channel, answer)).boxed());
                    }
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some(ask) = self.waiting.asks.remove(&request_id) {
                        drop(ask.reply.send(Ok(response)));
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                let Some(ask) = self.waiting.asks.remove(&request_id) else { return };
                if matches!(error, OutboundFailure::DialFailure) && ask.may_be_elsewhere() {
                    self.ask(ask.again());
                } else {
                    drop(ask.reply.send(Err(failure::of_question(&error))));
                }
            }
            _ => {}
        }
    }
}
