//! Made-up files and trees: the same seed gives the same bytes, on every machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Bytes made at a time. A file of any size takes no more memory than this.
const PIECE: usize = 1024 * 1024;

/// How old a file is that [`make_old`] was told of.
const OLD: Duration = Duration::from_secs(2 * 60 * 60);

/// Files that each made-up tree has besides the numbered ones, each for a reason.
const SPECIAL: &[(&str, usize, bool)] = &[
    ("empty", 0, false),
    ("run.sh", 40, true),
    ("bin/deep/down/in/the/tree/tool", 70_000, true),
    ("names/größe.txt", 17, false),
    ("names/日本語/写真 1.jpg", 16_385, false),
    ("names/two\u{301} ways", 1024, false),
    ("names/-starts with a dash", 5, false),
    ("names/.hidden", 1, false),
];

/// `size` bytes in which nothing repeats.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Writes a new file of `size` bytes in which nothing repeats.
///
/// # Errors
///
/// The file exists, or the disk does not take it.
pub fn write_file(path: &Path, seed: u64, size: u64) -> io::Result<()> {
    write_seeded(path, &mut StdRng::seed_from_u64(seed), size, false)
}

/// Writes a tree as people have them: `files` small files in nested folders, and among them an empty one, programs,
/// and names in several scripts.
///
/// # Errors
///
/// The tree exists, or the disk does not take it.
pub fn write_tree(root: &Path, seed: u64, files: usize) -> io::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for (name, size, executable) in SPECIAL.iter().take(files) {
        write_seeded(&root.join(name), &mut rng, *size as u64, *executable)?;
    }
    for number in SPECIAL.len()..files {
        let folder = format!("part {}/{}", number % 7, number % 31);
        let size = rng.random_range(1..=12 * 1024);
        write_seeded(&root.join(folder).join(format!("{number:05}.dat")), &mut rng, size, false)?;
    }
    Ok(())
}

/// Files that one folder of [`write_equal`] holds: what people's folders of photos or sources have at most.
const FILES_PER_FOLDER: u64 = 1000;

/// Writes `files` files of `size` bytes each, no two the same, into folders below `root`.
///
/// # Errors
///
/// The tree exists, or the disk does not take it.
pub fn write_equal(root: &Path, seed: u64, files: u64, size: u64) -> io::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    fs::create_dir_all(root)?;
    for number in 0..files {
        let folder = root.join(format!("{:03}", number / FILES_PER_FOLDER));
        write_seeded(&folder.join(format!("{number:06}.dat")), &mut rng, size, false)?;
    }
    Ok(())
}

/// Makes a file or a tree look as old as what people share mostly is: what is younger than a minute when it is
/// published is verified again whenever it is sent.
///
/// # Errors
///
/// There is no such file, or it belongs to somebody else.
pub fn make_old(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| make_old(&entry?.path()));
    }
    File::options().write(true).open(path)?.set_modified(SystemTime::now() - OLD)
}

fn write_seeded(path: &Path, rng: &mut StdRng, size: u64, executable: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    fill(&mut file, rng, size)
}

fn fill(file: &mut File, rng: &mut StdRng, size: u64) -> io::Result<()> {
    let mut piece = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let mut left = size;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = &mut piece[..take];
        rng.fill_bytes(piece);
        file.write_all(piece)?;
        left -= take as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;

    #[test]
    fn the_seed_decides_everything() {
        let dir = tempfile::tempdir().unwrap();
        let tree = |name: &str, seed| {
            write_tree(&dir.path().join(name), seed, 60).unwrap();
            Snapshot::of(&dir.path().join(name)).unwrap()
        };
        let (first, same, other) = (tree("a", 1), tree("b", 1), tree("c", 2));
        assert_eq!(first.files(), 60);
        assert_eq!(first.difference(&same), None);
        assert!(first.difference(&other).is_some());
    }

    #[test]
    fn equal_files_are_of_equal_size_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("many");
        write_equal(&root, 3, 1001, 16).unwrap();
        let snapshot = Snapshot::of(&root).unwrap();
        assert_eq!(snapshot.files(), 1001);
        let (first, last) = (fs::read(root.join("000/000000.dat")), fs::read(root.join("001/001000.dat")));
        let (first, last) = (first.unwrap(), last.unwrap());
        assert_eq!((first.len(), last.len()), (16, 16));
        assert_ne!(first, last);

        make_old(&root).unwrap();
        let age = fs::metadata(root.join("001/001000.dat")).unwrap().modified().unwrap().elapsed().unwrap();
        assert!(age >= OLD);
    }

    #[test]
    fn a_file_has_the_bytes_that_the_seed_gives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_file(&path, 7, 3_000_000).unwrap();
        assert!(fs::read(&path).unwrap() == bytes(7, 3_000_000));
    }
}
