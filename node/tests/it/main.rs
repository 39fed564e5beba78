//! Whole nodes in one process, most of them over memory transport.

#![cfg(test)]

mod announcing_again;
mod damage;
mod publish_and_get;
mod remembering;
mod stopping;
mod together;
mod world;
