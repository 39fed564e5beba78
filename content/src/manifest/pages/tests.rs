//! Large directories are cut into pages in one way only, and small edits change few of them.

use std::collections::BTreeSet;

use super::{
    super::tests::{entry, path},
    *,
};

/// The entries of a directory of `count` files, too large for one blob from about 16,000.
fn large(count: usize) -> Vec<Entry> {
    (0..count).map(|i| entry(&format!("folder-{:03}/file-{i:07}.txt", i / 1000))).collect()
}

fn encoded(entries: &[Entry]) -> Encoded {
    Manifest::new(entries.to_vec()).unwrap().encode()
}

fn pages_of(encoded: &Encoded) -> Pages {
    match Root::decode(&encoded.root).unwrap() {
        Root::Paged(pages) => pages,
        Root::Flat(_) => panic!("a large manifest has pages"),
    }
}

#[test]
fn golden_paged_manifest() {
    let encoded = encoded(&large(20_000));
    let digest = Digest::of(&encoded.pages[0]);
    let head = [b"\x82\x02\x94\x82\x78\x1bfolder-000/file-0000000.txt\x58\x20", digest.as_bytes().as_slice()]
        .concat();
    assert_eq!(encoded.root[..head.len()], head);
    let lens: Vec<usize> = encoded.pages.iter().map(Vec::len).collect();
    insta::assert_snapshot!(encoded.cid(), @"bafyr4idsxpujb7y5muoyyxbksz746ncg7qws2inmhpmrfesjkosp5nny4y");
    assert_eq!(
        lens,
        [
            45677, 74783, 77489, 193913, 46865, 164081, 25745, 20135, 132797, 21587, 34391, 22907, 29243,
            113987, 90821, 59339, 74255, 31553, 21389, 39143
        ]
    );
}

#[test]
fn pages_assemble_to_the_manifest_they_were_cut_from() {
    let manifest = Manifest::new(large(20_000)).unwrap();
    let encoded = manifest.encode();
    let pages = pages_of(&encoded);
    assert_eq!(pages.iter().len(), encoded.pages.len());
    assert!(pages.iter().zip(&encoded.pages).all(|(r, page)| r.digest == Digest::of(page)));
    assert_eq!(pages.assemble(&encoded.pages), Ok(manifest));
}

#[test]
fn the_border_between_flat_and_paged_is_exact() {
    let mut entries = large(20_000);
    while flat_len(&entries) > MAX_ROOT_LEN - 400 {
        entries.pop();
    }
    let fill = |path_len: usize| entry(&format!("{}/{}", "z".repeat(200), "z".repeat(path_len - 201)));
    let room = MAX_ROOT_LEN - flat_len(&entries);
    let path_len = room - (wire::entry_len(&fill(300)) - 300);
    for (path_len, is_flat) in [(path_len, true), (path_len + 1, false)] {
        let all = [entries.as_slice(), &[fill(path_len)]].concat();
        let encoded = encoded(&all);
        assert_eq!(flat_len(&all), if is_flat { MAX_ROOT_LEN } else { MAX_ROOT_LEN + 1 });
        assert_eq!(encoded.pages.is_empty(), is_flat);
        assert_eq!(matches!(Root::decode(&encoded.root), Ok(Root::Flat(_))), is_flat);
    }
}

#[test]
fn pages_are_about_as_long_whatever_the_paths() {
    for name_len in [7, 60, 200] {
        let name = |i: usize| entry(&format!("{i:0name_len$}"));
        let entries: Vec<Entry> = (0..6_000_000 / (name_len + 48)).map(name).collect();
        let pages = encoded(&entries).pages;
        let average = pages.iter().map(Vec::len).sum::<usize>() / pages.len();
        assert!((48 * 1024..80 * 1024).contains(&average), "{average} for names of {name_len}");
        let (_, all_but_last) = pages.split_last().unwrap();
        assert!(all_but_last.iter().all(|page| (MIN_PAGE_LEN..=MAX_PAGE_LEN).contains(&page.len())));
    }
}

#[test]
fn a_page_whose_paths_never_end_it_ends_at_the_limit() {
    let stubborn = |i: &usize| !ends_page(&path(&format!("{i:07}")));
    let entries: Vec<Entry> = (0..60_000).filter(stubborn).map(|i| entry(&format!("{i:07}"))).collect();
    let pages = encoded(&entries).pages;
    assert!((2..=4).contains(&pages.len()));
    assert!(pages.iter().all(|page| page.len() <= MAX_PAGE_LEN));
    assert!(pages[0].len() > MAX_PAGE_LEN - 100);
}

