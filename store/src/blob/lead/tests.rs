//! Tests of blobs that are looked up with others: each is what it would have been by itself.

use std::{fs, path::Path};

use super::*;
use crate::{
    Selector,
    testing::{Home, pattern, publish, read_verified},
};

/// A published folder with files of every kind, and the digests of all in the order of their paths.
fn folder(home: &Home) -> (Store, Vec<Digest>) {
    let lens = [0, 1, GROUP_LEN, GROUP_LEN + 1, 100_000, 1 << 20, 3_000_000];
    let mut digests = Vec::new();
    for at in 0..40 {
        let data = pattern(lens[at % lens.len()], at as u64);
        home.write(&format!("shared/{}/{at:02}", at / 10), &data);
        digests.push(Digest::of(&data));
    }
    let store = home.open();
    publish(&store, &home.path("shared"));
    (store, digests)
}

fn place(home: &Home, at: usize) -> PathBuf {
    home.path(&format!("shared/{}/{at:02}", at / 10))
}

fn read(store: &Store, digest: &Digest, lead: Lead) -> Result<Option<Vec<u8>>, String> {
    let blob = store.blob_by(digest, lead).map_err(|error| error.to_string())?;
    Ok(blob.map(|blob| read_verified(&blob, *digest)))
}

#[test]
fn blobs_are_found_in_whatever_order_they_are_wanted() {
    let home = Home::new();
    let (store, digests) = folder(&home);
    let backwards: Vec<_> = digests.iter().rev().copied().collect();
    let every_fifth: Vec<_> = digests.iter().step_by(5).copied().collect();
    for wanted in [digests.clone(), backwards, every_fifth, vec![digests[7]]] {
        let leads = store.look_up(&wanted);
        assert_eq!(leads.len(), wanted.len());
        let known = leads.iter().filter(|lead| lead.0.is_some()).count();
        let different: BTreeSet<_> = wanted.iter().collect();
        assert_eq!(known, different.len(), "no file needs to be looked up again");
        for (digest, lead) in wanted.iter().zip(leads) {
            let bytes = read(&store, digest, lead).unwrap().unwrap();
            assert_eq!(Digest::of(&bytes), *digest);
        }
    }
}

#[test]
fn what_is_no_file_in_place_is_found_as_ever() {
    let home = Home::new();
    let (store, digests) = folder(&home);
    let manifest = store.shares().unwrap()[0].cid.digest();
    let nowhere = Digest::of(b"nowhere");
    let wanted = [nowhere, manifest, digests[3], digests[3]];
    let found: Vec<_> =
        wanted.iter().zip(store.look_up(&wanted)).map(|(digest, lead)| read(&store, digest, lead)).collect();
    assert_eq!(found[0], Ok(None));
    assert_eq!(Digest::of(found[1].as_ref().unwrap().as_ref().unwrap()), manifest);
    assert_eq!(found[2], found[3]);
    assert!(store.look_up(&[]).is_empty());
}

#[test]
fn a_lead_from_before_a_change_is_not_followed() {
    let home = Home::new();
    let (store, digests) = folder(&home);
    let leads = store.look_up(&digests);
    store.unpublish(&Selector::Path(home.path("shared"))).unwrap();
    for (digest, lead) in digests.iter().zip(leads) {
        assert_eq!(read(&store, digest, lead), Ok(None));
    }
}

#[test]
fn a_file_that_changed_since_is_noticed_and_a_copy_serves_for_it() {
    let home = Home::new();
    let (store, digests) = folder(&home);
    let copied = pattern(100_000, 4);
    assert_eq!(Digest::of(&copied), digests[4]);
    publish(&store, &home.write("copy", &copied));
    let leads = store.look_up(&digests);
    let edit = |path: &Path| fs::write(path, "edited").unwrap();
    [4, 10].iter().for_each(|at| edit(&place(&home, *at)));
    fs::remove_file(place(&home, 11)).unwrap();
    for (at, (digest, lead)) in digests.iter().zip(leads).enumerate() {
        match read(&store, digest, lead) {
            Ok(bytes) => assert_eq!(Digest::of(&bytes.unwrap()), *digest),
            Err(error) => assert_eq!(error, store.blob(digest).unwrap_err().to_string(), "{at}"),
        }
    }
    assert!(store.blob(&digests[10]).is_err() && store.blob(&digests[11]).is_err());
}

#[test]
fn rows_that_do_not_decode_are_in_nobody_s_way() {
    let home = Home::new();
    let (store, digests) = folder(&home);
    store.inner.db.write(|write| write.damage(None, Some(&place(&home, 5)))).unwrap();
    let leads = store.look_up(&digests);
    let different: BTreeSet<_> = digests.iter().collect();
    assert_eq!(leads.iter().filter(|lead| lead.0.is_some()).count(), different.len() - 1);
    for (at, (digest, lead)) in digests.iter().zip(leads).enumerate() {
        assert_eq!(read(&store, digest, lead).is_ok_and(|bytes| bytes.is_some()), at != 5, "{at}");
    }
}
