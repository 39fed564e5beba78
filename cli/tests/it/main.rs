//! Runs the real program: what it prints, how it exits, and how several of it get along.

#![cfg(test)]

mod exit_codes;
mod guests;
mod help;
mod limit;
mod missing;
mod named_peers;
mod output;
mod same_target;
mod sandbox;
mod slips;
