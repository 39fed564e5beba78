//! Gets a node into its network, and back into it when it has lost everyone.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};

use crate::{net::Net, seek::peer_in};

/// Peers of earlier runs dialled at a time. Some are gone; the rest of the network is learnt from those that are not.
const OLD_FRIENDS: usize = 8;
/// Pauses between tries while nobody answers: they start short, since peers often start at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Dials the peers that the user named and those known from before whenever the node is alone.
pub(crate) async fn stay_joined(mut net: Net, named: Vec<Multiaddr>, known: Vec<(PeerId, Vec<Multiaddr>)>) {
    if named.is_empty() && known.is_empty() {
        return;
    }
    let mut pause = FIRST_PAUSE;
    let mut unreached = named.clone();
    loop {
        if unreached.is_empty() && !alone(&net).await {
            pause = FIRST_PAUSE;
            net.changes.mark_unchanged();
            drop(tokio::time::timeout(LONGEST_PAUSE, net.changes.changed()).await);
            continue;
        }
        if unreached.is_empty() {
            unreached.clone_from(&named);
        }
        unreached = dial_all(&net, unreached).await;
        if alone(&net).await {
            greet_old_friends(&net, &known).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn alone(net: &Net) -> bool {
    !net.peers().await.iter().any(|info| info.member)
}

/// Dials each address; returns those that did not answer.
async fn dial_all(net: &Net, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let dials = addresses.into_iter().map(|address| async move {
        match net.dial(peer_in(&address), vec![address.clone()]).await {
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%address, %error, "a named peer cannot be reached yet");
                Some(address)
            }
        }
    });
    dials.collect::<FuturesUnordered<_>>().filter_map(futures::future::ready).collect().await
}

async fn greet_old_friends(net: &Net, known: &[(PeerId, Vec<Multiaddr>)]) {
    let dials =
        known.iter().take(OLD_FRIENDS).map(|(peer, addresses)| net.dial(Some(*peer), addresses.clone()));
    dials.collect::<FuturesUnordered<_>>().for_each(|_| futures::future::ready(())).await;
}
