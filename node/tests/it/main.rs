//! Whole nodes in one process, over memory transport.

mod publish_and_get;
mod world;
