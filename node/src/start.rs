//! How a node starts: what it is made of, and the tasks that it runs until it stops.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use libp2p::identity::Keypair;
use shoal_store::Store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    announce::{self, Announcer},
    config::Builder,
    error::StartError,
    events::Sink,
    get::Flights,
    home::Home,
    inner::{Inner, Traffic},
    join,
    library::Library,
    listen,
    net::{self, Book, Driver, Wiring},
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

/// Starts a node; it runs until the guard is dropped, or until its tasks are told to stop.
pub(crate) async fn start(config: Builder) -> Result<(Arc<Inner>, DropGuard), StartError> {
    let tasks = Tasks::new();
    let last = tasks.stopping().clone().drop_guard();
    net::warm_up(&config, &tasks);
    let Opened { home, key, store, book, former, progress } = open(&config, &tasks).await?;
    let me = key.public().to_peer_id();
    let mut parts = net::build(&config, &key)?;
    listen::listen(&mut parts.swarm, &config)?;

    let events = Sink::new();
    let known = book.recent();
    let (broken, found_broken) = mpsc::channel(BROKEN);
    let library = Library::new(store.clone(), tasks.clone(), broken, config.network.clone());
    let (records, record_changes) = mpsc::channel(1);
    // A node that is gone in a moment learns nothing worth keeping.
    let keeps_records = !config.transient;
    if keeps_records {
        parts.swarm.behaviour_mut().dht.expect_records();
    }
    let progress = progress.and_then(|row| announce::unpack_progress(&config.network, config.announce, &row));
    if let Some(progress) = progress {
        parts.swarm.behaviour_mut().dht.resume(&progress);
    }
    let wiring = Wiring {
        records,
        rules: parts.rules,
        answer: serve::answers(library.clone()),
        save: net::saver(tasks.clone()),
        save_progress: announce::saver(tasks.clone(), store.clone(), config.network.clone(), config.announce),
        events: events.clone(),
        book,
        external: config.external.clone(),
        protocol_version: net::protocol_version(&config.network),
        stop: tasks.stopping().clone(),
    };
    let (driver, net) = Driver::new(parts.swarm, wiring);
    let started = Instant::now();
    let announcer = Announcer {
        net: net.clone(),
        store: store.clone(),
        tasks: tasks.clone(),
        network: config.network.clone(),
        started,
        policy: config.announce,
    };
    let traffic = Traffic::default();
    let pacers = Pacers::new(config.rates);

    tasks.spawn("network", driver.run());
    let (tell_unkept, unkept) = watch::channel(None);
    if keeps_records {
        let (path, network) = (home.paths().records.clone(), config.network.clone());
        let keeper = Keeper { net: net.clone(), tasks: tasks.clone(), network, path, unkept: tell_unkept };
        tasks.spawn("records", keeper.run(record_changes));
    }
    let limits = config.limits.of_transfer();
    let serving =
        serve::serve_all(parts.incoming, library, tasks.clone(), traffic.clone(), pacers.clone(), limits);
    tasks.spawn_until_stop("serve", serving);
    tasks.spawn_until_stop("withdraw", announcer.clone().withdraw_broken(found_broken, events.clone()));
    tasks.spawn_until_stop("announce", announcer.clone().keep_announced());
    tasks.spawn("holders", former.clone().write_at_the_end(tasks.clone()));
    let (tell, unreached) = watch::channel(Vec::new());
    let named = config.peers.clone();
    let joining = join::stay_joined(net.clone(), config.network.clone(), named, known, tell);
    tasks.spawn_until_stop("join", joining);
    if let Some(reason) = &parts.mdns_failure {
        tracing::warn!(%reason, "peers on the local network are not found by themselves; name one with --peer");
    }
    let mut listening = net.listening.clone();
    drop(tokio::time::timeout(listen::READY, listening.wait_for(|addresses| !addresses.is_empty())).await);

    let inner = Arc::new(Inner {
        paths: home.paths().clone(),
        home: Mutex::new(Some(home)),
        config,
        me,
        store,
        net,
        opener: parts.opener,
        tasks,
        events,
        announcer,
        traffic,
        flights: Flights::default(),
        former,
        pacers,
        started,
        mdns_failure: parts.mdns_failure,
        unreached,
        unkept,
        jobs: watch::Sender::new(0),
        stop_asked: CancellationToken::new(),
        trust: Mutex::default(),
    });
    inner.tasks.spawn_until_stop("tidy up", tidy_up(inner.store.clone(), inner.tasks.clone()));
    inner.tasks.spawn_until_stop("restore", publish::restore(inner.clone()));
    Ok((inner, last))
}

/// Takes the home for this process and opens what it keeps.
async fn open(config: &Builder, tasks: &Tasks) -> Result<Opened, StartError> {
    let place = config.home.clone().ok_or(StartError::NoHome)?;
    let network = config.network.clone();
    let opening = tasks.blocking(move || {
        let home = Home::open(place)?;
        let key = home.identity()?;
        let store = Store::open(&home.paths().store, &network)?;
        let book = Book::open(home.paths().peers.clone(), SystemTime::now());
        let former = Former::open(home.paths().holders.clone());
        // Without it, everything is announced anew.
        let progress = store.progress().unwrap_or_default();
        Ok(Opened { home, key, store, book, former, progress })
    });
    opening.await.ok_or(StartError::Stopped)?
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
