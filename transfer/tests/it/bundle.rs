//! Fetching many small files at once, from real swarms and from peers that misbehave.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use shoal_content::{Digest, Entry, GROUP_LEN, GroupRanges, Manifest, RelPath, SIZES};
use shoal_store::{FinishOptions, PartialDirectory, Replace, Store};
use shoal_transfer::wire::{Header, Mark};
use shoal_transfer::{
    BundleError, BundleEvent, BundleJob, Bundled, Failure, FetchOptions, Lines, Open, Pool, Source,
    fetch_bundles,
};

use crate::content::{Library, Threads, bytes};
use crate::fake::{Peers, Script, Stop};
use crate::net::{Config, Node, Provider, soon};

/// Files in folders, each other bytes.
fn contents(count: u64) -> Vec<Arc<Vec<u8>>> {
    let sizes = SIZES.iter().map(|(size, _)| *size).filter(|size| (1..=Store::SMALL_LEN).contains(size));
    let sizes: Vec<u64> = sizes.chain(std::iter::repeat(700)).take(count as usize).collect();
    sizes.into_iter().zip(1..).map(|(size, seed)| Arc::new(bytes(size, seed))).collect()
}

fn manifest(contents: &[Arc<Vec<u8>>]) -> Manifest {
    let entry = |(at, data): (usize, &Arc<Vec<u8>>)| Entry {
        path: RelPath::parse(&format!("{:03}/{at:05}", at / 100)).unwrap(),
        size: data.len() as u64,
        digest: Digest::of(data),
        executable: false,
    };
    Manifest::new(contents.iter().enumerate().map(entry).collect()).unwrap()
}

fn directory(ours: &Library, manifest: Manifest) -> Arc<PartialDirectory> {
    Arc::new(ours.store.partial_directory(manifest, &ours.path(".dir.part")).unwrap())
}

async fn get(
    directory: &Arc<PartialDirectory>,
    opener: Arc<dyn Open>,
    pool: &Arc<dyn Pool>,
    sources: Vec<Source>,
    options: FetchOptions,
) -> (Result<Bundled, BundleError>, Vec<BundleEvent>) {
    let job = BundleJob {
        directory: directory.clone(),
        files: (0..directory.manifest().entries().len()).collect(),
        lines: Lines::new(opener),
        pool: pool.clone(),
        sources: futures::stream::iter(sources).boxed(),
        salt: None,
        options,
    };
    let mut events = Vec::new();
    let result = soon(fetch_bundles(job, |event| events.push(event))).await;
    (result, events)
}

/// Checks that the directory is whole and right, but for some of its files.
fn check(ours: &Library, directory: &PartialDirectory, contents: &[Arc<Vec<u8>>], without: &[usize]) {
    let share_as = without.is_empty().then(|| "dir".to_owned());
    let options = FinishOptions { replace: Replace::Never, share_as };
    directory.finish(&ours.path("dir"), &options).unwrap();
    for (index, entry) in directory.manifest().entries().iter().enumerate() {
        let found = std::fs::read(ours.path("dir").join(entry.path.as_str()));
        match without.contains(&index) {
            true => assert!(found.is_err(), "{index}"),
            false => assert!(found.unwrap() == **contents[index], "{index}"),
        }
    }
}

fn placed(events: &[BundleEvent]) -> (u64, u64) {
    let mut sum = (0, 0);
    for event in events {
        if let BundleEvent::Placed { files, bytes, .. } = event {
            sum = (sum.0 + files, sum.1 + bytes);
        }
    }
    sum
}

#[tokio::test]
async fn a_directory_takes_few_requests_and_few_events() {
    let (theirs, ours, pool) = (Library::new(), Library::new(), Threads::start());
    let contents = contents(2000);
    for (at, data) in contents.iter().enumerate() {
        std::fs::write(theirs.path(&format!("{at}")), data.as_slice()).unwrap();
    }
    let folder = theirs.path("");
    theirs.store.publish(&folder, &Default::default(), &(), &shoal_store::Cancel::new()).unwrap();
    let provider = Provider::start(&theirs.store, &pool).await;
    let (node, _) = Node::start(Config::default()).await;
    let source = Source {
        peer: provider.node.id,
        addresses: vec![provider.node.address.clone()],
        holding: None,
        is_guess: false,
    };
    let directory = directory(&ours, manifest(&contents));
    let opener = Arc::new(node.opener.clone());
    let (result, events) = get(&directory, opener, &pool, vec![source], FetchOptions::default()).await;
    let bundled = result.unwrap();
    assert!(bundled.left.is_empty() && bundled.silent.is_empty(), "{bundled:?}");
    let bytes = contents.iter().map(|data| data.len() as u64).sum();
    assert_eq!(placed(&events), (2000, bytes));
    assert!(events.len() < 200, "{} events", events.len());
    let requests = provider.served.requests.load(Ordering::Relaxed);
    let streams = provider.served.streams.load(Ordering::Relaxed);
    assert!(requests <= 40 && streams <= 2, "{requests} requests on {streams} streams");
    check(&ours, &directory, &contents, &[]);
}

