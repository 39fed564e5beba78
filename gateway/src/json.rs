//! The JSON of the API and of `shoal --json`: one schema, one object per line.
//!
//! Every answer is a sequence of lines, each an [`Event`], and the last one is [`Event::Done`]. Fields are only ever added; a reader
//! ignores fields and events that it does not know. A request with a field that the node does not know is refused,
//! because ignoring it would do something other than what was asked.

mod convert;
mod event;
mod failure;
mod request;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::convert::of_node;
pub use self::{
    convert::{events_of_naming, lost},
    event::{
        AddressNamed, Announced, Bytes, CidNamed, Directory, Done, Dropped, Entry, Event, Fetched, Holder,
        Identity, Looked, Missed, Overlay, PathList, Peer, PeerBytes, PeerNamed, Progress, Published, Rates,
        Ready, Share, Skipped, Stage, StartedWith, Status, Unreached, Verified, Waiting, Warning,
    },
    failure::Failure,
    request::{
        Cat, Contents, Find, Follow, Get, PEERS, Publish, RATES, Replace, Request, SHARES, STATUS, SetRates,
        Stop, Unpublish, rate,
    },
};

/// The version that every line carries. A change that breaks readers of an older one increments it.
pub const VERSION: u8 = 1;

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    event: Event,
}

/// Writes `event` as one line, with its newline.
#[expect(
    clippy::expect_used,
    reason = "only a map whose keys are not text cannot be written, and there is none"
)]
pub fn encode(event: &Event) -> Vec<u8> {
    let mut text = serde_json::to_vec(&Written { v: VERSION, event }).expect("every event can be written");
    text.push(b'\n');
    text
}

/// Reads one line, with or without its newline.
///
/// # Errors
///
/// The text is no JSON, or a known event lacks a field.
pub fn decode(text: &[u8]) -> Result<Event, serde_json::Error> {
    serde_json::from_slice::<Read>(text).map(|line| line.event)
}
