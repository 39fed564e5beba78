//! Gets a node into its network, and back into it when it has lost everyone.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, NetworkName, ProviderKey};
use tokio::sync::watch;

use crate::{
    hint::{Hint, Unreached},
    net::Net,
};

/// Peers of earlier runs dialled at a time. Some are gone; the rest of the network is learnt from those that are not.
const OLD_FRIENDS: usize = 8;
/// Pauses between tries while nobody answers: they start short, since peers often start at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a peer may take to start before anybody is told that it is not there.
const STARTING: Duration = Duration::from_secs(1);

/// Who of its network a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// Somebody is connected.
    Connected,
    /// Somebody was met, and is in a table.
    Known,
    Nobody,
}

/// Dials the peers that the user named and those known from before whenever the node is alone. Tells which of the named
/// ones are of no use, and why.
pub(crate) async fn stay_joined(
    mut net: Net,
    network: NetworkName,
    named: Vec<Multiaddr>,
    known: Vec<(PeerId, Vec<Multiaddr>)>,
    tell: watch::Sender<Vec<Unreached>>,
) {
    if named.is_empty() && known.is_empty() {
        return;
    }
    let start = Instant::now();
    // Any question tells whether a peer is of this network, and everybody knows the answer to this one.
    let question = ProviderKey::derive(&network, &Digest::of(b""));
    let mut hints = Vec::new();
    for address in named {
        Hint::add(&mut hints, address, false);
    }
    let mut pause = FIRST_PAUSE;
    let mut unreached = hints.clone();
    let (mut greeted, mut asked) = (0, None);
    loop {
        if unreached.is_empty() && !is_time(company(&net).await, asked, Instant::now()) {
            pause = FIRST_PAUSE;
            net.changes.mark_unchanged();
            drop(tokio::time::timeout(LONGEST_PAUSE, net.changes.changed()).await);
            continue;
        }
        if unreached.is_empty() {
            unreached.clone_from(&hints);
        }
        let failed = ask_all(&net, unreached, question).await;
        let (why, left): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
        unreached = left;
        asked = Some(Instant::now());
        if start.elapsed() >= STARTING || why.is_empty() {
            tell.send_if_modified(|told| std::mem::replace(told, why.clone()) != why);
        }
        if company(&net).await != Company::Connected {
            // Those seen last may all be gone: the next time it is the turn of others.
            greet(&net, known.iter().cycle().skip(greeted).take(OLD_FRIENDS.min(known.len()))).await;
            greeted = (greeted + OLD_FRIENDS) % known.len().max(1);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn company(net: &Net) -> Company {
    if net.peers().await.iter().any(|info| info.member) {
        return Company::Connected;
    }
    let is_known = net.overlay().await.tables.iter().any(|(_, members)| *members > 0);
    if is_known { Company::Known } else { Company::Nobody }
}

/// Whether to ask the named peers again. Connections end when nothing is said for a while, and in a local network the nodes
/// at rest have none: a node that knows others only makes sure once a minute that they are still there. Whoever is named to many
/// would else be dialled by all of them as often as their connections end.
fn is_time(company: Company, asked: Option<Instant>, now: Instant) -> bool {
    match company {
        Company::Connected => false,
        Company::Known => asked.is_none_or(|asked| now.saturating_duration_since(asked) >= LONGEST_PAUSE),
        Company::Nobody => true,
    }
}

/// Asks each peer; returns those that are of no use now.
async fn ask_all(net: &Net, hints: Vec<Hint>, question: ProviderKey) -> Vec<(Unreached, Hint)> {
    let asked = hints.into_iter().map(|hint| async move {
        let error = hint.ask(net, question).await.err()?;
        tracing::debug!(addresses = ?hint.addresses, %error, "a named peer is of no use yet");
        Some((hint.unreached(&error), hint))
    });
    asked.collect::<FuturesUnordered<_>>().filter_map(futures::future::ready).collect().await
}

async fn greet(net: &Net, peers: impl Iterator<Item = &(PeerId, Vec<Multiaddr>)>) {
    let dials = peers.map(|(peer, addresses)| net.meet(*peer, addresses.clone()));
    dials.collect::<FuturesUnordered<_>>().for_each(|_| futures::future::ready(())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_at_rest_that_knows_others_makes_sure_of_them_once_a_minute() {
        let start = Instant::now();
        let (mut asked, mut times) = (None, 0);
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            // A connection on which nothing is said is kept for ten seconds.
            let is_open = asked.is_some_and(|asked| now < asked + Duration::from_secs(10));
            if is_time(if is_open { Company::Connected } else { Company::Known }, asked, now) {
                (asked, times) = (Some(now), times + 1);
            }
        }
        assert_eq!(times, 10);
        let now = start + Duration::from_secs(600);
        assert!(is_time(Company::Nobody, Some(now), now), "one that knows nobody asks at once");
    }
}