#[test]
fn an_edit_changes_the_page_it_is_in() {
    let entries = large(60_000);
    let pages = |entries: &[Entry]| -> BTreeSet<Digest> {
        pages_of(&encoded(entries)).iter().map(|page| page.digest).collect()
    };
    let before = pages(&entries);
    let check = |edit: &str, entries: &[Entry], most: usize| {
        let after = pages(entries);
        let fresh = after.difference(&before).count();
        assert!((1..=most).contains(&fresh), "{edit} made {fresh} new pages of {}", after.len());
    };
    for at in [0, 30_000, 59_999] {
        let mut changed = entries.clone();
        changed[at].digest = Digest::of(b"edited");
        check("a change of content", &changed, 1);
        // An entry more or less moves where the shortest length is reached, so a cut nearby may move.
        let mut removed = entries.clone();
        removed.remove(at);
        check("a removal", &removed, 3);
        let mut added = entries.clone();
        added.push(entry(&format!("{}x", entries[at].path)));
        check("an addition", &added, 3);
    }
}

#[test]
fn anything_but_the_listed_pages_is_refused() {
    use ManifestError::*;
    let entries = large(20_000);
    let encoded = encoded(&entries);
    let pages = pages_of(&encoded);
    let check = |given: &[Vec<u8>], error| assert_eq!(pages.assemble(given), Err(error));
    let with = |index: usize, page: Vec<u8>| {
        let mut given = encoded.pages.clone();
        given[index] = page;
        given
    };
    check(&[], PageCount);
    check(&encoded.pages[1..], WrongPage { index: 0 });
    check(&encoded.pages[..encoded.pages.len() - 1], PageCount);
    check(&[encoded.pages.as_slice(), &encoded.pages[..1]].concat(), PageCount);
    check(&with(2, encoded.pages[3].clone()), WrongPage { index: 2 });
    check(&with(2, encoded.root.clone()), WrongPage { index: 2 });
    check(&with(2, wire::encode_flat(&[])), WrongPage { index: 2 });
    check(&with(2, b"noise".to_vec()), Malformed);
    check(&with(2, vec![0x82; MAX_PAGE_LEN + 1]), TooLong);
    let first = pages.iter().nth(2).unwrap().first.as_str();
    check(&with(2, wire::encode_flat(&[entry(first)])), NotCanonical);
}

#[test]
fn another_cut_of_the_same_files_is_not_their_manifest() {
    let entries = large(20_000);
    let check = |cut: Vec<&[Entry]>| {
        let pages: Vec<Vec<u8>> = cut.iter().map(|page| wire::encode_flat(page)).collect();
        let refs: Vec<PageRef> =
            cut.iter().zip(&pages).map(|(cut, page)| page_ref(&cut[0].path, page)).collect();
        let Ok(Root::Paged(root)) = Root::decode(&wire::encode_paged(&refs)) else { panic!("a fine root") };
        root.assemble(&pages).map(|_| ())
    };
    let right: Vec<&[Entry]> = cut(&entries).map(|(_, page)| page).collect();
    assert_eq!(check(right), Ok(()));
    assert_eq!(check(entries.chunks(1000).collect()), Err(ManifestError::NotCanonical));
    // Small enough to be flat, and so may have no pages.
    assert_eq!(check(entries[..100].chunks(100).collect()), Err(ManifestError::NotCanonical));
}

#[test]
fn pages_that_add_up_to_too_much_are_refused_before_they_are_held() {
    let encoded = encoded(&large(20_000));
    let (pages, total) = (pages_of(&encoded), encoded.pages.iter().map(Vec::len).sum());
    let take = |max_len: usize| {
        let mut assembly = Assembly { max_len, ..pages.assembly() };
        let taken = encoded.pages.iter().map(|page| assembly.push(page));
        taken.take_while(Result::is_ok).count()
    };
    assert_eq!(take(total), encoded.pages.len());
    assert_eq!(take(total - 1), encoded.pages.len() - 1);
    assert!(take(3 * MIN_PAGE_LEN) < 3);
}
