//! Streams that carry nothing, junk, or a byte a second.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::Multiaddr;

use super::{CONNECTING, Cost, Victim, runtime};
use crate::{
    intruder::{Intruder, Junk, feed, is_spoken, proposal},
    wait::DEADLINE,
};

/// How long a stream with junk on it may live: twice what a request may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// Strangers, and streams of each, in the floods of streams.
const STRANGERS: usize = 8;

impl Victim {
    /// Opens so many streams on one connection, and on a new one whenever the daemon ends it.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`].
    pub fn streams(&mut self, streams: usize) -> Result<Cost> {
        let address = self.address()?;
        let begin = proposal(&format!("/shoal/{}/range/1", self.network));
        self.under(move || {
            runtime()?.block_on(async {
                let mut opened = 0;
                while opened < streams {
                    let intruder = Intruder::connect(&address).await?;
                    let mut kept = FuturesUnordered::new();
                    // A stream that cannot be opened means that the daemon has had enough of this connection.
                    while opened < streams
                        && let Ok(Some(stream)) = tokio::time::timeout(CONNECTING, intruder.open()).await
                    {
                        opened += 1;
                        kept.push(feed(stream, begin.clone(), Junk::Then(Vec::new()), PATIENCE));
                        // Lets the streams speak.
                        tokio::select! {
                            biased;
                            _ = kept.next() => {}
                            () = tokio::task::yield_now() => {}
                        }
                    }
                }
                Ok(())
            })
        })
    }

    /// Sends messages with wrong lengths on every protocol of ours; each stream must end.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`], or a stream lives on.
    pub fn bombs(&mut self, rounds: usize) -> Result<Cost> {
        let junk = [
            Junk::End(Vec::new()),
            Junk::End(vec![0; 4]),
            Junk::Endless(vec![0; 4]),
            Junk::Endless(vec![0xff; 4]),
            Junk::Endless(vec![0xff; 10]),
            Junk::Then(vec![0xff; 4]),
            Junk::End(vec![0, 0, 1, 0, 0x83]),
            Junk::Then(vec![0, 0, 1, 0, 0x83]),
        ];
        let streams = self.protocols().flat_map(|protocol| {
            std::iter::repeat_n(junk.clone(), rounds).flatten().map(move |junk| (protocol.clone(), junk))
        });
        let streams: Vec<_> = streams.collect();
        let address = self.address()?;
        self.under(move || all_end(&address, &streams))
    }

    /// Sends requests a byte a second, on every protocol of ours; each stream must end.
    ///
    /// # Errors
    ///
    /// As [`Victim::bombs`].
    pub fn trickles(&mut self) -> Result<Cost> {
        let slow = Junk::Trickle([vec![0, 0, 0, 120], vec![0x83; 120]].concat());
        let streams: Vec<_> =
            self.protocols().flat_map(|protocol| vec![(protocol, slow.clone()); 2 * STRANGERS]).collect();
        let address = self.address()?;
        self.under(move || all_end(&address, &streams))
    }
}

/// Feeds every stream its junk, a few connections at a time, and fails when one outlives it.
fn all_end(address: &Multiaddr, streams: &[(String, Junk)]) -> Result<()> {
    runtime()?.block_on(async {
        let probe = Intruder::connect(address).await?;
        let protocols: BTreeSet<_> = streams.iter().map(|(protocol, _)| protocol).collect();
        for protocol in protocols {
            let stream = probe.open().await.context("a stranger may not open a stream")?;
            let spoken = tokio::time::timeout(DEADLINE, is_spoken(stream, protocol)).await;
            if !spoken.is_ok_and(|spoken| spoken) {
                bail!("the daemon does not speak {protocol}, so that junk on it proves nothing");
            }
        }
        let share = streams.len().div_ceil(STRANGERS);
        let strangers = streams.chunks(share).map(|streams| async move {
            let intruder = Intruder::connect(address).await?;
            let feeding = FuturesUnordered::new();
            for (protocol, junk) in streams {
                // A connection that was ended has no streams left.
                let Some(stream) = intruder.open().await else { break };
                let fed = feed(stream, proposal(protocol), junk.clone(), PATIENCE);
                feeding.push(async move { (fed.await, protocol, junk) });
            }
            let alive = feeding.filter(|(ended, ..)| std::future::ready(!ended)).next().await;
            match alive {
                Some((_, protocol, junk)) => bail!("a stream of {protocol} lives on after {junk:?}"),
                None => anyhow::Ok(()),
            }
        });
        let mut strangers: FuturesUnordered<_> = strangers.collect();
        while let Some(done) = strangers.next().await {
            done?;
        }
        Ok(())
    })
}
