//! Many paths at once, against one at a time.

use std::{fs, sync::Arc};

use super::*;
use crate::{
    files::fault::Faults,
    testing::{Home, pattern},
};

type Outcomes = Vec<Result<Published, PublishError>>;

fn publish_all(store: &Store, paths: &[PathBuf]) -> Outcomes {
    let mut outcomes = Vec::new();
    store.publish_all(paths, &PublishOptions::default(), &(), &Cancel::new(), |at, outcome| {
        assert_eq!(at, outcomes.len(), "in their order");
        outcomes.push(outcome);
    });
    outcomes
}

fn cids(outcomes: &Outcomes) -> Vec<Option<Cid>> {
    outcomes.iter().map(|outcome| outcome.as_ref().ok().map(|published| published.cid)).collect()
}

/// Files short and long, folders, and paths that cannot be published.
fn paths(home: &Home) -> Vec<PathBuf> {
    let mut paths: Vec<_> = (0..50)
        .map(|number| home.write(&format!("short/{number}"), format!("{number}").as_bytes()))
        .collect();
    home.write("folder/file", b"in a folder");
    paths.insert(10, home.path("folder"));
    paths.insert(20, home.path("nothing"));
    paths.insert(30, home.write("long", &pattern(WIDE_LEN, 1)));
    paths.insert(40, home.path("store/lock"));
    paths.insert(45, paths[44].clone());
    paths
}

#[test]
fn many_are_published_as_each_would_be_alone() {
    let (home, one_by_one) = (Home::new(), Home::new());
    let paths = paths(&home);
    let store = home.open();
    let outcomes = publish_all(&store, &paths);
    let alone = one_by_one.open();
    let expected: Vec<_> = paths
        .iter()
        .map(|path| {
            if path.ends_with("lock") {
                None
            } else {
                alone.publish(path, &PublishOptions::default(), &(), &Cancel::new()).ok()
            }
        })
        .map(|published| published.map(|published| published.cid))
        .collect();
    assert_eq!(cids(&outcomes), expected);
    assert!(matches!(outcomes[20], Err(PublishError::Read { .. })));
    assert!(matches!(outcomes[40], Err(PublishError::Refused { .. })));
    let shares = |store: &Store| {
        let shares = store.shares().unwrap().into_iter();
        shares
            .map(|share| (share.cid, share.path, share.name, share.size, share.files, share.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(&store), shares(&alone));
    assert_eq!(shares(&store).len(), 52);

    let again = publish_all(&store, &paths);
    assert_eq!(cids(&again), expected);
    let again = again.into_iter().flatten();
    assert!(
        again
            .inspect(|published| assert_eq!(published.hashed_bytes, 0))
            .all(|published| published.unchanged_files == 1)
    );
    drop(store);
    fs::remove_file(home.path("store/clean")).unwrap();
    assert!(home.open().lost().is_empty() && shares(&home.open()) == shares(&alone));
}

#[test]
fn what_changed_is_read_again_and_the_rest_is_not() {
    let home = Home::new();
    let paths: Vec<_> = ["a", "b", "c"].map(|name| home.write(name, name.as_bytes())).to_vec();
    let store = home.open();
    publish_all(&store, &paths);
    home.write("b", b"other");
    let again = publish_all(&store, &paths);
    let hashed: Vec<_> = again.iter().flatten().map(|published| published.hashed_bytes).collect();
    assert_eq!(hashed, [0, 5, 0]);
    assert!(store.blob(&shoal_content::Digest::of(b"b")).unwrap().is_none(), "nothing has it any more");
}

#[test]
fn a_disk_that_fails_leaves_all_of_it_or_what_was_told() {
    let calls = {
        let home = Home::new();
        drop(home.open());
        let faults = Arc::new(Faults::default());
        let store = home.open_on(&faults).unwrap();
        publish_all(&store, &paths(&home)[..8]);
        faults.calls()
    };
    let mut injected = 0;
    for number in (0..calls).step_by(3) {
        let home = Home::new();
        drop(home.open());
        let paths = &paths(&home)[..8];
        let faults = Arc::new(Faults::once(number));
        let Ok(store) = home.open_on(&faults) else { continue };
        let told: Vec<_> = cids(&publish_all(&store, paths));
        drop(store);
        injected += faults.injected();
        let store = home.open();
        let shared: Vec<_> = store.shares().unwrap().into_iter().map(|share| share.cid).collect();
        assert!(told.iter().flatten().all(|cid| shared.contains(cid)), "call {number}: {told:?}");
        assert!(cids(&publish_all(&store, paths)).iter().all(Option::is_some));
    }
    assert!(injected > 5, "{injected} faults");
}
