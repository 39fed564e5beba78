//! Questions of peers, and answers to ours.

use futures::FutureExt;
use libp2p::request_response;
use shoal_transfer::have;

use super::{Driver, failure};

/// Questions of peers being answered. More are told to ask elsewhere, so that a flood of them costs no memory.
const ANSWERING: usize = 64;

impl Driver {
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
                    if let Some(reply) = self.waiting.asks.remove(&request_id) {
                        drop(reply.send(Ok(response)));
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                if let Some(reply) = self.waiting.asks.remove(&request_id) {
                    drop(reply.send(Err(failure::of_question(&error))));
                }
            }
            _ => {}
        }
    }
}
