//! Many Shoal nodes on one machine: clusters in one process, faulty peers, and scenarios with real processes.
//!
//! | to … | look at |
//! | --- | --- |
//! | connect nodes in one process | [`Cluster`] |
//! | put a peer among them that lies | [`Liar`] |
//! | run real `shoal` processes | [`Shoal`](shoal::Shoal), [`Daemon`](shoal::Daemon) |
//! | see what they must manage | [`scenarios`] |
//! | measure what they cost | `shoal-testnet bench` |
//! | simulate thousands of nodes far apart | [`sim`] |
//! | make files and compare them | [`sample`], [`Snapshot`], [`SIZES`] |

mod bench;
mod cluster;
mod faults;
mod intruder;
mod netns;
mod outcome;
mod program;
mod snapshot;

pub mod process;
pub mod sample;
pub mod scenarios;
pub mod shoal;
pub mod sim;
mod stats;
pub mod table;
pub mod vitals;
pub mod wait;

pub use shoal_content::SIZES;

pub use self::{
    cluster::{Cluster, Shape},
    faults::{Claim, Liar, Lie},
    program::main,
    snapshot::Snapshot,
};
