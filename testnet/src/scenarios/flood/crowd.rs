//! Many names from one address, and somebody from another one who wants in.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use libp2p::Multiaddr;

use super::{CONNECTING, Cost, Victim, runtime};
use crate::{
    intruder::{Intruder, is_spoken},
    wait::DEADLINE,
};

/// Names of a crowd that try to connect at one moment.
const CROWD_AT_ONCE: usize = 50;

/// How long somebody from another address may take to be let in.
const HONEST_WAITS: Duration = Duration::from_secs(5);

/// What a crowd from one address got.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crowd {
    /// How many of its connections the daemon held at the end.
    pub held: usize,
    /// How long somebody from elsewhere took to be connected and answered.
    pub honest: Duration,
}

impl Victim {
    /// Connects under so many names from one address, again and again, while somebody comes from another one.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`], or that somebody is not let in in time.
    pub fn identities(&mut self, names: usize) -> Result<(Cost, Crowd)> {
        let address = self.address()?;
        let mut crowd = Crowd::default();
        let cost = self.under(|| {
            crowd = runtime()?.block_on(crowd_in(&address, names))?;
            Ok(())
        })?;
        Ok((cost, crowd))
    }
}

/// Lets names connect from one address until each has been tried; then somebody comes from another address.
async fn crowd_in(address: &Multiaddr, names: usize) -> Result<Crowd> {
    let [crowd, honest] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let tries = stream::iter(0..names).map(|_| async move {
        tokio::time::timeout(DEADLINE, Intruder::connect_from(crowd, address)).await.ok()?.ok()
    });
    let let_in: Vec<_> = tries.buffer_unordered(CROWD_AT_ONCE).filter_map(std::future::ready).collect().await;
    let came = Instant::now();
    let somebody = tokio::time::timeout(HONEST_WAITS, async {
        let somebody = Intruder::connect_from(honest, address).await?;
        let stream = somebody.open().await.context("it was let in and may not say a word")?;
        anyhow::Ok(is_spoken(stream, "/ipfs/id/1.0.0").await)
    });
    let is_answered = somebody.await.context("nobody from another address gets in")??;
    if !is_answered {
        bail!("nobody from another address is answered");
    }
    let honest = came.elapsed();
    // Who was let in and put out again cannot open a stream.
    let held = let_in.iter().map(async |one| {
        let opened = tokio::time::timeout(CONNECTING, one.open()).await;
        opened.is_ok_and(|opened| opened.is_some())
    });
    let held = futures::future::join_all(held).await.into_iter().filter(|held| *held).count();
    Ok(Crowd { held, honest })
}
