//! How much of this node the range protocol may use.

use std::time::Duration;

/// Bounds of the range protocol: how many streams, how many waiting, how long each step may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Requests served to one peer at a time. Without it one peer could hold every slot of
    /// [`Limits::total_transfers`].
    pub per_peer_transfers: usize,
    /// Requests served at a time. Each holds read buffers, so this bounds memory whatever strangers ask.
    pub total_transfers: usize,
    /// Streams that one peer may have open to us, most of them between two requests. Without it one peer could hold
    /// every place of [`Limits::total_inbound`].
    pub per_peer_inbound: usize,
    /// Streams that peers may have open to us. Each is a task and a little of the muxer's memory.
    pub total_inbound: usize,
    /// Time a stream may be open without a request. Without it streams nobody uses keep their places, and their
    /// connections alive.
    pub idle: Duration,
    /// Streams we open on one connection. Those beyond are reset by who gets them, and the muxer has no more for both sides.
    pub streams_per_connection: usize,
    /// Opens waiting for a dial or a free stream of one peer. More callers than this are refused at once.
    pub waiting_per_peer: usize,
    /// Opens waiting in total. Bounds what a burst of local work can queue inside the behaviour.
    pub waiting_total: usize,
    /// Time from asking for a stream to having it, dialling included. Without it a caller waits for as long as the
    /// network likes.
    pub open: Duration,
    /// Time in which a request must arrive whole. Without it a peer that sends a byte a minute keeps a slot.
    pub request: Duration,
    /// Time that a served stream may wait for its peer to take another group. Without it a peer that never reads, or
    /// reads a byte now and then, keeps a slot. Time in which a limit of ours holds the stream back does not count; a
    /// peer that a limit of its own holds back asks for no more at once than fits on its way.
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            per_peer_transfers: 8,
            total_transfers: 64,
            per_peer_inbound: 32,
            total_inbound: 512,
            idle: Duration::from_secs(20),
            streams_per_connection: 64,
            waiting_per_peer: 512,
            waiting_total: 1024,
            open: Duration::from_secs(10),
            request: Duration::from_secs(10),
            write_stall: Duration::from_secs(20),
        }
    }
}
