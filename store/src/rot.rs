//! What happens when the disk eats pieces of the store's own files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use shoal_content::{Decoder, Digest, GroupRanges, Step};

use crate::{
    Blob, Cancel, FinishOptions, PublishOptions, ShareState, Store,
    db::DATABASE,
    testing::{Home, Sender, pattern},
};

const ROUNDS: u64 = 40;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        let hash = blake3::hash(&self.0.to_le_bytes());
        u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % sides
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Flips some bytes of a file, cuts it, or removes it.
fn damage(path: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    match dice.roll(8) {
        0 => return fs::remove_file(path).unwrap(),
        1 => bytes.truncate(usize::try_from(dice.roll(bytes.len() as u64 + 1)).unwrap()),
        _ if bytes.is_empty() => {}
        _ => {
            for _ in 0..=dice.roll(20) {
                let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
                bytes[at] ^= u8::try_from(1 + dice.roll(255)).unwrap();
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Whether a receiver would get all of a blob.
fn is_whole(blob: &Blob, digest: Digest) -> bool {
    let mut decoder = Decoder::new(digest, blob.tree(), &GroupRanges::all(u64::MAX));
    while let Some(step) = decoder.next_step() {
        let pushed = match step {
            Step::Parent { index, .. } => {
                blob.parent(index).is_ok_and(|pair| decoder.push_parent(&pair).is_ok())
            }
            Step::Leaf { offset, len, .. } => {
                let mut bytes = vec![0; len];
                blob.read_at(offset, &mut bytes).is_ok() && decoder.push_leaf(&bytes).is_ok()
            }
        };
        if !pushed {
            return false;
        }
    }
    true
}

fn heal(home: &Home, store: &Store, files: &[Sender]) {
    store.verify(&(), &Cancel::new()).unwrap();
    store.publish(&home.path("dir"), &PublishOptions::default(), &(), &Cancel::new()).unwrap();
    assert_eq!(store.shares().unwrap()[0].state, ShareState::Ok);
    for sender in files {
        assert!(is_whole(&store.blob(&sender.digest).unwrap().unwrap(), sender.digest));
    }
    let received = Sender::new(pattern(3_000_000, 9));
    let part = home.path(".received.shoal-part");
    let partial = store.partial(&received.digest, &part).unwrap();
    if received.send(&partial, &partial.missing()).is_err() {
        // What said that the part file is ours is gone, so it is the user's now.
        drop(partial);
        fs::remove_file(&part).unwrap();
        let partial = store.partial(&received.digest, &part).unwrap();
        received.send_all(&partial).unwrap();
        partial.finish(&home.path("received"), &FinishOptions::default()).unwrap();
    } else {
        partial.finish(&home.path("received"), &FinishOptions::default()).unwrap();
    }
    assert_eq!(fs::read(home.path("received")).unwrap(), received.data);
}

#[test]
fn a_store_that_rots_is_noticed_and_healed() {
    for seed in 0..ROUNDS {
        let home = Home::new();
        let files: Vec<Sender> = [10, 20_000, 2_000_000].map(|len| Sender::new(pattern(len, seed))).into();
        for (at, sender) in files.iter().enumerate() {
            home.write(&format!("dir/{at}"), &sender.data);
        }
        let store = home.open();
        store.publish(&home.path("dir"), &PublishOptions::default(), &(), &Cancel::new()).unwrap();
        let received = Sender::new(pattern(3_000_000, 9));
        let partial = store.partial(&received.digest, &home.path(".received.shoal-part")).unwrap();
        received.send(&partial, &GroupRanges::from(0..100)).unwrap();
        partial.sync().unwrap();
        drop((partial, store));

        let mut dice = Dice(seed << 32);
        let mut victims = files_below(&home.path("store"));
        if dice.roll(2) == 0 {
            victims.retain(|path| path.ends_with(DATABASE));
        }
        damage(&victims[usize::try_from(dice.roll(victims.len() as u64)).unwrap()], &mut dice);
        heal(&home, &home.open(), &files);
    }
}
