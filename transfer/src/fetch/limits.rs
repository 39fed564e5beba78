//! What a limit on the speed of what is received means for requests: fewer and smaller ones.

use crate::Rate;
use crate::scheduler::MAX_REQUESTS;

/// What a request should get of a limit on what is received, in bytes per second. A stream that is read more slowly
/// looks abandoned to its sender.
const REQUEST_RATE: u64 = 16 * 1024;

/// A limit on what is received below which a request is for [`SLOW_GROUPS`] at most: the least that the requests to one
/// peer can share without one of them looking abandoned.
const SLOW: u64 = 8 * REQUEST_RATE;

/// What fits into half the window of a stream, together with its hashes, and so into what is left of it at any time: the
/// sender is done with it at once, however slowly it is read. A larger piece would be taken back and asked for again, and
/// again, before the limit has let it through.
const SLOW_GROUPS: u64 = 7;

/// What limits on what is received mean for requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// How many there may be at a time. With more of them, each would wait longer for its turn than its source waits for
    /// a reader.
    pub(crate) requests: usize,
    /// How many groups each may be for, if that is limited.
    pub(crate) groups: Option<u64>,
}

/// What these limits mean: on what is received from all, and from each peer.
pub(crate) fn limits_at((all, each): (Option<Rate>, Option<Rate>)) -> RequestLimits {
    let requests = all.map(|rate| rate.bytes() / REQUEST_RATE);
    let requests =
        requests.map_or(MAX_REQUESTS, |requests| usize::try_from(requests).unwrap_or(MAX_REQUESTS));
    let is_slow = all.into_iter().chain(each).any(|rate| rate.bytes() < SLOW);
    RequestLimits { requests, groups: is_slow.then_some(SLOW_GROUPS) }
}
