//! What is remembered of earlier searches, and that it stays small.

use super::*;

fn key(number: usize) -> ProviderKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ProviderKey::from_bytes(bytes)
}

fn address(port: usize) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
}

#[test]
fn holders_survive_a_restart_the_latest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holders");
    let (former, now) = (Former::open(path.clone()), Instant::now());
    assert!(former.holders(&key(1)).is_empty());
    let (first, second) = (PeerId::random(), PeerId::random());
    assert!(former.note(key(1), first, &[address(1)], now), "news is written");
    assert!(!former.note(key(1), second, &[address(2)], now), "and not all the time");
    former.write().unwrap();
    let former = Former::open(path.clone());
    assert_eq!(former.holders(&key(1)), [(second, vec![address(2)]), (first, vec![address(1)])]);
    assert!(former.holders(&key(2)).is_empty());
    assert!(!former.note(key(1), first, &[address(3)], now), "what is known is no news");
    assert_eq!(former.holders(&key(1))[0], (first, vec![address(3)]));

    fs::write(&path, b"\xff\x00 rubbish").unwrap();
    assert!(Former::open(path).holders(&key(1)).is_empty());
}

#[test]
fn whatever_is_looked_for_little_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holders");
    let (former, start) = (Former::open(path.clone()), Instant::now());
    let mut writes = 0;
    for number in 0..2 * MAX_CONTENTS {
        let now = start + Duration::from_millis(100) * u32::try_from(number).unwrap();
        for _ in 0..2 * MAX_HOLDERS {
            let addresses: Vec<_> = (1..=2 * MAX_ADDRESSES).map(address).collect();
            writes += usize::from(former.note(key(number), PeerId::random(), &addresses, now));
        }
    }
    assert!((50..=52).contains(&writes), "one each second, not {writes}");
    assert!(former.holders(&key(MAX_CONTENTS - 1)).is_empty());
    for number in MAX_CONTENTS..2 * MAX_CONTENTS {
        let holders = former.holders(&key(number));
        assert!(holders.len() == MAX_HOLDERS && holders.iter().all(|(_, at)| at.len() == MAX_ADDRESSES));
    }
    former.write().unwrap();
    assert!(fs::metadata(path).unwrap().len() < MAX_FILE_LEN / 4);
}

#[tokio::test]
async fn what_came_right_after_a_write_is_written_when_the_node_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holders");
    let (former, tasks, now) = (Former::open(path.clone()), Tasks::new(), Instant::now());
    tasks.spawn("holders", former.clone().write_at_the_end(tasks.clone()));
    let (first, second) = (PeerId::random(), PeerId::random());
    assert!(former.note(key(1), first, &[address(1)], now));
    former.write().unwrap();
    assert!(!former.note(key(2), second, &[address(2)], now), "too soon");
    assert!(Former::open(path.clone()).holders(&key(2)).is_empty());
    assert!(tasks.end(Duration::from_secs(10)).await);
    let again = Former::open(path.clone());
    assert_eq!(again.holders(&key(1)), [(first, vec![address(1)])]);
    assert_eq!(again.holders(&key(2)), [(second, vec![address(2)])]);

    fs::remove_file(&path).unwrap();
    former.write().unwrap();
    assert!(!path.exists(), "there was nothing new to write");
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holders");
    let former = Former::open(path.clone());
    former.note(key(1), PeerId::random(), &[address(1)], Instant::now());
    fs::create_dir(&path).unwrap();
    former.write().unwrap_err();
    fs::remove_dir(&path).unwrap();
    former.write().unwrap();
    assert_eq!(Former::open(path).holders(&key(1)).len(), 1);
}
