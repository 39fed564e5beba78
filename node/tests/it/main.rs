//! Whole nodes in one process, over memory transport.

#![cfg(test)]

mod damage;
mod publish_and_get;
mod remembering;
mod stopping;
mod together;
mod world;
