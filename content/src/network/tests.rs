//! Network names are strict, and provider keys depend on both the network and the content.

use super::*;

#[test]
fn names_are_short_and_plain() {
    for good in ["main", "a", "0", "-", "my-net-2", &"x".repeat(32)] {
        assert_eq!(NetworkName::parse(good).map(|n| n.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "Main", "a b", "a_b", "a/b", "é", "a\0", &"x".repeat(33)] {
        assert_eq!(bad.parse::<NetworkName>(), Err(ParseNetworkNameError), "{bad:?}");
    }
    assert_eq!(NetworkName::default().as_str(), "main");
}

#[test]
fn provider_keys_are_pinned() {
    let key = ProviderKey::derive(&NetworkName::default(), &Digest::of(b"hello"));
    let hex = "5ad31707a20903570c8cc0730e83d1e214546b22c1263c5005b72dca222eddf0";
    assert_eq!(format!("{key:?}"), format!("ProviderKey({hex})"));
    let material = [b"\x04main".as_slice(), Digest::of(b"hello").as_bytes()].concat();
    assert_eq!(key.as_bytes(), &blake3::derive_key("shoal provider v1", &material));
    assert_eq!(ProviderKey::from_bytes(*key.as_bytes()), key);
}

#[test]
fn provider_keys_differ_by_network_and_by_content() {
    let (main, demo) = (NetworkName::default(), NetworkName::parse("demo").unwrap());
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let keys = [(&main, a), (&main, b), (&demo, a), (&demo, b)].map(|(n, d)| ProviderKey::derive(n, &d));
    let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
    assert_eq!(distinct.len(), 4);
    assert!(keys.iter().all(|k| k.as_bytes() != a.as_bytes()), "the key is not the digest");
}
