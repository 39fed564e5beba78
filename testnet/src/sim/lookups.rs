//! Many lookups, and what they cost: the measurement that most scenarios share.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, future::try_join_all, stream};
use libp2p::PeerId;
use shoal_content::ProviderKey;
use tokio::time::{sleep, timeout};

use super::{
    member::{Member, Search},
    network::Network,
};
use crate::stats::{Samples, percent};

/// Announcements that run at once.
const AT_ONCE: usize = 16;

/// From the start of one lookup to that of the next. Those that wait for the dead overlap, and still the machine has
/// little to do at any time: faster, and it would be measured instead.
const PACE: Duration = Duration::from_millis(50);

/// A lookup that takes longer is one that did not find.
const PATIENCE: Duration = Duration::from_secs(70);

/// A key, and who provides it.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) key: ProviderKey,
    pub(crate) provider: PeerId,
}

/// What many lookups found, and what it took.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) asked: usize,
    pub(crate) found: usize,
    /// Until the provider was named, in round trips.
    pub(crate) first: Samples,
    /// Until the end of the walk, in round trips.
    pub(crate) whole: Samples,
    /// Requests until the provider was named.
    pub(crate) first_requests: Samples,
    /// Requests until the end.
    pub(crate) requests: Samples,
    pub(crate) hops: Samples,
}

impl Found {
    pub(crate) fn percent(&self) -> f64 {
        percent(self.found, self.asked)
    }
}

/// What was announced, and what it took.
pub(crate) struct Published {
    pub(crate) items: Vec<Item>,
    /// Nodes that said they keep a key, where they say it.
    pub(crate) copies: Samples,
    /// Until all of them had answered, in round trips.
    pub(crate) whole: Samples,
}

/// Lets publishers announce a key each.
pub(crate) async fn publish(publishers: &[Member], network: &Network, what: &str) -> Result<Published> {
    let publications = publishers.iter().enumerate().map(|(number, publisher)| {
        let key = network.seed.key(what, number as u64);
        async move {
            let publication = publisher.announce(vec![key]).await?;
            Ok((Item { key, provider: publisher.host.peer }, publication))
        }
    });
    let published = stream::iter(publications).buffered(AT_ONCE).collect::<Vec<_>>().await;
    let (items, publications): (_, Vec<_>) =
        published.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok(Published {
        items,
        copies: publications.iter().map(|publication| publication.acknowledged as f64).collect(),
        whole: publications.iter().map(|publication| network.round_trips(publication.ended)).collect(),
    })
}

/// Lets each seeker look one of the items up, in turn.
pub(crate) async fn look_up(seekers: &[Member], items: &[Item], network: &Network) -> Result<Found> {
    look_up_every(PACE, seekers, items, network).await
}

/// The same, with so much time from the start of one to that of the next.
pub(crate) async fn look_up_every(
    pace: Duration,
    seekers: &[Member],
    items: &[Item],
    network: &Network,
) -> Result<Found> {
    let lookups = seekers.iter().zip(items.iter().cycle()).zip(0..).map(async |((seeker, item), number)| {
        sleep(pace * number).await;
        match timeout(PATIENCE, seeker.find(item.key, item.provider)).await {
            Ok(search) => search.map(Some),
            Err(_) => Ok(None),
        }
    });
    let searches: Vec<Option<Search>> = try_join_all(lookups).await?;
    let ended = || searches.iter().flatten();
    let first = || ended().filter_map(|search| search.first);
    Ok(Found {
        asked: searches.len(),
        found: first().count(),
        first: first().map(|(time, _)| network.round_trips(time)).collect(),
        whole: ended().map(|search| network.round_trips(search.ended)).collect(),
        first_requests: first().map(|(_, requests)| requests as f64).collect(),
        requests: ended().map(|search| search.sent as f64).collect(),
        hops: ended().filter_map(|search| search.hops).map(f64::from).collect(),
    })
}
