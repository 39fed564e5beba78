//! Substreams, serving and fetching between real swarms and real stores, and against peers that misbehave.

mod content;
mod fake;
mod fetch;
mod hostile;
mod net;
mod open;
mod serve;
