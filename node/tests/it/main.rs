//! Whole nodes in one process, over memory transport.

#![cfg(test)]

mod publish_and_get;
mod stopping;
mod world;
