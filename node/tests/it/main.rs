//! Whole nodes in one process, over memory transport.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod publish_and_get;
mod stopping;
mod world;
