//! One round of a search: everyone who may have the blob is asked once.
//!
//! Owns: the questions that are out; whom to ask next is on the roll.
//! Hears: providers that the walk names, peers that connect meanwhile, answers.
//! Tells: the caller of the search, each thing as it is heard.
//! Ends: when the walk is over and nobody is left to ask, or the caller is gone.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, pin_mut, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use shoal_transfer::have::Answer;
use tokio::sync::mpsc;

use super::{
    Finding, Gone, Holder, Round, Seek, Via,
    again::Again,
    asking::{Asked, Candidate, Met},
    guess::Guesses,
    roll::Roll,
};
use crate::{
    hint::Hint,
    net::{Net, NetError},
};

/// Questions out at once. More would open more connections than a lookup is worth.
const ASKING: usize = 32;
/// How often a round looks who has connected since it began. Each look lists all peers.
const LOOKING: Duration = Duration::from_secs(1);

/// What the rounds of one search share.
#[derive(Default)]
pub(super) struct Shared {
    guesses: Guesses,
    /// The peers of no use of which the caller knows.
    unreached: HashSet<Vec<Multiaddr>>,
    /// Whether any of the rounds found a holder.
    pub(super) found_any: bool,
}

/// A round under way.
struct Asking<'a> {
    seek: &'a Seek,
    tell: &'a mpsc::Sender<Finding>,
    again: &'a Again,
    shared: &'a mut Shared,
    roll: Roll,
    out: FuturesUnordered<BoxFuture<'a, Asked>>,
}

impl Seek {
    /// Asks everyone once.
    pub(super) async fn round(
        &self,
        tell: &mpsc::Sender<Finding>,
        again: &Again,
        shared: &mut Shared,
    ) -> Result<Round, Gone> {
        let (providers, walk) = self.net.find(self.key).await;
        pin_mut!(providers);
        let mut callers = Callers::from_now_on(&self.net);
        let mut looking = tokio::time::interval(LOOKING);
        let mut is_walking = true;
        let roll = Roll::new(self.me, &self.hints);
        let mut asking = Asking { seek: self, tell, again, shared, roll, out: FuturesUnordered::new() };
        asking.begin().await?;
        loop {
            asking.ask_next().await?;
            if !is_walking && asking.out.is_empty() {
                asking.roll.add_all(callers.look().await);
                if asking.roll.is_done() {
                    break;
                }
                continue;
            }
            tokio::select! {
                provider = providers.next(), if is_walking => match provider {
                    Some(provider) => {
                        let (peer, addresses) = (provider.peer, provider.addresses);
                        asking.roll.add_provider(Candidate { peer, addresses, via: Via::Dht });
                    }
                    None => is_walking = false,
                },
                Some(asked) = asking.out.next() => asking.heard(asked).await?,
                _ = looking.tick() => asking.roll.add_all(callers.look().await),
                () = tell.closed() => return Err(Gone),
            }
        }
        Ok(asking.roll.summary(walk.await.unwrap_or_default()))
    }
}

