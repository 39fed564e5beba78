//! Streams whose windows are full and that nobody reads.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Result, bail};
use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::Multiaddr;

use super::{Cost, Victim, runtime};
use crate::intruder::{Intruder, Junk, feed, proposal};

/// Connections from one address that hold streams, streams of each, and how many of those have not said what they are for.
/// The others fill their windows: beyond those that are being negotiated, nobody reads them.
const HOLDERS: usize = 32;
const HELD: usize = 250;
const UNSAID: usize = 128;

/// What a stream carries in the window that it has at first, after the words that begin it.
const WINDOW: usize = 255 * 1024;

/// How long the holders hold on. What they sent is there long before.
const HOLD: Duration = Duration::from_secs(8);

impl Victim {
    /// Opens many streams on each of many connections from one address, says little on some of them, and on the others as
    /// much as there is room for: requests that lack their last bytes.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`].
    pub fn windows(&mut self) -> Result<Cost> {
        let address = self.address()?;
        let mut request = proposal(&format!("/shoal/{}/range/1", self.network));
        request.extend(u32::try_from(WINDOW)?.to_be_bytes());
        request.resize(WINDOW, 0);
        self.under(move || runtime()?.block_on(hold_windows(&address, &request)))
    }
}

/// Holds streams with full windows, each of which says `request`, until it has been seen what that costs.
async fn hold_windows(address: &Multiaddr, request: &[u8]) -> Result<()> {
    let holders = (0..HOLDERS).map(|_| async {
        let holder = Intruder::connect_from(Ipv4Addr::new(127, 0, 0, 2), address).await?;
        let fill = async {
            let kept = FuturesUnordered::new();
            for number in 0..HELD {
                let Some(stream) = holder.open().await else { break };
                // The length of a word that does not come.
                let says = if number < UNSAID { &[19] } else { request };
                kept.push(feed(stream, says, Junk::Then(Vec::new()), HOLD));
            }
            let filled = kept.len();
            kept.collect::<Vec<_>>().await;
            filled
        };
        let filled = tokio::time::timeout(HOLD, fill).await.unwrap_or(HELD);
        anyhow::Ok(filled)
    });
    let held = futures::future::try_join_all(holders).await?;
    if held.iter().sum::<usize>() < HOLDERS {
        bail!("no stream was opened, so that nothing was held");
    }
    Ok(())
}
