//! How a node starts: what it is made of, and the tasks that it runs until it stops.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use libp2p::{Multiaddr, PeerId, Swarm, identity::Keypair};
use shoal_content::{Digest, NetworkName};
use shoal_dht::RecordChange;
use shoal_store::{OpenError, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    announce::{self, Announcer},
    config::Builder,
    error::StartError,
    events::Sink,
    get::Flights,
    hint::Unreached,
    home::Home,
    inner::{Inner, Traffic},
    join,
    library::Library,
    listen,
    net::{self, Behaviour, Book, Driver, Parts, Wiring},
    publish,
    rates::Pacers,
    seek::Former,
    serve,
    strangers::Keeper,
    tasks::Tasks,
};

/// Contents found changed or missing that wait to be withdrawn. What does not fit is found again when it is asked for.
const BROKEN: usize = 256;

/// How often left-overs are cleared away.
const TIDYING: Duration = Duration::from_secs(24 * 3600);

/// How long a start waits for the store while a node that had this home ends, and how often it looks.
const STORE_IN_USE: Duration = Duration::from_secs(3);
const STORE_RETRY: Duration = Duration::from_millis(10);

/// What the home keeps, as it is when the node starts.
struct Opened {
    home: Home,
    key: Keypair,
    store: Store,
    book: Book,
    former: Former,
    /// How far announcing had come.
    progress: Option<Vec<u8>>,
}

/// The ends of a node that one task each takes over.
struct Ends {
    driver: Driver,
    library: Library,
    incoming: shoal_transfer::Incoming,
    broken: mpsc::Receiver<Digest>,
    record_changes: mpsc::Receiver<Vec<RecordChange>>,
    unkept: watch::Sender<Option<String>>,
    unreached: watch::Sender<Vec<Unreached>>,
    /// The peers that an earlier run knew, and where they were.
    known: Vec<(PeerId, Vec<Multiaddr>)>,
}

/// Starts a node; it runs until the guard is dropped, or until its tasks are told to stop.
pub(crate) async fn start(config: Builder) -> Result<(Arc<Inner>, DropGuard), StartError> {
    let tasks = Tasks::new();
    let last = tasks.stopping().clone().drop_guard();
    net::warm_up(&config, &tasks);
    let opened = open(&config, &tasks).await?;
    let mut parts = net::build(&config, &opened.key)?;
    listen::listen(&mut parts.swarm, &config)?;
    resume(&mut parts.swarm, &config, opened.progress.as_deref());

    let (inner, ends) = wire(config, tasks, opened, parts);
    let inner = Arc::new(inner);
    spawn_all(&inner, ends);
    if let Some(reason) = &inner.mdns_failure {
        tracing::warn!(%reason, "peers on the local network are not found by themselves; name one with --peer");
    }
    let mut listening = inner.net.listening.clone();
    drop(tokio::time::timeout(listen::READY, listening.wait_for(|addresses| !addresses.is_empty())).await);
    inner.tasks.spawn_until_stop("tidy up", tidy_up(inner.store.clone(), inner.tasks.clone()));
    inner.tasks.spawn_until_stop("restore", publish::restore(inner.clone()));
    Ok((inner, last))
}

/// Tells the overlays what they will hear of an earlier run, before they do anything else.
fn resume(swarm: &mut Swarm<Behaviour>, config: &Builder, progress: Option<&[u8]>) {
    let dht = &mut swarm.behaviour_mut().dht;
    dht.expect_records();
    let progress = progress.and_then(|row| announce::unpack_progress(&config.network, config.announce, row));
    if let Some(progress) = progress {
        dht.resume(&progress);
    }
}

