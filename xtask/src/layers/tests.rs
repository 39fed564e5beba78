//! Reading the listing that `cargo tree --prefix none` prints.

use super::*;

const LISTING: &str = "\
shoal-store v0.1.0 (/somewhere/store)
bao-tree v0.17.0
blake3 v1.8.7
blake3 v1.8.7 (*)
tokio-util v0.7.16
tokyo v1.0.0
";

#[test]
fn a_forbidden_family_is_found_once_and_its_namesakes_are_not() {
    assert_eq!(look_for(&["libp2p", "tokio"], LISTING), (5, vec!["tokio-util"]));
}

#[test]
fn a_clean_listing_has_nothing_to_tell() {
    assert_eq!(look_for(&["libp2p"], LISTING), (5, vec![]));
}
