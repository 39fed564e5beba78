//! Rows that come back, rows that do not fit, and files that are none of ours.

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn network(name: &str) -> NetworkName {
    name.parse().unwrap()
}

fn open(path: &Path) -> Strangers {
    Strangers::open(path, &network("test")).unwrap()
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.redb");
    (dir, path)
}

/// Reads everything in small steps, as a starting node does.
fn all(strangers: &Strangers) -> Rows {
    let mut rows = Rows::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let read = strangers.read(after.as_deref(), 7).unwrap();
        let Some((last, _)) = read.last() else { return rows };
        after = Some(last.clone());
        rows.extend(read);
    }
}

fn row(number: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    (number.to_be_bytes().to_vec(), Some(vec![number.to_le_bytes()[0]; 100]))
}

#[test]
fn rows_come_back() {
    let (_dir, path) = place();
    let mut strangers = open(&path);
    strangers.write((0..100).map(row)).unwrap();
    strangers.write([(0_u32.to_be_bytes().to_vec(), None)]).unwrap();
    drop(strangers);
    let rows = all(&open(&path));
    assert_eq!(rows.len(), 99);
    assert_eq!(rows.get(&7_u32.to_be_bytes()[..]), row(7).1.as_ref());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_another_network_or_form_is_begun_anew() {
    let (_dir, path) = place();
    open(&path).write((0..10).map(row)).unwrap();
    assert!(all(&Strangers::open(&path, &network("other")).unwrap()).is_empty());
    assert!(all(&open(&path)).is_empty(), "and it is then of the other network");

    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let foreign: TableDefinition<'_, u64, u64> = TableDefinition::new("rows");
    transaction.delete_table(ROWS).unwrap();
    transaction.open_table(foreign).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let mut strangers = open(&path);
    assert!(all(&strangers).is_empty());
    strangers.write([row(1)]).unwrap();
}

#[test]
fn garbage_is_begun_anew() {
    let (_dir, path) = place();
    for garbage in [vec![], b"no database".to_vec(), vec![0; 100_000], vec![0xff; 100_000]] {
        fs::write(&path, garbage).unwrap();
        let mut strangers = open(&path);
        assert!(all(&strangers).is_empty());
        strangers.write([row(1)]).unwrap();
    }
}

#[test]
fn what_is_no_file_is_an_error_and_stays() {
    let (dir, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(Strangers::open(&path, &network("test")).is_err());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
    assert!(Strangers::open(&link, &network("test")).is_err());
    assert!(!dir.path().join("elsewhere").exists());
}

/// Whatever byte has rotted, or wherever the file ends, it opens, gives rows, and takes new ones.
#[test]
fn rot_costs_rows_and_nothing_else() {
    let (_dir, path) = place();
    open(&path).write((0..500).map(row)).unwrap();
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 400;
    for at in (0..whole.len()).step_by(step.max(1)) {
        let mut rotten = whole.clone();
        if at % 2 == 0 {
            rotten[at..(at + 8).min(whole.len())].fill(0xa5);
        } else {
            rotten.truncate(at);
        }
        fs::write(&path, rotten).unwrap();
        let mut strangers = open(&path);
        // What is found damaged later is thrown away by whoever reads it, and opened again.
        let is_whole = strangers.read(None, 1000).is_ok() && strangers.write((0..500).map(row)).is_ok();
        if !is_whole {
            drop(strangers);
            Strangers::discard(&path);
            strangers = open(&path);
            strangers.write((0..500).map(row)).unwrap();
        }
        assert!(strangers.read(None, 1000).is_ok(), "at {at}");
    }
}

#[test]
fn what_is_too_long_is_not_written() {
    let (_dir, path) = place();
    let mut strangers = open(&path);
    let too_long = [
        (vec![1; MAX_KEY_LEN + 1], Some(vec![1])),
        (vec![1], Some(vec![1; MAX_ROW_LEN + 1])),
        (vec![2], Some(vec![1; MAX_ROW_LEN])),
    ];
    strangers.write(too_long).unwrap();
    assert_eq!(all(&strangers).into_keys().collect::<Vec<_>>(), [[2]]);
}

/// A full house of the longest rows, renewed again and again, stays within the file's limit on disk.
#[test]
fn the_file_stays_within_its_limit() {
    let (_dir, path) = place();
    let mut strangers = open(&path);
    // Keys are hashes: spread evenly, so that every page is touched all the time.
    let key = |number: u64| blake3::hash(&number.to_be_bytes()).as_bytes().repeat(2)[..39].to_vec();
    let rows = MAX_ROWS + 5000;
    let put =
        |range: std::ops::Range<u64>, byte: u8| range.map(move |number| (key(number), Some(vec![byte; 400])));
    for round in 0..3 {
        for first in (0..rows).step_by(4096) {
            strangers.write(put(first..(first + 4096).min(rows), round)).unwrap();
        }
        let metadata = fs::metadata(&path).unwrap();
        let on_disk = metadata.blocks() * 512;
        println!("{on_disk} bytes on disk after round {round}");
        assert!(on_disk <= 64 << 20);
    }
    let held = all(&strangers).len();
    println!("{held} rows in {} bytes", fs::metadata(&path).unwrap().len());
    assert!(held as u64 <= MAX_ROWS && held * 439 <= MAX_BYTES, "{held} rows");
    assert!(held * 439 > MAX_BYTES - 1000, "there is room for {held} rows only");
}

#[derive(Clone, Debug)]
enum Step {
    Put { first: u8, count: u8, byte: u8 },
    Remove { first: u8, count: u8 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<u8>(), 1..40_u8, any::<u8>()).prop_map(|(first, count, byte)| Step::Put {
            first,
            count,
            byte
        }),
        (any::<u8>(), 1..40_u8).prop_map(|(first, count)| Step::Remove { first, count }),
        Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_is_a_map(steps in proptest::collection::vec(step(), 1..30)) {
        let (_dir, path) = place();
        let mut strangers = open(&path);
        let mut model = Rows::new();
        for step in steps {
            match step {
                Step::Put { first, count, byte } => {
                    let rows = (0..count).map(|more| (vec![first.wrapping_add(more)], vec![byte; 50]));
                    strangers.write(rows.clone().map(|(key, row)| (key, Some(row)))).unwrap();
                    model.extend(rows);
                }
                Step::Remove { first, count } => {
                    let keys = (0..count).map(|more| vec![first.wrapping_add(more)]);
                    strangers.write(keys.clone().map(|key| (key, None))).unwrap();
                    for key in keys {
                        model.remove(&key);
                    }
                }
                Step::Reopen => {
                    drop(strangers);
                    strangers = open(&path);
                }
            }
            prop_assert_eq!(&all(&strangers), &model);
        }
    }
}
