//! The control API of a node: HTTP and JSON over any byte stream.
//!
//! Owns: the routes, the JSON schema, the Unix socket. Hears: requests of the user's own programs.
//! Tells: the node what to do, and the caller, line by line, what became of it. Ends: with the connections.
//!
//! Nothing is spawned here. [`serve_connection`] and [`unix::serve`] are futures: whoever polls them runs the API, and
//! dropping one of them cancels the work that its connections had asked for.

mod answer;
mod connection;
pub mod json;
mod routes;
pub mod unix;

pub use connection::{Authority, serve_connection};