impl Asking<'_> {
    /// Begins with those whom this node knows without the walk.
    async fn begin(&mut self) -> Result<(), Gone> {
        let seek = self.seek;
        self.out.extend(seek.hints.iter().cloned().map(|hint| seek.meet_hint(hint).boxed()));
        let connected = seek.connected().await;
        let peers: Vec<PeerId> = connected.iter().map(|candidate| candidate.peer).collect();
        let is_named = |peer: &PeerId| self.roll.is_named(peer);
        let likeliest = self.shared.guesses.among(&peers, is_named, &seek.former, &seek.key);
        if let Some(peer) = likeliest {
            self.tell.send(Finding::Guess { peer, addresses: Vec::new() }).await?;
        }
        self.roll.add_all(connected);
        self.roll.add_all(seek.near().await);
        let former = seek.former.holders(&seek.key).into_iter();
        self.roll.add_all(former.map(|(peer, addresses)| Candidate { peer, addresses, via: Via::Former }));
        Ok(())
    }

    /// Asks the next on the roll, as many as may be asked at once.
    async fn ask_next(&mut self) -> Result<(), Gone> {
        while self.out.len() < ASKING
            && let Some(candidate) = self.roll.next()
        {
            if candidate.via != Via::Neighbour {
                self.tell.send(Finding::Asking(candidate.peer)).await?;
            }
            self.out.push(match candidate.via {
                Via::Former => self.seek.meet(candidate).boxed(),
                _ => self.seek.ask(candidate, Instant::now()).boxed(),
            });
        }
        Ok(())
    }

    async fn heard(&mut self, asked: Asked) -> Result<(), Gone> {
        match asked {
            Asked::Met { peer, who, start } => self.met(peer, who, start).await,
            Asked::NoUse { hint, error } => self.no_use(hint, &error).await,
            Asked::Candidate { candidate, answer, round_trip } => {
                self.roll.asked(candidate.peer);
                match answer {
                    Ok(answer) => self.answered(candidate, answer, round_trip).await,
                    Err(NetError::NoAnswer) => Ok(()),
                    Err(_) => Ok(self.tell.send(Finding::Without(candidate.peer)).await?),
                }
            }
        }
    }

    /// Asks whoever is connected now.
    async fn met(&mut self, peer: PeerId, who: Met, start: Instant) -> Result<(), Gone> {
        if self.shared.guesses.guess(peer) {
            self.tell.send(Finding::Guess { peer, addresses: who.addresses() }).await?;
        }
        self.out.push(match who {
            Met::Hint(hint) => self.seek.ask_hint(hint, peer, start).boxed(),
            Met::Candidate(candidate) => self.seek.ask(candidate, start).boxed(),
        });
        Ok(())
    }

    async fn no_use(&mut self, hint: Hint, error: &NetError) -> Result<(), Gone> {
        if self.shared.unreached.insert(hint.addresses.clone()) {
            let peer = hint.unreached(error);
            self.tell.send(Finding::Unreached { peer, provider: hint.provider }).await?;
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        candidate: Candidate,
        answer: Answer,
        round_trip: Duration,
    ) -> Result<(), Gone> {
        for (peer, addresses) in self.seek.introduced(answer.others, &candidate.addresses) {
            self.roll.add_provider(Candidate { peer, addresses, via: Via::Introduced });
        }
        if let Some(holding) = answer.holding {
            self.shared.found_any = true;
            self.again.found(&candidate, &holding);
            self.seek.remember(&candidate);
            let holder = Holder::new(candidate, holding, round_trip);
            self.tell.send(Finding::Holder(holder)).await?;
            return Ok(());
        }
        self.roll.without(candidate.peer);
        if candidate.via != Via::Neighbour {
            self.tell.send(Finding::Without(candidate.peer)).await?;
        }
        Ok(())
    }
}

impl Seek {
    /// Keeps in mind who has it.
    fn remember(&self, holder: &Candidate) {
        if self.former.note(self.key, holder.peer, &holder.addresses, Instant::now()) {
            let (former, tasks) = (self.former.clone(), self.tasks.clone());
            self.tasks.spawn("holders", async move { former.write_on(&tasks).await });
        }
    }
}

/// Those who connect to this node while a round goes on.
struct Callers(Net);

impl Callers {
    fn from_now_on(net: &Net) -> Self {
        let mut net = net.clone();
        net.changes.mark_unchanged();
        Self(net)
    }

    /// All of them, if there may be others than at the last look: one may have it. Whom the walk met is asked by the walk.
    async fn look(&mut self) -> Vec<Candidate> {
        let Self(net) = self;
        if !net.changes.has_changed().unwrap_or(false) {
            return Vec::new();
        }
        net.changes.mark_unchanged();
        let called = net.peers().await.into_iter().filter(|info| info.member && !info.outgoing);
        called.map(|info| Candidate::neighbour(info.peer, info.addresses)).collect()
    }
}
