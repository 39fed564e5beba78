//! Whole nodes in one process, over memory transport.

#![cfg(test)]

mod damage;
mod publish_and_get;
mod stopping;
mod together;
mod world;
