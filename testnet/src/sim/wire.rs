//! The simulated internet: addresses, connections and streams of bytes that take their time.
//!
//! A [`Transport`] here takes the place of TCP, TLS and yamux. It knows who lives where, so a handshake costs its
//! round trips and no work, and addresses are what the scenario says: global ones, private ones, all of one network.
//! What travels on a stream is what the behaviours wrote, negotiation of the protocol included.

mod clock;
mod host;
mod link;
mod pipe;
mod tap;
mod transport;

pub(crate) use self::{
    clock::{Lag, run_clock},
    host::{Death, Host, Internet, Way},
    tap::{Counts, Kind},
    transport::Transport,
};
