//! Finds out who has one blob, asking everyone at once.
//!
//! Owns: who was asked in this round and who still is to be.
//! Hears: providers that the walk names, answers of peers, holders that they introduce.
//! Tells: every holder as it answers, and the end of every round.
//! Ends: when its caller drops it; rounds go on, further and further apart, for holders that come later. Between them,
//! those found are asked again: what others hold grows while they fetch it too.

mod among;
mod asking;
mod former;
mod guess;
mod watch;

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, pin_mut, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;
use shoal_dht::AddressClass;
use shoal_transfer::{Source, have::Holding};
use tokio::sync::{Notify, mpsc};

pub(crate) use self::former::Former;
use self::{
    asking::{Asked, Candidate, Met},
    guess::Guesses,
    watch::Watch,
};
use crate::{
    hint::{Hint, Unreached},
    net::{Net, NetError, Walk},
    tasks::Tasks,
};

/// Questions out at once. More would open more connections than a lookup is worth.
const ASKING: usize = 32;
/// Questions out at once to those who are asked again. They are short, and there is time.
const ASKING_AGAIN: usize = 8;
/// Peers asked in one round. Whoever introduces more of them than this is not believed.
const MAX_CANDIDATES: usize = 256;
/// How often a round looks who has connected since it began. Each look lists all peers.
const LOOKING: Duration = Duration::from_secs(1);
/// A node this young may not have met its network yet, so a round that finds nobody proves nothing.
const SETTLING: Duration = Duration::from_secs(5);
/// The pauses between rounds start here and double up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a holder came to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// It was connected, or is a neighbour in the overlay.
    Neighbour,
    /// The caller named its address.
    Hint,
    /// The overlay holds its announcement.
    Dht,
    /// Another holder introduced it.
    Introduced,
    /// It had the content when that was looked for before.
    Former,
}

impl Via {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Neighbour => "neighbour",
            Self::Hint => "hint",
            Self::Dht => "dht",
            Self::Introduced => "introduced",
            Self::Former => "former",
        }
    }
}

/// A peer that holds the blob, whole or in part.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) holding: Holding,
    pub(crate) via: Via,
    pub(crate) round_trip: Duration,
}

impl From<Holder> for Source {
    fn from(Holder { peer, addresses, holding, .. }: Holder) -> Self {
        Self { peer, addresses, holding: Some(holding), is_guess: false }
    }
}

impl Holder {
    /// Whether what it holds is a part of a directory that it fetches itself.
    pub(crate) fn fetches(&self) -> bool {
        self.holding.files.is_some()
    }

    /// Whether it says that it has this file of a directory.
    pub(crate) fn has_file(&self, number: u64) -> bool {
        self.holding.files.as_ref().is_none_or(|files| files.contains(number))
    }
}

/// What a search tells.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// Somebody who is connected may well have it, and has not said so yet.
    Guess {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    Holder(Holder),
    /// Somebody who is said to have it is asked.
    Asking(PeerId),
    /// Somebody who was asked says that it does not have it, or is gone.
    Without(PeerId),
    /// A peer that was named by its addresses is of no use; told once.
    Unreached {
        peer: Unreached,
        /// It was named as one who has the content.
        provider: bool,
    },
    Round(Round),
}

/// How one round ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Peers that were named as providers.
    pub(crate) named: usize,
    /// Those of them that say that they do not have it.
    pub(crate) gone: usize,
    /// Peers that answered.
    pub(crate) answered: usize,
    /// What the walk through the overlay took.
    pub(crate) walk: Walk,
}

/// One search.
#[derive(Debug, Clone)]
pub(crate) struct Seek {
    pub(crate) net: Net,
    pub(crate) me: PeerId,
    pub(crate) key: ProviderKey,
    /// Addresses that the caller was given together with the name of the content.
    pub(crate) hints: Vec<Hint>,
    /// Who had what was looked for before.
    pub(crate) former: Former,
    pub(crate) tasks: Tasks,
    /// When the node started.
    pub(crate) started: Instant,
}

