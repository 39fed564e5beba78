//! Verified ranges of files on the wire: messages, the substream behaviour, serving and fetching.

mod limits;

pub mod wire;

pub mod have;

mod behaviour;

mod pool;

pub use behaviour::{Behaviour, Inbound, Incoming, OpenError, Opener, RangeStream};
pub use limits::Limits;
pub use pool::{Pool, PoolClosed};
