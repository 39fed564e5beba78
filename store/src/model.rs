//! Random things done to a store and to the files that it shares, held against a simple model of both.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;
use shoal_content::{Digest, Entry, Manifest, RelPath};

use crate::{
    Selector, ShareState, Store,
    testing::{Home, pattern, publish, read_verified},
};

/// Paths that are published, each a file or a folder of the others.
const SHARES: [&str; 5] = ["d", "d/e", "d/a", "d/e/b", "c"];
const FILES: [&str; 4] = ["d/a", "d/e/b", "d/e/x", "c"];

/// Lengths with nothing, an inline hash tree and an outboard file.
const LENGTHS: [u64; 3] = [3, 40_000, 1_060_000];

#[derive(Clone, Debug)]
enum Deed {
    Write { file: usize, len: usize, seed: u64 },
    Remove { file: usize },
    Publish { share: usize },
    Unpublish { share: usize },
    Verify,
    Collect,
    Reopen,
}

fn deed() -> impl Strategy<Value = Deed> {
    let share = 0..SHARES.len();
    let file = 0..FILES.len();
    prop_oneof![
        4 => (file.clone(), 0..LENGTHS.len(), 0..3_u64).prop_map(|(file, len, seed)| Deed::Write { file, len, seed }),
        1 => file.prop_map(|file| Deed::Remove { file }),
        4 => share.clone().prop_map(|share| Deed::Publish { share }),
        2 => share.prop_map(|share| Deed::Unpublish { share }),
        1 => Just(Deed::Verify),
        1 => Just(Deed::Collect),
        1 => Just(Deed::Reopen),
    ]
}

type Contents = BTreeMap<&'static str, Vec<u8>>;

/// What is shared at a path: the files below it as they were then.
type Shares = BTreeMap<&'static str, Contents>;

fn below(files: &Contents, share: &str) -> Contents {
    let is_in = |file: &str| file == share || file.starts_with(&format!("{share}/"));
    files.iter().filter(|(file, _)| is_in(file)).map(|(file, bytes)| (*file, bytes.clone())).collect()
}

fn name(share: &str, contents: &Contents) -> Digest {
    if let Some(bytes) = contents.get(share) {
        return Digest::of(bytes);
    }
    let entry = |(file, bytes): (&&str, &Vec<u8>)| Entry {
        path: RelPath::parse(&file[share.len() + 1..]).unwrap(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        executable: false,
    };
    Manifest::new(contents.iter().map(entry).collect()).unwrap().encode().cid().digest()
}

fn act(deed: &Deed, home: &Home, store: &mut Option<Store>, files: &mut Contents, shares: &mut Shares) {
    let open = store.as_ref().unwrap();
    match *deed {
        Deed::Write { file, len, seed } => {
            let bytes = pattern(LENGTHS[len], seed);
            home.write(FILES[file], &bytes);
            files.insert(FILES[file], bytes);
        }
        Deed::Remove { file } => {
            let _was_not_there = fs::remove_file(home.path(FILES[file]));
            files.remove(FILES[file]);
        }
        Deed::Publish { share } => {
            let contents = below(files, SHARES[share]);
            if !contents.is_empty() {
                let published = publish(open, &home.path(SHARES[share]));
                assert_eq!(published.cid.digest(), name(SHARES[share], &contents));
                shares.insert(SHARES[share], contents);
            }
        }
        Deed::Unpublish { share } => {
            let gone = open.unpublish(&Selector::Path(home.path(SHARES[share]))).unwrap();
            assert_eq!(gone.len(), usize::from(shares.remove(SHARES[share]).is_some()));
        }
        Deed::Verify => drop(open.verify(&(), &crate::Cancel::new()).unwrap()),
        Deed::Collect => drop(open.collect().unwrap()),
        Deed::Reopen => {
            *store = None;
            *store = Some(home.open());
        }
    }
}

fn check(home: &Home, store: &Store, files: &Contents, shares: &Shares) {
    let listed = store.shares().unwrap();
    assert_eq!(listed.len(), shares.len());
    for (path, contents) in shares {
        let share = listed.iter().find(|share| share.path == home.path(path)).unwrap();
        assert_eq!(share.cid.digest(), name(path, contents));
        let is_whole = contents.iter().all(|(file, bytes)| files.get(file) == Some(bytes));
        // A file may have got a row for other bytes since, published by itself: then this share has changed even
        // once the old bytes are back.
        assert!(is_whole || share.state != ShareState::Ok);
        for (file, bytes) in contents {
            let digest = Digest::of(bytes);
            if let Ok(Some(blob)) = store.blob(&digest) {
                assert_eq!(&read_verified(&blob, digest), bytes);
            } else {
                assert!(share.state != ShareState::Ok, "{file}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_is_what_its_model_is(deeds in prop::collection::vec(deed(), 1..25)) {
        let home = Home::new();
        let mut store = Some(home.open());
        let (mut files, mut shares) = (Contents::new(), Shares::new());
        for deed in &deeds {
            act(deed, &home, &mut store, &mut files, &mut shares);
            check(&home, store.as_ref().unwrap(), &files, &shares);
        }
        let store = store.unwrap();
        // Publishing all again heals all, and taking all back leaves nothing.
        for path in shares.keys().copied().collect::<Vec<_>>() {
            let contents = below(&files, path);
            if contents.is_empty() {
                store.unpublish(&Selector::Path(home.path(path))).unwrap();
                shares.remove(path);
            } else {
                publish(&store, &home.path(path));
                shares.insert(path, contents);
            }
        }
        check(&home, &store, &files, &shares);
        prop_assert!(store.shares().unwrap().iter().all(|share| share.state == ShareState::Ok));
        for path in shares.keys() {
            store.unpublish(&Selector::Path(home.path(path))).unwrap();
        }
        prop_assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 0);
        prop_assert_eq!(fs::read_dir(home.path("store/outboards")).unwrap().count(), 0);
        prop_assert_eq!(store.collect().unwrap(), 0);
    }
}
