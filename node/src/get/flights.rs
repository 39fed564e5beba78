//! Lets gets of one content go one after the other, so that it comes over the network once.
//!
//! Owns: who receives which content now. Hears: gets that want to. Tells: each when it is its turn, and where a copy
//! is. Ends: a turn ends with its [`Turn`], however that get ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shoal_content::Digest;
use shoal_store::Partial;
use tokio::sync::OwnedMutexGuard;

/// The contents that are being received. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Digest, Wanted>>>);

/// One content that some gets want.
#[derive(Debug, Default)]
struct Wanted {
    /// How many of them: with the last one it is forgotten. Counted here and not by the clones of the flight, which do not
    /// go under the lock.
    gets: usize,
    flight: Arc<Flight>,
}

/// One content that is being received.
#[derive(Debug, Default)]
struct Flight {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What the one whose turn it is has, or what the last one had if that is whole.
    partial: Mutex<Option<Partial>>,
}

impl Flight {
    fn partial(&self) -> MutexGuard<'_, Option<Partial>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to receive a content, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    flights: Flights,
    digest: Digest,
    flight: Arc<Flight>,
    /// Missing where the get before this one made no progress for too long: then both go on.
    turn: Option<OwnedMutexGuard<()>>,
    /// What the one before has received, if that is all.
    pub(crate) copy: Option<Partial>,
}

impl Flights {
    /// Waits until nobody else receives this content, or whoever does has received nothing for as long as `patience`.
    /// Calls `waiting` if it has to wait.
    pub(crate) async fn turn(&self, partial: &Partial, patience: Duration, waiting: impl FnOnce()) -> Turn {
        let digest = partial.digest();
        let flight = self.enter(digest);
        let mut turn = Turn { flights: self.clone(), digest, flight, turn: None, copy: None };
        let ours = match turn.flight.turn.clone().try_lock_owned() {
            Ok(ours) => Some(ours),
            Err(_) => {
                waiting();
                wait(&turn.flight, patience).await
            }
        };
        if ours.is_some() {
            turn.copy = turn.flight.partial().replace(partial.clone());
        }
        turn.turn = ours;
        turn
    }

    fn enter(&self, digest: Digest) -> Arc<Flight> {
        let mut flights = self.lock();
        let wanted = flights.entry(digest).or_default();
        wanted.gets += 1;
        wanted.flight.clone()
    }

    fn leave(&self, digest: &Digest) {
        let mut flights = self.lock();
        if let Some(wanted) = flights.get_mut(digest) {
            wanted.gets -= 1;
            if wanted.gets == 0 {
                flights.remove(digest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait(flight: &Flight, patience: Duration) -> Option<OwnedMutexGuard<()>> {
    let received = || flight.partial().as_ref().map(Partial::received);
    let mut turn = std::pin::pin!(flight.turn.clone().lock_owned());
    let mut before = received();
    loop {
        match tokio::time::timeout(patience, &mut turn).await {
            Ok(ours) => return Some(ours),
            Err(_) => {
                let now = received();
                if now == before {
                    return None;
                }
                before = now;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.turn.is_some() {
            // A part that is not whole must be free for the next get of the same target.
            let mut partial = self.flight.partial();
            if partial.as_ref().is_some_and(|partial| !partial.is_complete()) {
                *partial = None;
            }
        }
        self.flights.leave(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use shoal_content::NetworkName;
    use shoal_store::Store;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    struct World {
        flights: Flights,
        store: Store,
        folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("store"), &NetworkName::default()).unwrap();
            Self { flights: Flights::default(), store, folder }
        }

        fn partial(&self, name: &str) -> Partial {
            self.store.partial(&Digest::of(b""), &self.folder.path().join(name)).unwrap()
        }
    }

    #[tokio::test]
    async fn the_second_waits_and_finds_what_the_first_has() {
        let world = World::new();
        let (one, two) = (world.partial("one"), world.partial("two"));
        let first = world.flights.turn(&one, PATIENCE, || panic!("there is nobody to wait for")).await;
        assert!(first.copy.is_none());
        let mut second = Box::pin(world.flights.turn(&two, PATIENCE, || {}));
        assert!(second.as_mut().now_or_never().is_none());

        // The empty content is whole once its size is claimed.
        one.claim_size(0).unwrap();
        one.write(&[shoal_store::Verified::Leaf { group: 0, bytes: b"" }]).unwrap();
        assert!(one.is_complete());
        drop(first);
        let second = second.await;
        assert!(second.copy.as_ref().is_some_and(Partial::is_complete));
        drop(second);
        assert!(world.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn one_that_was_cut_off_leaves_its_part_free() {
        let world = World::new();
        let (one, two) = (world.partial("one"), world.partial("two"));
        let first = world.flights.turn(&one, PATIENCE, || {}).await;
        let second = world.flights.turn(&two, PATIENCE, || {});
        drop((first, one));
        let second = second.await;
        assert!(second.copy.is_none());
        drop(world.partial("one"));
        drop(second);
        assert!(world.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn one_that_is_dropped_while_it_waits_leaves_nothing_behind() {
        let world = World::new();
        let (one, two) = (world.partial("one"), world.partial("two"));
        let first = world.flights.turn(&one, PATIENCE, || {}).await;
        let mut second = Box::pin(world.flights.turn(&two, PATIENCE, || {}));
        assert!(second.as_mut().now_or_never().is_none());
        // In this order, as when a get of a directory is dropped that has the same file twice.
        drop(first);
        drop(second);
        assert!(world.flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_one_that_does_not_move() {
        let world = World::new();
        let (one, two) = (world.partial("one"), world.partial("two"));
        let _first = world.flights.turn(&one, PATIENCE, || {}).await;
        let second = world.flights.turn(&two, PATIENCE, || {}).await;
        assert!(second.turn.is_none() && second.copy.is_none());
        // It goes without taking the turn of the first.
        drop(second);
        assert_eq!(world.flights.lock().len(), 1);
    }
}
