//! Fetching from real stores through real swarms.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, GROUP_LEN, SIZES};
use shoal_store::Partial;
use shoal_transfer::{
    Failure, FetchError, FetchEvent, FetchJob, FetchOptions, Fetched, Lines, Open, OpenError, Pacer,
    RangeStream, Rate, Source, fetch,
};
use tokio::sync::watch;

use crate::content::{Library, Threads, bytes, check_whole};
use crate::fake::{Peers, Script, get};
use crate::net::{Config, Node, Provider, soon};

const MIB: u64 = 1024 * 1024;

fn source(node: &Node) -> Source {
    Source { peer: node.id, addresses: vec![node.address.clone()], holding: None, is_guess: false }
}

#[tokio::test]
async fn every_size_arrives_whole_from_one_provider() {
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let provider = Provider::start(&theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let opener: Arc<dyn Open> = Arc::new(node.opener.clone());
    for (size, why) in SIZES.iter().chain(&[(20 * MIB + 1, "many requests")]) {
        let data = bytes(*size, *size);
        let digest = theirs.publish(&format!("{size}"), &data);
        for hint in [None, Some(*size)] {
            let partial = ours.partial(&digest);
            let mut options = FetchOptions::default();
            options.size_hint = hint;
            options.salt = 12_345_678;
            let before = provider.served.requests.load(Ordering::Relaxed);
            let (result, events) =
                soon(get(&partial, opener.clone(), &pool, vec![source(&provider.node)], options)).await;
            let fetched = result.unwrap_or_else(|error| panic!("{size} ({why}): {error:?}"));
            assert_eq!(fetched.size, *size);
            // The empty content is known without asking anybody.
            let expected = (*size > 0).then_some((provider.node.id, *size));
            assert_eq!(fetched.sources, expected.as_slice());
            check_whole(&partial, &data);
            let verified: u64 = events
                .iter()
                .map(|event| match event {
                    FetchEvent::Verified { bytes, .. } => *bytes,
                    _ => 0,
                })
                .sum();
            assert_eq!(verified, *size);
            if *size <= 5 * GROUP_LEN || (hint.is_some() && *size <= MIB) {
                let after = provider.served.requests.load(Ordering::Relaxed);
                assert!(after - before <= 1, "{size}: a small file is one request");
            }
            partial.abandon().unwrap();
        }
    }
    assert_eq!(provider.served.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_content_up_to_a_mebibyte_takes_one_round_trip() {
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    for (size, _) in SIZES.iter().filter(|(size, _)| (1..=MIB).contains(size)) {
        let data = Arc::new(bytes(*size, *size));
        let partial = ours.partial(&Digest::of(&data));
        let mut options = FetchOptions::default();
        options.size_hint = Some(*size);
        let before = peers.turns();
        let sources = vec![peers.add(&data, Script::default())];
        let (result, _) = soon(get(&partial, peers.clone(), &pool, sources, options)).await;
        result.unwrap();
        assert_eq!(peers.turns() - before, 1, "{size}");
        partial.abandon().unwrap();
    }
}

#[tokio::test]
async fn the_pieces_of_a_content_take_turns_on_few_streams() {
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let provider = Provider::start(&theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let data = bytes(64 * MIB, 1);
    let digest = theirs.publish("a", &data);
    let partial = ours.partial(&digest);
    let opener = Arc::new(node.opener.clone());
    let sources = vec![source(&provider.node)];
    let (result, _) = soon(get(&partial, opener, &pool, sources, FetchOptions::default())).await;
    result.unwrap();
    let requests = provider.served.requests.load(Ordering::Relaxed);
    let streams = provider.served.streams.load(Ordering::Relaxed);
    assert!(requests >= 3 && streams <= 3, "{requests} requests on {streams} streams");
    assert_eq!(provider.served.failed.load(Ordering::Relaxed), 0);
}

/// Reads no faster than its user wants.
struct Slow {
    opener: shoal_transfer::Opener,
    pacer: Pacer,
}

impl Open for Slow {
    fn open(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> BoxFuture<'static, Result<RangeStream, OpenError>> {
        let meter = self.pacer.meter(peer);
        let opened = Open::open(&self.opener, peer, addresses);
        async move { Ok(opened.await?.paced_reads(meter)) }.boxed()
    }

    fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        self.pacer.rates()
    }
}

#[tokio::test]
async fn one_who_may_read_only_slowly_gets_everything_from_a_server_without_patience() {
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    // It takes half a window before a server sees that somebody reads, which takes four times as long here.
    let rate = Rate::per_second(320_000);
    let mut config = Config::default();
    config.limits.write_stall = std::time::Duration::from_millis(100);
    let provider = Provider::start_with(config, &theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let data = bytes(3 * MIB / 2, 1);
    let digest = theirs.publish("a", &data);
    let partial = ours.partial(&digest);
    let opener = Arc::new(Slow { opener: node.opener.clone(), pacer: Pacer::new(rate, None) });
    let sources = vec![source(&provider.node)];
    let (result, _) = soon(get(&partial, opener, &pool, sources, FetchOptions::default())).await;
    result.unwrap();
    check_whole(&partial, &data);
    assert!(provider.served.failed.load(Ordering::Relaxed) > 0, "the server had enough at least once");
}

/// Such a server ends a response that is not taken for as long as a third of it takes here.
#[tokio::test]
async fn a_rate_for_each_peer_is_shared_by_no_more_than_it_bears() {
    let rate = Rate::per_second(120_000);
    for (all, each) in [(None, rate), (rate, None)] {
        let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
        let mut config = Config::default();
        config.limits.write_stall = std::time::Duration::from_millis(300);
        let provider = Provider::start_with(config, &theirs.store, &pool).await;
        let (node, _) = Node::start(Config::default()).await;
        // More than a window, and little enough to be asked for at once.
        let data = bytes(5 * MIB / 8, 1);
        let digest = theirs.publish("a", &data);
        let partial = ours.partial(&digest);
        let opener = Arc::new(Slow { opener: node.opener.clone(), pacer: Pacer::new(all, each) });
        let mut options = FetchOptions::default();
        options.size_hint = Some(data.len() as u64);
        let (result, _) = soon(get(&partial, opener, &pool, vec![source(&provider.node)], options)).await;
        result.unwrap();
        check_whole(&partial, &data);
        assert_eq!(provider.served.failed.load(Ordering::Relaxed), 0, "the server had enough");
    }
}

#[tokio::test]
async fn three_providers_share_the_work() {
    let data = bytes(24 * MIB, 1);
    let pool = Threads::start();
    let (node, _) = Node::start(Config::default()).await;
    let mut theirs = Vec::new();
    for _ in 0..3 {
        let library = Library::new();
        library.publish("a", &data);
        theirs.push((Provider::start(&library.store, &pool).await, library));
    }
    let ours = Library::new();
    let partial = ours.partial(&Digest::of(&data));
    let sources = theirs.iter().map(|(provider, _)| source(&provider.node)).collect();
    let opener = Arc::new(node.opener.clone());
    let (result, _) = soon(get(&partial, opener, &pool, sources, FetchOptions::default())).await;
    let fetched = result.unwrap();
    check_whole(&partial, &data);
    assert_eq!(fetched.sources.len(), 3, "{:?}", fetched.sources);
    assert!(fetched.sources.iter().all(|(_, bytes)| *bytes >= MIB), "{:?}", fetched.sources);
    let sum: u64 = fetched.sources.iter().map(|(_, bytes)| *bytes).sum();
    assert!(sum < data.len() as u64 + MIB, "{sum} bytes verified");
}

/// Fetches until so many bytes are verified, and then drops the fetch.
async fn get_some(
    partial: Partial,
    node: &Node,
    pool: &Arc<dyn shoal_transfer::Pool>,
    from: Source,
    enough: u64,
) -> u64 {
    let (tell, mut heard) = watch::channel(0);
    let job = FetchJob {
        partial,
        lines: Lines::new(Arc::new(node.opener.clone())),
        pool: pool.clone(),
        sources: stream::iter([from]).chain(stream::pending()).boxed(),
        options: FetchOptions::default(),
    };
    let fetching = fetch(job, move |event| {
        if let FetchEvent::Verified { bytes, .. } = event {
            tell.send_modify(|sum| *sum += bytes);
        }
    });
    tokio::select! {
        ended = fetching => panic!("ended before it was dropped: {ended:?}"),
        sum = soon(heard.wait_for(|sum| *sum >= enough)) => *sum.unwrap(),
    }
}

#[tokio::test]
async fn a_dropped_fetch_is_continued_without_fetching_anything_twice() {
    let data = bytes(24 * MIB, 2);
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let digest = theirs.publish("a", &data);
    let provider = Provider::start(&theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let verified = get_some(ours.partial(&digest), &node, &pool, source(&provider.node), 8 * MIB).await;

    let partial = ours.partial(&digest);
    let opener = Arc::new(node.opener.clone());
    let (result, events) =
        soon(get(&partial, opener, &pool, vec![source(&provider.node)], FetchOptions::default())).await;
    let Some(FetchEvent::Size { received, .. }) = events.first() else { panic!("{events:?}") };
    assert!(*received >= verified, "{received} of {verified} verified bytes were kept");
    assert_eq!(result.unwrap().sources, [(provider.node.id, data.len() as u64 - received)]);
    check_whole(&partial, &data);
}

#[tokio::test]
async fn a_partial_holder_serves_what_it_has() {
    let data = bytes(16 * MIB, 3);
    let (seed, half, ours, pool) = (Library::new(), Library::new(), Library::new(), Threads::start());
    let digest = seed.publish("a", &data);
    let seeding = Provider::start(&seed.store, &pool).await;
    let helping = Provider::start(&half.store, &pool).await;
    let held = half.partial(&digest);
    let verified = get_some(held.clone(), &helping.node, &pool, source(&seeding.node), 6 * MIB).await;

    let (node, _) = Node::start(Config::default()).await;
    let partial = ours.partial(&digest);
    let opener: Arc<dyn Open> = Arc::new(node.opener.clone());
    let (result, _) =
        soon(get(&partial, opener.clone(), &pool, vec![source(&helping.node)], FetchOptions::default()))
            .await;
    assert!(matches!(result, Err(FetchError::AllFailed { .. })), "{result:?}");
    assert!(partial.received() >= verified, "{} of {verified} came", partial.received());

    let sources = vec![source(&helping.node), source(&seeding.node)];
    let (result, _) = soon(get(&partial, opener, &pool, sources, FetchOptions::default())).await;
    result.unwrap();
    check_whole(&partial, &data);
}

#[tokio::test]
async fn a_provider_that_restarts_goes_on_serving() {
    let data = bytes(24 * MIB, 4);
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let digest = theirs.publish("a", &data);
    let key = Keypair::generate_ed25519();
    let config = || Config { key: key.clone(), ..Config::default() };
    let mut provider = Provider::start_with(config(), &theirs.store, &pool).await;
    let address = provider.node.address.clone();
    let (node, _) = Node::start(Config::default()).await;
    let partial = ours.partial(&digest);
    let (tell, mut heard) = watch::channel(0);
    let job = FetchJob {
        partial: partial.clone(),
        lines: Lines::new(Arc::new(node.opener.clone())),
        pool: pool.clone(),
        sources: stream::iter([source(&provider.node)]).boxed(),
        options: FetchOptions::default(),
    };
    let fetching = fetch(job, move |event| {
        if let FetchEvent::Verified { bytes, .. } = event {
            tell.send_modify(|sum| *sum += bytes);
        }
    });
    let restarting = async {
        let mut restarts = 0;
        for enough in [4 * MIB, 12 * MIB] {
            heard.wait_for(|sum| *sum >= enough).await.unwrap();
            provider.node.stop().await;
            provider =
                Provider::start_with(Config { address: address.clone(), ..config() }, &theirs.store, &pool)
                    .await;
            restarts += 1;
        }
        // Kept until the fetch is done.
        (restarts, provider)
    };
    let (result, (restarts, _provider)) = soon(futures::future::join(fetching, restarting)).await;
    let fetched: Fetched = result.unwrap();
    assert_eq!(restarts, 2);
    assert_eq!(fetched.dropped, []);
    check_whole(&partial, &data);
}

#[tokio::test]
async fn a_source_found_later_helps() {
    let data = bytes(24 * MIB, 5);
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let digest = theirs.publish("a", &data);
    let first = Provider::start(&theirs.store, &pool).await;
    let second = Provider::start(&theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let partial = ours.partial(&digest);
    let (mut find, found) = mpsc::channel(4);
    find.try_send(source(&first.node)).unwrap();
    let late = source(&second.node);
    let job = FetchJob {
        partial: partial.clone(),
        lines: Lines::new(Arc::new(node.opener.clone())),
        pool: pool.clone(),
        sources: found.boxed(),
        options: FetchOptions::default(),
    };
    let mut find = Some(find);
    let result = soon(fetch(job, move |event| {
        if matches!(event, FetchEvent::Verified { .. })
            && let Some(mut find) = find.take()
        {
            find.try_send(late.clone()).unwrap();
        }
    }))
    .await;
    assert_eq!(result.unwrap().sources.len(), 2);
    check_whole(&partial, &data);
}

#[tokio::test]
async fn providers_that_changed_or_left_are_named() {
    let data = bytes(3 * MIB, 6);
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let digest = theirs.publish("a", &data);
    std::fs::write(theirs.path("a"), b"something else").unwrap();
    let provider = Provider::start(&theirs.store, &pool).await;
    let gone = Provider::start(&theirs.store, &pool).await;
    let absent = source(&gone.node);
    drop(gone);
    let (node, _) = Node::start(Config::default()).await;
    let partial = ours.partial(&digest);
    let opener = Arc::new(node.opener.clone());
    let sources = vec![source(&provider.node), absent.clone()];
    let (result, _) = soon(get(&partial, opener, &pool, sources, FetchOptions::default())).await;
    let Err(FetchError::AllFailed { dropped }) = result else { panic!("{result:?}") };
    let reason = |peer| &dropped.iter().find(|dropped| dropped.peer == peer).unwrap().reason;
    assert_eq!(*reason(provider.node.id), Failure::Changed);
    assert!(matches!(reason(absent.peer), Failure::Unreachable(_)));
    assert_eq!(provider.served.changed.load(Ordering::Relaxed), 1);
}
