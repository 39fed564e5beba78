//! Whole networks on one machine: nodes that share, peers that lie, processes that die.

#![cfg(test)]

// What processes use is read from /proc.
#[cfg(target_os = "linux")]
mod bench;
mod fellows;
mod flood;
mod lifecycle;
mod lying;
mod processes;
mod resuming;
mod sharing;
mod sim;
mod sources;
mod speed;
mod stage;