/// Connects what a node is made of. Nothing runs yet.
fn wire(config: Builder, tasks: Tasks, opened: Opened, parts: Parts) -> (Inner, Ends) {
    let Opened { home, key, store, book, former, .. } = opened;
    let events = Sink::new();
    let network = config.network.clone();
    let known = book.recent();
    let (tell_broken, broken) = mpsc::channel(BROKEN);
    let (records, record_changes) = mpsc::channel(1);
    let (tell_unkept, unkept) = watch::channel(None);
    let (tell_unreached, unreached) = watch::channel(Vec::new());
    let library = Library::new(store.clone(), tasks.clone(), tell_broken, network.clone());
    let wiring = Wiring {
        records,
        rules: parts.rules,
        answer: serve::answers(library.clone()),
        save: net::saver(tasks.clone()),
        save_progress: announce::saver(tasks.clone(), store.clone(), network.clone(), config.announce),
        events: events.clone(),
        book,
        external: config.external.clone(),
        protocol_version: net::protocol_version(&network),
        stop: tasks.stopping().clone(),
    };
    let (driver, net) = Driver::new(parts.swarm, wiring);
    let started = Instant::now();
    let announcer = Announcer {
        net: net.clone(),
        store: store.clone(),
        tasks: tasks.clone(),
        network,
        started,
        policy: config.announce,
    };
    let inner = Inner {
        paths: home.paths().clone(),
        home: Mutex::new(Some(home)),
        me: key.public().to_peer_id(),
        store,
        net,
        opener: parts.opener,
        tasks,
        events,
        announcer,
        traffic: Traffic::default(),
        flights: Flights::default(),
        former,
        pacers: Pacers::new(config.rates),
        started,
        mdns_failure: parts.mdns_failure,
        unreached,
        unkept,
        jobs: watch::Sender::new(0),
        stop_asked: CancellationToken::new(),
        trust: Mutex::default(),
        config,
    };
    let ends = Ends {
        driver,
        library,
        incoming: parts.incoming,
        broken,
        record_changes,
        unkept: tell_unkept,
        unreached: tell_unreached,
        known,
    };
    (inner, ends)
}

/// Spawns what runs for as long as the node does.
fn spawn_all(inner: &Inner, ends: Ends) {
    let Inner { config, tasks, net, announcer, .. } = inner;
    let Ends { driver, library, incoming, broken, record_changes, unkept, unreached, known } = ends;
    tasks.spawn("network", driver.run());
    let keeper = Keeper {
        net: net.clone(),
        tasks: tasks.clone(),
        network: config.network.clone(),
        path: inner.paths.records.clone(),
        unkept,
    };
    tasks.spawn("records", keeper.run(record_changes));
    let (traffic, pacers) = (inner.traffic.clone(), inner.pacers.clone());
    let limits = config.limits.of_transfer();
    let serving = serve::serve_all(incoming, library, tasks.clone(), traffic, pacers, limits);
    tasks.spawn_until_stop("serve", serving);
    let withdrawing = announcer.clone().withdraw_broken(broken, inner.events.clone());
    tasks.spawn_until_stop("withdraw", withdrawing);
    tasks.spawn_until_stop("announce", announcer.clone().keep_announced());
    tasks.spawn("holders", inner.former.clone().write_at_the_end(tasks.clone()));
    let (network, named) = (config.network.clone(), config.peers.clone());
    let joining = join::stay_joined(net.clone(), network, named, known, unreached);
    tasks.spawn_until_stop("join", joining);
}

/// Takes the home for this process and opens what it keeps.
async fn open(config: &Builder, tasks: &Tasks) -> Result<Opened, StartError> {
    let place = config.home.clone().ok_or(StartError::NoHome)?;
    let network = config.network.clone();
    let opening = tasks.blocking(move || {
        let home = Home::open(place)?;
        let key = home.identity()?;
        let store = open_store(&home, &network)?;
        let book = Book::open(home.paths().peers.clone(), SystemTime::now());
        let former = Former::open(home.paths().holders.clone());
        // Without it, everything is announced anew.
        let progress = store.progress().unwrap_or_default();
        Ok(Opened { home, key, store, book, former, progress })
    });
    opening.await.ok_or(StartError::Stopped)?
}

/// Opens the store of a home that this process holds. Whoever still has it open is a node whose last handle was dropped a
/// moment ago, or that did not end in time.
fn open_store(home: &Home, network: &NetworkName) -> Result<Store, OpenError> {
    let patience = Instant::now() + STORE_IN_USE;
    loop {
        match Store::open(&home.paths().store, network) {
            Err(OpenError::InUse { .. }) if Instant::now() < patience => std::thread::sleep(STORE_RETRY),
            opened => return opened,
        }
    }
}

/// Clears away what killed processes and removed parts left in the store: soon after the start, and once a day.
async fn tidy_up(store: Store, tasks: Tasks) {
    loop {
        let store = store.clone();
        match tasks.long(move || store.collect()).await {
            Some(Ok(0)) | None => {}
            Some(Ok(count)) => tracing::debug!(count, "left-overs were cleared away"),
            Some(Err(error)) => tracing::warn!(%error, "left-overs could not be cleared away"),
        }
        tokio::time::sleep(TIDYING).await;
    }
}
