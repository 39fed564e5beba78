//! What one node publishes, another gets by its CID alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use shoal_content::Digest;
use shoal_node::{Cid, ErrorKind, Replace, ShareState};

use crate::world::{Place, bytes, start_in};

#[tokio::test]
async fn a_file_goes_from_one_node_to_another() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let data = bytes(3_000_000, 1);
    fs::write(giver.path("data.bin"), &data).unwrap();

    let shared = giver.node.publish(giver.path("data.bin")).await.unwrap();
    assert_eq!(shared.cid(), Cid::file(Digest::of(&data)));
    let fetched = taker.node.get(shared.cid()).to(taker.path("copy.bin")).await.unwrap();

    assert_eq!(fs::read(&fetched.path).unwrap(), data);
    assert_eq!(fetched.received, 3_000_000);
    assert_eq!(fetched.sources.len(), 1);
    assert_eq!(taker.node.shares().await.unwrap().len(), 1, "what was fetched is shared");
    taker.node.stop().await.unwrap();
    giver.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_goes_from_one_node_to_another() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let tree = giver.path("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("a/small.txt"), "hello").unwrap();
    fs::write(tree.join("a/b/large.bin"), bytes(2_500_000, 2)).unwrap();

    let shared = giver.node.publish(&tree).await.unwrap();
    let fetched = taker.node.get(shared.cid()).to(taker.path("copy")).await.unwrap();

    assert_eq!(fetched.files, 3);
    assert_eq!(fs::read(fetched.path.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(fetched.path.join("a/small.txt")).unwrap(), b"hello");
    assert_eq!(fs::read(fetched.path.join("a/b/large.bin")).unwrap(), bytes(2_500_000, 2));
    let again = taker.node.publish(&fetched.path).await.unwrap();
    assert_eq!(again.cid(), shared.cid());
    assert_eq!(again.hashed_bytes(), 0, "what was fetched needs no second look");
}

#[tokio::test]
async fn the_home_of_another_node_is_left_out_of_what_is_published_around_it() {
    let giver = Place::start(None).await;
    let other = Place::start(None).await;
    fs::write(other.path("file"), "hello").unwrap();
    assert!(other.path("home/identity").exists(), "its secret key");

    let shared = giver.node.publish(other.folder.path()).await.unwrap();
    let contents = giver.node.get(shared.cid()).contents().await.unwrap();
    let names: Vec<_> = contents.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(shared.skipped().len(), 1, "{:?}", shared.skipped());
    assert!(giver.node.publish(other.path("home")).await.is_err());
}

#[tokio::test]
async fn a_directory_is_not_saved_in_itself() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let tree = giver.path("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("a/small.txt"), "hello").unwrap();
    let cid = giver.node.publish(&tree).await.unwrap().cid();
    for seed in [false, true] {
        let out = taker.path(&format!("out-{seed}"));
        let get = || taker.node.get(cid).to(&out).seed(seed);
        assert!(!get().await.unwrap().already_there);
        let again = get().await.unwrap();
        assert!(again.already_there && again.path == out, "{again:?}");
        let shared = taker.node.shares().await.unwrap().iter().any(|share| share.path == out);
        assert_eq!(shared, seed);
        if !seed {
            taker.node.get(cid).to(&out).await.unwrap();
            let shares = taker.node.shares().await.unwrap();
            assert!(shares.iter().any(|share| share.path == out && share.name == "tree"), "{shares:?}");
        }
        // With another file in it, it is a folder like any other.
        fs::write(out.join("b"), "mine").unwrap();
        let inside = get().await.unwrap();
        assert_eq!(inside.path, out.join("tree"));
    }
}

#[tokio::test]
async fn a_directory_is_merged_into_a_folder_where_that_is_asked_for() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let tree = giver.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "theirs").unwrap();
    fs::create_dir_all(taker.path("here/tree")).unwrap();
    fs::write(taker.path("here/tree/a"), "mine").unwrap();
    fs::write(taker.path("here/tree/b"), "mine too").unwrap();

    let cid = giver.node.publish(&tree).await.unwrap().cid();
    let get = taker.node.get(cid).to(taker.path("here")).replace(Replace::Overwrite);
    let fetched = get.await.unwrap();
    assert!(fetched.merged);
    assert_eq!(fs::read(fetched.path.join("a")).unwrap(), b"theirs");
    assert_eq!(fs::read(fetched.path.join("b")).unwrap(), b"mine too");
    let state = async || taker.node.shares().await.unwrap()[0].state;
    assert_eq!(state().await, ShareState::Ok, "what was published is there, and b was not");
    fs::write(fetched.path.join("a"), "mine again").unwrap();
    assert_eq!(state().await, ShareState::Changed);
}

#[tokio::test]
async fn what_nobody_has_is_not_found() {
    let one = Place::start(None).await;
    let other = Place::start(Some(&one.node)).await;
    let error = other.node.get(Cid::file(Digest::of(b"nobody"))).to(other.path("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!other.path("x").exists());
}

#[tokio::test]
async fn content_keeps_its_name() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("report.txt"), "numbers").unwrap();
    let shared = giver.node.publish(giver.path("report.txt")).await.unwrap();

    let named = taker.node.get(shared.cid()).to(taker.path("named/")).await.unwrap();
    assert_eq!(named.path, taker.path("named/report.txt"), "the name that its holder gives it");

    let other = taker.node.get(shared.cid()).to(taker.path("mine.txt")).await.unwrap();
    assert_eq!(other.path, taker.path("mine.txt"));
    for share in taker.node.shares().await.unwrap() {
        assert_eq!(share.name, "report.txt", "it goes on under the name that it came with");
    }
    let again = taker.node.get(shared.cid()).to(taker.path("again/")).await.unwrap();
    assert_eq!(again.path, taker.path("again/report.txt"), "also where this node is its own provider");

    let ticket = giver.node.ticket(&shared.cid(), true).await.unwrap();
    assert_eq!(ticket.name.as_deref(), Some("report.txt"));
    assert_eq!(ticket.size, Some(7));
}

#[tokio::test]
async fn a_name_that_nobody_would_take_is_refused() {
    let place = Place::start(None).await;
    fs::write(place.path("file"), "content").unwrap();
    for name in ["", "..", "../../etc/passwd", "a/b", ".bashrc"] {
        let error = place.node.publish(place.path("file")).name(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name:?}: {error}");
    }
    assert!(place.node.shares().await.unwrap().is_empty());
    let shared = place.node.publish(place.path("file")).name("fine").await.unwrap();
    assert_eq!(shared.name(), "fine");
    place.node.stop().await.unwrap();
}

/// The same place, from where this program is.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    up.join(path.strip_prefix("/").unwrap())
}

#[tokio::test]
async fn a_node_keeps_to_the_places_that_it_was_told_wherever_its_program_goes() {
    let folder = tempfile::tempdir().unwrap();
    let node = start_in(&relative(&folder.path().join("home")), None).await;
    assert!(node.paths().home.is_absolute() && node.paths().peers.is_absolute(), "{:?}", node.paths());
    fs::write(folder.path().join("file"), "content").unwrap();
    let shared = node.publish(relative(&folder.path().join("file"))).await.unwrap();
    assert!(shared.path().is_absolute());
    for to in ["copy", "into/"] {
        let fetched = node.get(shared.cid()).to(relative(folder.path()).join(to)).await.unwrap();
        assert!(fetched.path.is_absolute() && fetched.path.is_file(), "{fetched:?}");
    }
    node.stop().await.unwrap();
}
