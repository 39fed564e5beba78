//! Connections that never say a word.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use libp2p::{Multiaddr, multiaddr::Protocol};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{CONNECTING, Cost, Victim};

/// Files that this process may have open at a time, if the system lets it.
const OPEN_FILES: u64 = 4096;

/// Files that are left for everything else than silent connections.
const SPARE_FILES: u64 = 256;

impl Victim {
    /// Opens so many connections that never say a word, as many of them at a time as this process may have.
    ///
    /// # Errors
    ///
    /// An honest peer was not served, or something was left behind.
    pub fn silence(&mut self, connections: usize) -> Result<Cost> {
        let address = socket(&self.address()?).context("no socket address")?;
        let at_once = usize::try_from(allow_files()?.saturating_sub(SPARE_FILES))?.max(16);
        self.under(move || {
            let mut open = Vec::new();
            for _ in 0..connections {
                if open.len() >= at_once {
                    open.clear();
                }
                // One that the kernel has no room for counts too: it was tried.
                open.extend(TcpStream::connect_timeout(&address, CONNECTING).ok());
            }
            Ok(())
        })
    }
}

fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        (Protocol::Ip6(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        _ => None,
    }
}

/// Lets this process open as many files as a flood needs, or as many as the system allows.
fn allow_files() -> Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
        return Ok(wanted);
    }
    Ok(current.unwrap_or(wanted).min(wanted))
}
