//! Real swarms over the in-process transport: whole networks in one test.

#![cfg(test)]

mod abroad;
mod announcing;
mod finding;
mod hostile;
mod kademlia;
mod net;