/// The holders found so far, for those who ask them again.
#[derive(Default)]
struct Found {
    watch: Mutex<Watch>,
    changed: Notify,
}

impl Found {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` tells, while it goes on.
fn findings<F>(work: impl FnOnce(mpsc::Sender<Finding>) -> F) -> impl Stream<Item = Finding> + Send
where
    F: Future<Output = ()> + Send,
{
    let (tell, findings) = mpsc::channel(ASKING);
    let findings = futures::stream::unfold(findings, |mut findings| async move {
        let finding = findings.recv().await?;
        Some((Some(finding), findings))
    });
    let work = work(tell).map(|()| None).into_stream();
    futures::stream::select(findings, work).filter_map(futures::future::ready)
}

impl Seek {
    /// Starts the search.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream ends the walk and forgets every question.
    pub(crate) fn start(self) -> impl Stream<Item = Finding> + Send {
        findings(|tell| async move {
            let found = Found::default();
            let again = self.clone();
            tokio::select! {
                () = self.run(&tell, &found) => {}
                () = again.ask_again(&tell, &found) => {}
            }
        })
    }

    async fn run(mut self, tell: &mpsc::Sender<Finding>, found: &Found) {
        let mut pause = FIRST_PAUSE;
        let mut found_any = false;
        let mut told = HashSet::new();
        let mut guesses = Guesses::default();
        loop {
            let Some((round, any)) = self.round(tell, &mut told, &mut guesses, found).await else { return };
            found_any |= any;
            let young = self.started.elapsed() < SETTLING;
            // A young node that found nobody asks again soon instead of giving its caller a wrong "nobody".
            if young && !found_any {
                let left = SETTLING.saturating_sub(self.started.elapsed());
                self.wait_for_change(left.min(FIRST_PAUSE)).await;
                continue;
            }
            if tell.send(Finding::Round(round)).await.is_err() {
                return;
            }
            self.wait_for_change(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks those found again, as long as they have news.
    async fn ask_again(&self, tell: &mpsc::Sender<Finding>, found: &Found) {
        let mut asking: FuturesUnordered<BoxFuture<'_, (PeerId, Asked)>> = FuturesUnordered::new();
        loop {
            while asking.len() < ASKING_AGAIN
                && let Some(candidate) = found.watch().next(Instant::now())
            {
                let peer = candidate.peer;
                let asked = self.ask(candidate, Instant::now());
                asking.push(asked.map(move |asked| (peer, asked)).boxed());
            }
            let due = found.watch().next_due().filter(|_| asking.len() < ASKING_AGAIN);
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((peer, asked)) = asking.next() => {
                    if self.heard_again(peer, asked, tell, found).await.is_none() {
                        return;
                    }
                }
                () = due => {}
                () = found.changed.notified() => {}
            }
        }
    }

    /// Takes in an answer to a repeated question; `None` when the caller is gone.
    async fn heard_again(
        &self,
        peer: PeerId,
        asked: Asked,
        tell: &mpsc::Sender<Finding>,
        found: &Found,
    ) -> Option<()> {
        let now = Instant::now();
        let Asked::Candidate { candidate, answer: Ok(answer), round_trip } = asked else {
            found.watch().in_vain(peer, now);
            return Some(());
        };
        let has_more = {
            let mut watch = found.watch();
            let others = answer.others.into_iter().filter(|other| other.peer != self.me);
            let believed =
                others.map(|other| (other.peer, believable(other.addresses, &candidate.addresses)));
            let new =
                believed.filter(|(peer, addresses)| watch.introduced(*peer, addresses.clone(), now)).count();
            watch.answered(peer, answer.holding.as_ref(), new > 0, now)
        };
        if let (true, Some(holding)) = (has_more, answer.holding) {
            let Candidate { peer, addresses, via } = candidate;
            let holder = Holder { peer, addresses, holding, via, round_trip };
            tell.send(Finding::Holder(holder)).await.ok()?;
        }
        Some(())
    }

    async fn wait_for_change(&mut self, at_most: Duration) {
        self.net.changes.mark_unchanged();
        drop(tokio::time::timeout(at_most, self.net.changes.changed()).await);
    }

    /// Asks everyone once; `None` when the caller is gone. `told` are the peers of no use that it knows of.
    async fn round(
        &self,
        tell: &mpsc::Sender<Finding>,
        told: &mut HashSet<Vec<Multiaddr>>,
        guesses: &mut Guesses,
        found: &Found,
    ) -> Option<(Round, bool)> {
        let mut round = Round::default();
        let mut found_any = false;
        let mut queue = VecDeque::new();
        let mut known = HashSet::from([self.me]);
        let mut asking: FuturesUnordered<BoxFuture<'_, Asked>> = FuturesUnordered::new();
        let (providers, walk) = self.net.find(self.key).await;
        pin_mut!(providers);
        let mut net = self.net.clone();
        net.changes.mark_unchanged();
        let mut looking = tokio::time::interval(LOOKING);
        let mut walking = true;
        let mut without = HashSet::new();
        // Whoever is named in several ways is one provider, and this node knows best what it has itself.
        let (mut named, nameless) = self.named_by_hints();
        asking.extend(self.hints.iter().cloned().map(|hint| self.meet_hint(hint).boxed()));
        let connected = self.connected().await;
        let peers: Vec<PeerId> = connected.iter().map(|candidate| candidate.peer).collect();
        let likeliest = guesses.among(&peers, |peer| named.contains(peer), &self.former, &self.key);
        if let Some(peer) = likeliest {
            tell.send(Finding::Guess { peer, addresses: Vec::new() }).await.ok()?;
        }
        for candidate in connected.into_iter().chain(self.near().await) {
            enqueue(&mut queue, &mut known, candidate);
        }
        for (peer, addresses) in self.former.holders(&self.key) {
            enqueue(&mut queue, &mut known, Candidate { peer, addresses, via: Via::Former });
        }
        loop {
            while asking.len() < ASKING
                && let Some(candidate) = queue.pop_front()
            {
                if candidate.via != Via::Neighbour {
                    tell.send(Finding::Asking(candidate.peer)).await.ok()?;
                }
                asking.push(match candidate.via {
                    Via::Former => self.meet(candidate).boxed(),
                    _ => self.ask(candidate, Instant::now()).boxed(),
                });
            }
            if !walking && asking.is_empty() {
                for caller in callers(&mut net).await {
                    enqueue(&mut queue, &mut known, caller);
                }
                if queue.is_empty() {
                    break;
                }
                continue;
            }
            tokio::select! {
                provider = providers.next(), if walking => match provider {
                    Some(provider) => {
                        named.insert(provider.peer);
                        let candidate = Candidate { peer: provider.peer, addresses: provider.addresses, via: Via::Dht };
                        enqueue(&mut queue, &mut known, candidate);
                    }
                    None => walking = false,
                },
                Some(asked) = asking.next() => {
                    let (candidate, answer, round_trip) = match asked {
                        Asked::Candidate { candidate, answer, round_trip } => (candidate, answer, round_trip),
                        Asked::Met { peer, who, start } => {
                            if guesses.guess(peer) {
                                tell.send(Finding::Guess { peer, addresses: who.addresses() }).await.ok()?;
                            }
                            asking.push(match who {
                                Met::Hint(hint) => self.ask_hint(hint, peer, start).boxed(),
                                Met::Candidate(candidate) => self.ask(candidate, start).boxed(),
                            });
                            continue;
                        }
                        Asked::NoUse { hint, error } => {
                            if told.insert(hint.addresses.clone()) {
                                let peer = hint.unreached(&error);
                                let provider = hint.provider;
                                tell.send(Finding::Unreached { peer, provider }).await.ok()?;
                            }
                            continue;
                        }
                    };
                    known.insert(candidate.peer);
                    let answer = match answer {
                        Ok(answer) => answer,
                        Err(NetError::NoAnswer) => continue,
                        Err(_) => {
                            tell.send(Finding::Without(candidate.peer)).await.ok()?;
                            continue;
                        }
                    };
                    round.answered += 1;
                    for holder in answer.others {
                        named.insert(holder.peer);
                        let addresses = believable(holder.addresses, &candidate.addresses);
                        let introduced = Candidate { peer: holder.peer, addresses, via: Via::Introduced };
                        enqueue(&mut queue, &mut known, introduced);
                    }
                    if let Some(holding) = answer.holding {
                        found_any = true;
                        found.watch().found(&candidate, &holding, Instant::now());
                        self.remember(&candidate);
                        found.changed.notify_one();
                        let Candidate { peer, addresses, via } = candidate;
                        let holder = Holder { peer, addresses, holding, via, round_trip };
                        tell.send(Finding::Holder(holder)).await.ok()?;
                        continue;
                    }
                    without.insert(candidate.peer);
                    if candidate.via != Via::Neighbour {
                        tell.send(Finding::Without(candidate.peer)).await.ok()?;
                    }
                }
                _ = looking.tick() => {
                    for caller in callers(&mut net).await {
                        enqueue(&mut queue, &mut known, caller);
                    }
                }
                () = tell.closed() => return None,
            }
        }
        named.remove(&self.me);
        round.named = named.len() + nameless;
        round.gone = named.intersection(&without).count();
        round.walk = walk.await.unwrap_or_default();
        Some((round, found_any))
    }

    /// Keeps in mind who has it.
    fn remember(&self, holder: &Candidate) {
        if self.former.note(self.key, holder.peer, &holder.addresses, Instant::now()) {
            let (former, tasks) = (self.former.clone(), self.tasks.clone());
            self.tasks.spawn("holders", async move { former.write_on(&tasks).await });
        }
    }

    /// The providers that hints name, and the number of those of which they give only addresses.
    fn named_by_hints(&self) -> (HashSet<PeerId>, usize) {
        let providers = || self.hints.iter().filter(|hint| hint.provider);
        let named = providers().filter_map(|hint| hint.peer).collect();
        (named, providers().filter(|hint| hint.peer.is_none()).count())
    }
}

/// Those who connected to this node, if there may be others than before: one of them may have it. Whom the walk met is
/// asked by the walk.
async fn callers(net: &mut Net) -> Vec<Candidate> {
    if !net.changes.has_changed().unwrap_or(false) {
        return Vec::new();
    }
    net.changes.mark_unchanged();
    let called = net.peers().await.into_iter().filter(|info| info.member && !info.outgoing);
    called.map(|info| Candidate::neighbour(info.peer, info.addresses)).collect()
}

/// What may be dialled of the addresses that somebody told who lives at `from`: whoever is far away knows nothing of
/// the networks here, and must not make this node knock at the doors in them.
fn believable(mut told: Vec<Multiaddr>, from: &[Multiaddr]) -> Vec<Multiaddr> {
    let lives = |class| from.iter().any(|address| AddressClass::of(address) == class);
    told.retain(|address| match AddressClass::of(address) {
        AddressClass::Global => true,
        AddressClass::Private => lives(AddressClass::Private) || lives(AddressClass::Loopback),
        AddressClass::Loopback => lives(AddressClass::Loopback),
        _ => false,
    });
    told
}

fn enqueue(queue: &mut VecDeque<Candidate>, known: &mut HashSet<PeerId>, candidate: Candidate) {
    if known.len() < MAX_CANDIDATES && known.insert(candidate.peer) {
        queue.push_back(candidate);
    }
}

#[cfg(test)]
mod tests;