/// One peer that does something wrong, beside a good one.
#[tokio::test]
async fn whatever_one_peer_does_a_good_one_brings_the_rest() {
    let all = contents(300);
    let wrong = [
        Script { flips: Some(0), ..Script::default() },
        Script { ends: Some(Mark::Changed), ..Script::default() },
        Script { stops: Some((400, Stop::Cut)), ..Script::default() },
        Script { stops: Some((400, Stop::Say(Mark::Failed))), ..Script::default() },
        Script { holds: Some(GroupRanges::from(0..1)), ..Script::default() },
        Script { refuses: Some((Header::Busy, 2)), ..Script::default() },
        Script { refuses: Some((Header::BadRequest, usize::MAX)), ..Script::default() },
        Script { tail: 5, ..Script::default() },
        Script { mute: true, ..Script::default() },
    ];
    let tries = wrong.into_iter().map(|script| async {
        let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
        let directory = directory(&ours, manifest(&all));
        let context = format!("{script:?}");
        let sources = vec![peers.add_holder(&all, script), peers.add_holder(&all, Script::default())];
        let (result, events) = get(&directory, peers.clone(), &pool, sources, FetchOptions::default()).await;
        assert!(result.unwrap().left.is_empty(), "{context}");
        assert_eq!(placed(&events).0, 300, "{context}");
        // To hold little is no fault.
        assert!(peers.faults() > 0 || context.contains("holds: Some"), "{context}");
        check(&ours, &directory, &all, &[]);
        let bad = events.iter().filter(|event| matches!(event, BundleEvent::Bad { .. })).count();
        assert_eq!(bad > 0, context.contains("flips: Some(0)"), "{context}");
        assert!(bad <= 6, "a liar is dropped: {bad}");
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn what_nobody_brings_is_left_and_nothing_else() {
    let all = contents(200);
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    let mut entries = manifest(&all).entries().to_vec();
    // One is listed with a size that it does not have.
    entries[7].size += 1;
    let directory = directory(&ours, Manifest::new(entries).unwrap());
    let lacking: Vec<_> =
        all.iter().enumerate().filter(|(at, _)| at % 50 != 0).map(|(_, data)| data.clone()).collect();
    let half = all.iter().take(100).cloned().collect::<Vec<_>>();
    let sources =
        vec![peers.add_holder(&lacking, Script::default()), peers.add_holder(&half, Script::default())];
    let (result, events) = get(&directory, peers.clone(), &pool, sources, FetchOptions::default()).await;
    let left = result.unwrap().left;
    assert_eq!(left, [7, 100, 150]);
    assert_eq!(placed(&events).0, 197);
    check(&ours, &directory, &all, &left);

    let ours = Library::new();
    let directory = self::directory(&ours, manifest(&all));
    let (result, _) = get(&directory, peers, &pool, vec![], FetchOptions::default()).await;
    assert_eq!(result.unwrap().left.len(), 200, "without anybody to ask");
}

#[tokio::test]
async fn a_liar_alone_is_named_and_asked_for_little() {
    let all = contents(300);
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    let directory = directory(&ours, manifest(&all));
    let liar = peers.add_holder(&all, Script { flips: Some(0), ..Script::default() });
    let (result, events) =
        get(&directory, peers.clone(), &pool, vec![liar.clone()], FetchOptions::default()).await;
    assert_eq!(result.unwrap().left.len(), 300);
    assert_eq!(placed(&events), (0, 0));
    let dropped = events.iter().find_map(|event| match event {
        BundleEvent::Dropped(dropped) => Some(dropped.clone()),
        _ => None,
    });
    let dropped = dropped.unwrap();
    assert_eq!((dropped.peer, dropped.reason), (liar.peer, Failure::BadBytes { group: Some(0) }));
    assert!(peers.received() < 20 * GROUP_LEN * 64, "{}", peers.received());
}

#[tokio::test]
async fn with_nobody_but_a_mute_peer_it_ends_in_time() {
    let all = contents(5);
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    let directory = directory(&ours, manifest(&all));
    let mute = peers.add_holder(&all, Script { mute: true, ..Script::default() });
    let mut options = FetchOptions::default();
    options.timeout = Duration::from_millis(300);
    let (result, _) = get(&directory, peers.clone(), &pool, vec![mute.clone()], options).await;
    let Err(BundleError::TimedOut { silent, .. }) = result else { panic!("{result:?}") };
    assert_eq!(silent, [mute.peer]);
}

#[tokio::test]
async fn what_fits_a_bundle_takes_one_round_trip_whatever_the_number() {
    for count in [1, 10, 100] {
        let all: Vec<_> = (0..count).map(|seed| Arc::new(bytes(1000, seed + 1))).collect();
        let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
        let directory = directory(&ours, manifest(&all));
        let source = peers.add_holder(&all, Script::default());
        let (result, _) = get(&directory, peers.clone(), &pool, vec![source], FetchOptions::default()).await;
        assert!(result.unwrap().left.is_empty());
        assert_eq!(peers.turns(), 1, "{count} files");
    }
}
