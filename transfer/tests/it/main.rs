//! Substreams, serving and fetching between real swarms and real stores, and against peers that misbehave.

#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "contents of tests fit in memory")]

mod beside;
mod bundle;
mod content;
mod fake;
mod fetch;
mod guess;
mod have;
mod hostile;
mod net;
mod open;
mod serve;
