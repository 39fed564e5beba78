//! One directory has one encoding, and no other bytes decode.

use proptest::{collection::vec, option, prelude::*};
use serde_bytes::Bytes;

use super::*;

pub(super) fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

pub(super) fn entry(text: &str) -> Entry {
    Entry { path: path(text), size: 5, digest: Digest::of(b"hello"), executable: false }
}

fn manifest(paths: &[&str]) -> Result<Manifest, ManifestError> {
    Manifest::new(paths.iter().map(|p| entry(p)).collect())
}

#[test]
fn golden_flat_manifest() {
    let mut entries = vec![entry("b/run.sh"), entry("a")];
    entries[0].executable = true;
    entries[0].size = 70_000;
    let encoded = Manifest::new(entries).unwrap().encode();
    let digest = Digest::of(b"hello");
    let mut expected = b"\x82\x01\x82\x84\x61a\x05\x58\x20".to_vec();
    expected.extend(digest.as_bytes());
    expected.extend(b"\x00\x84\x68b/run.sh\x1a\x00\x01\x11\x70\x58\x20");
    expected.extend(digest.as_bytes());
    expected.push(0x01);
    assert_eq!(encoded.root, expected);
    assert!(encoded.pages.is_empty());
    insta::assert_snapshot!(encoded.cid(), @"bafyr4ialoi5fbtvvmiywpcqjfeuc47d2mucegkjsmxsb2j656eucgouy5a");
    insta::assert_snapshot!(manifest(&[]).unwrap().encode().cid(), @"bafyr4ibbq2vgz36bvyxue64q4yndvoi4rblt633hdhfadcajrvubw3eazi");
}

