//! Asks those who were found once more, as long as they have news: what others hold grows while they fetch it too.
//!
//! When to ask whom is decided by the watch (`watch.rs`); here is what waits.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use shoal_transfer::have::Holding;
use tokio::sync::{Notify, mpsc};

use super::{
    Finding, Gone, Holder, Seek,
    asking::{Asked, Candidate},
    watch::Watch,
};

/// Questions out at once to those who are asked again. They are short, and there is time.
const ASKING_AGAIN: usize = 8;

/// Whom to ask again: told by those who find holders, read by the one who asks.
#[derive(Default)]
pub(super) struct Again {
    watch: Mutex<Watch>,
    changed: Notify,
}

impl Again {
    /// A round found a holder.
    pub(super) fn found(&self, candidate: &Candidate, holding: &Holding) {
        self.watch().found(candidate, holding, Instant::now());
        self.changed.notify_one();
    }

    /// Somebody may hold some; it is asked at once, unless it is known.
    pub(super) fn introduced(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if self.watch().introduced(peer, addresses, Instant::now()) {
            self.changed.notify_one();
        }
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seek {
    /// Asks those found again; ends only when the caller is gone.
    pub(super) async fn ask_again(&self, tell: &mpsc::Sender<Finding>, again: &Again) -> Result<(), Gone> {
        let mut asking: FuturesUnordered<BoxFuture<'_, (PeerId, Asked)>> = FuturesUnordered::new();
        loop {
            while asking.len() < ASKING_AGAIN
                && let Some(candidate) = again.watch().next(Instant::now())
            {
                let peer = candidate.peer;
                let asked = self.ask(candidate, Instant::now());
                asking.push(asked.map(move |asked| (peer, asked)).boxed());
            }
            let due = again.watch().next_due().filter(|_| asking.len() < ASKING_AGAIN);
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((peer, asked)) = asking.next() => self.heard_again(peer, asked, tell, again).await?,
                () = due => {}
                () = again.changed.notified() => {}
            }
        }
    }

    /// Takes in an answer to a repeated question.
    pub(super) async fn heard_again(
        &self,
        peer: PeerId,
        asked: Asked,
        tell: &mpsc::Sender<Finding>,
        again: &Again,
    ) -> Result<(), Gone> {
        let now = Instant::now();
        let Asked::Candidate { candidate, answer: Ok(answer), round_trip } = asked else {
            again.watch().in_vain(peer, now);
            return Ok(());
        };
        let has_more = {
            let mut watch = again.watch();
            let introduced = self.introduced(answer.others, &candidate.addresses);
            let new = introduced.filter(|(peer, addresses)| watch.introduced(*peer, addresses.clone(), now));
            let introduces = new.count() > 0;
            watch.answered(peer, answer.holding.as_ref(), introduces, now)
        };
        if let (true, Some(holding)) = (has_more, answer.holding) {
            tell.send(Finding::Holder(Holder::new(candidate, holding, round_trip))).await?;
        }
        Ok(())
    }
}
