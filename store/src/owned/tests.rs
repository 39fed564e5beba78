//! Tests of small blobs.

use shoal_content::MAX_ROOT_LEN;

use super::*;
use crate::{
    WriteError,
    db::{Holder, Write},
    testing::{Home, Sender, pattern, read_verified},
};

#[test]
fn a_small_blob_is_read_as_any_other() {
    let home = Home::new();
    let store = home.open();
    for len in [0, 1, 40_000, MAX_ROOT_LEN] {
        let bytes = pattern(len as u64, 1);
        let digest = Digest::of(&bytes);
        let own = |write: &mut Write<'_>| {
            write.own(&digest, &bytes)?;
            write.hold(&digest, &row(&bytes), Holder::Share(&home.path("dir")))
        };
        store.inner.db.write(own).unwrap();
        assert_eq!(store.small(&digest).unwrap().as_deref(), Some(bytes.as_slice()));
        assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), bytes);
    }
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