#[test]
fn order_does_not_matter() {
    let sorted = manifest(&["B", "a", "a-b", "a.c/x", "é"]).unwrap();
    assert_eq!(manifest(&["é", "a.c/x", "a", "B", "a-b"]).unwrap(), sorted);
    assert_eq!(sorted.total_size(), 25);
    assert!(sorted.entries().is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn what_cannot_exist_on_a_disk_is_refused() {
    let twice = ManifestError::Duplicate { path: path("a/b") };
    assert_eq!(manifest(&["a/b", "a/c", "a/b"]), Err(twice));
    let both = |file: &str| Err(ManifestError::FileAndFolder { path: path(file) });
    assert_eq!(manifest(&["a", "a/b"]), both("a"));
    assert_eq!(manifest(&["a", "a-b", "a.b", "a/b"]), both("a"), "others sort between the two");
    assert_eq!(manifest(&["x/a", "x/a/b/c"]), both("x/a"));
    assert_eq!(manifest(&["x/a/a", "x/a/b/c", "x/a/b/d", "x/a"]), both("x/a"));
    assert!(manifest(&["a", "ab/c", "b/a/c", "b/ab"]).is_ok());
    let huge = ["a", "b"].map(|p| Entry { size: 1 << 63, ..entry(p) });
    assert_eq!(Manifest::new(huge.to_vec()), Err(ManifestError::TotalSize));
}

#[test]
fn a_million_files_are_the_most() {
    let full = Manifest::new((0..MAX_ENTRIES).map(|i| entry(&i.to_string())).collect()).unwrap();
    assert_eq!(full.entries().len(), MAX_ENTRIES);
    assert!(full.encode().root.len() <= MAX_ROOT_LEN);
    let one_more = vec![entry("a"); MAX_ENTRIES + 1];
    assert_eq!(Manifest::new(one_more), Err(ManifestError::TooManyEntries));
}

#[test]
fn a_root_that_no_one_would_fetch_is_not_made() {
    let folders = format!("{}/", "x".repeat(249)).repeat(4);
    let long = |i: usize| entry(&format!("{folders}{i:07}"));
    let result = Manifest::new((0..68_000).map(long).collect());
    assert_eq!(result.map(|_| ()), Err(ManifestError::TooLong));
}

#[test]
fn lengths_are_foretold() {
    for size in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        for name_len in [1, 23, 24, 255, 256, 1000] {
            let name: Vec<String> = vec!["n".repeat(200); name_len / 200 + 1];
            let entry = Entry { size, ..entry(&name.join("/")[..name_len]) };
            let len = wire::list_len(1, wire::entry_len(&entry));
            assert_eq!(wire::encode_flat(std::slice::from_ref(&entry)).len(), len, "{size} {name_len}");
            let page_ref = PageRef { first: entry.path, digest: entry.digest };
            let len = wire::list_len(1, wire::page_ref_len(&page_ref.first));
            assert_eq!(wire::encode_paged(&[page_ref]).len(), len);
        }
    }
    for count in [0, 23, 24, 255, 256] {
        let entries = vec![entry("a"); count];
        let len = wire::list_len(count, entries.iter().map(wire::entry_len).sum());
        assert_eq!(wire::encode_flat(&entries).len(), len, "{count}");
    }
}

/// Writes a flat manifest of any entries, as a hostile program would.
fn forge(entries: &[(&str, u64, &[u8], u64)]) -> Vec<u8> {
    let entries: Vec<_> =
        entries.iter().map(|&(path, size, digest, flags)| (path, size, Bytes::new(digest), flags)).collect();
    serde_ipld_dagcbor::to_vec(&(1, entries)).unwrap()
}

#[test]
fn hostile_bytes_are_refused_for_what_they_are() {
    use ManifestError::*;
    let check =
        |bytes: &[u8], error: ManifestError| assert_eq!(Root::decode(bytes), Err(error), "{bytes:02x?}");
    let digest = Digest::of(b"hello");
    let digest = digest.as_bytes().as_slice();
    let good = forge(&[("a", 5, digest, 0), ("b", 5, digest, 1)]);
    assert!(Root::decode(&good).is_ok());

    check(b"", Malformed);
    check(b"not a manifest", Malformed);
    check(&good[..good.len() - 1], Malformed);
    check(&[good.as_slice(), &[0]].concat(), Malformed);
    check(&[0x82, 0x03, 0x80], Version { version: 3 });
    check(&[0x82, 0x00, 0x80], Version { version: 0 });
    check(&[0x82, 0x18, 0x01, 0x80], Malformed);
    check(&[0x83, 0x01, 0x80, 0x80], Malformed);
    check(&[0x82, 0x01, 0x9f, 0xff], Malformed);
    // Four billion entries in seven bytes.
    check(&[0x82, 0x01, 0x9a, 0xff, 0xff, 0xff, 0xff], Malformed);
    check(&[0x82, 0x01, 0x81, 0x84, 0x7a, 0xff, 0xff, 0xff, 0xff], Malformed);

    check(&forge(&[("a", 5, &digest[1..], 0)]), Malformed);
    check(&forge(&[("a", 5, &[0; 33], 0)]), Malformed);
    check(&forge(&[("a", 5, digest, 2)]), Flags { path: path("a") });
    check(&forge(&[("a", 5, digest, 1 << 32)]), Flags { path: path("a") });
    check(&forge(&[("b", 5, digest, 0), ("a", 5, digest, 0)]), NotCanonical);
    check(&forge(&[("a", 5, digest, 0), ("a", 6, digest, 0)]), Duplicate { path: path("a") });
    check(&forge(&[("a", 5, digest, 0), ("a/b", 6, digest, 0)]), FileAndFolder { path: path("a") });
    check(&forge(&[("a", u64::MAX, digest, 0), ("b", 1, digest, 0)]), TotalSize);
    for text in ["", "..", "/etc/passwd", "a/../../b", "a\\b", "C:x", "a\0"] {
        let source = RelPath::parse(text).unwrap_err();
        check(&forge(&[(text, 5, digest, 0)]), Path { text: text.to_owned(), source });
    }

    check(&vec![0x82; MAX_ROOT_LEN + 1], TooLong);
    let refs = |refs: &[(&str, &[u8])]| {
        let refs: Vec<_> = refs.iter().map(|&(first, digest)| (first, Bytes::new(digest))).collect();
        serde_ipld_dagcbor::to_vec(&(2, refs)).unwrap()
    };
    assert!(Root::decode(&refs(&[("a", digest), ("b", digest)])).is_ok());
    check(&refs(&[("b", digest), ("a", digest)]), NotCanonical);
    check(&refs(&[("a", digest), ("a", digest)]), NotCanonical);
    check(&refs(&[("a", &[0; 20])]), Malformed);
    check(&refs(&[("..", digest)]), Path { text: "..".to_owned(), source: ParsePathError::Dots });
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(entries in vec((
        "[a-cé]{1,3}(/[a-c]{1,2}){0,3}", any::<u32>(), any::<[u8; 32]>(), any::<bool>(),
    ), 0..20)) {
        let entry = |(text, size, digest, executable): (String, u32, [u8; 32], bool)| Entry {
            path: path(&text),
            size: size.into(),
            digest: Digest::from_bytes(digest),
            executable,
        };
        let entries: Vec<Entry> = entries.into_iter().map(entry).collect();
        if let Ok(manifest) = Manifest::new(entries) {
            prop_assert_eq!(Root::decode(&manifest.encode().root), Ok(Root::Flat(manifest)));
        }
    }

    #[test]
    fn mutated_bytes_are_refused_or_are_the_one_way_to_write_a_manifest(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        inserted in option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = manifest(&["a", "b/c", "b/d"]).unwrap().encode().root;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some((at, byte)) = inserted {
            bytes.insert(at.index(bytes.len() + 1), byte);
        }
        match Root::decode(&bytes) {
            Ok(Root::Flat(manifest)) => prop_assert_eq!(manifest.encode().root, bytes),
            Ok(Root::Paged(pages)) => prop_assert!(pages.iter().len() > 0 || bytes.len() == 3),
            Err(_) => {}
        }
    }
}
