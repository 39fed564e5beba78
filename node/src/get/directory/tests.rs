//! A manifest whose pages do not belong together costs a few of them, however many its root lists.

use std::cell::Cell;

use shoal_content::{Encoded, ManifestError};

use super::*;

/// A root that lists so many pages with these first paths and the same bytes.
fn root(first_paths: &[String], page: Digest) -> Vec<u8> {
    let count = u16::try_from(first_paths.len()).unwrap();
    let mut root = [[0x82, 0x02, 0x99].as_slice(), &count.to_be_bytes()].concat();
    for path in first_paths {
        root.extend([0x82, 0x60 + u8::try_from(path.len()).unwrap()]);
        root.extend(path.as_bytes());
        root.extend([0x58, 0x20]);
        root.extend(page.as_bytes());
    }
    root
}

#[tokio::test]
async fn pages_that_do_not_belong_together_are_not_all_fetched() {
    let paths: Vec<_> = (0..20_000).map(|number| format!("{number:05}")).collect();
    let path = RelPath::parse(&paths[0]).unwrap();
    let entry = Entry { path, size: 1, digest: Digest::of(b"x"), executable: false };
    let Encoded { root: page, .. } = Manifest::new(vec![entry]).unwrap().encode();
    let root = root(&paths, Digest::of(&page));
    let Ok(Root::Paged(pages)) = Root::decode(&root) else { panic!("a fine root") };

    let fetched = Cell::new(0);
    let fetch = |_| {
        fetched.set(fetched.get() + 1);
        std::future::ready(Ok(page.clone()))
    };
    let assembled = assemble(Cid::directory(Digest::of(&root)), &pages, fetch).await;
    let wrong = ManifestError::WrongPage { index: 1 };
    assert!(matches!(assembled, Err(GetError::Manifest { source, .. }) if source == wrong));
    assert!(fetched.get() <= PAGES_AT_ONCE + 2, "{} pages were fetched", fetched.get());
}
