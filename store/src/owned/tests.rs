//! Tests of small blobs.

use super::*;
use crate::{
    Selector, WriteError,
    testing::{Home, Sender, pattern, publish, read_verified},
};

#[test]
fn a_small_blob_is_kept_until_the_store_is_tidied() {
    let home = Home::new();
    let store = home.open();
    for len in [0, 1, 40_000, MAX_ROOT_LEN] {
        let bytes = pattern(len as u64, 1);
        let digest = store.put_small(&bytes).unwrap();
        assert_eq!(store.small(&digest).unwrap().as_deref(), Some(bytes.as_slice()));
        assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), bytes);
    }
    assert_eq!(store.collect().unwrap(), 4);
    assert!(store.small(&Digest::of(b"")).unwrap().is_none());
    let long = store.put_small(&vec![0; MAX_ROOT_LEN + 1]);
    assert!(matches!(long, Err(SmallError::TooLong { .. })));
}

#[test]
fn a_kept_manifest_stays_for_those_who_need_it() {
    let home = Home::new();
    let store = home.open();
    home.write("dir/file", b"bytes");
    let cid = publish(&store, &home.path("dir")).cid;
    let bytes = store.small(&cid.digest()).unwrap().unwrap();
    store.put_small(&bytes).unwrap();
    store.collect().unwrap();
    assert!(store.small(&cid.digest()).unwrap().is_some());
    store.put_small(&bytes).unwrap();
    store.unpublish(&Selector::Cid(cid)).unwrap();
    assert!(store.small(&cid.digest()).unwrap().is_some());
    store.collect().unwrap();
    assert!(store.small(&cid.digest()).unwrap().is_none());
}

#[test]
fn a_manifest_is_received_to_memory_and_never_more_than_one() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(MAX_ROOT_LEN as u64, 1));
    let partial = store.partial_small(&sender.digest);
    let too_long = partial.claim_size(MAX_ROOT_LEN as u64 + 1);
    assert!(matches!(too_long, Err(WriteError::TooLong { .. })));
    sender.send_all(&partial).unwrap();
    let unfinished = store.partial_small(&sender.digest);
    unfinished.claim_size(MAX_ROOT_LEN as u64).unwrap();
    assert!(unfinished.into_small().is_err());
    assert_eq!(partial.into_small().unwrap(), sender.data);
}
