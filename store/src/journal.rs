//! A plain list of what is shared, apart from the database, so that losing the database does not lose what the user
//! published.
//!
//! Lines are only appended, and the last line of a path says whether it is shared. A publish adds its line after the
//! database has the share, an unpublish before the database forgets it. So if the journal knows more than the
//! database after a crash, the database has lost it; it is never something that the user took back.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use shoal_content::Cid;

use crate::{
    disk::JournalLine,
    files::{Dir, Handle},
    lock::lock,
    stamp::Stamp,
};

#[cfg(test)]
mod tests;

const JOURNAL: &str = "shares.journal";
const JOURNAL_NEW: &str = "shares.journal.new";

/// Longest journal that is read. A journal is written anew at each start that finds it twice as long as need
/// be; one beyond this is not ours, and reading it would take all memory.
const MAX_LEN: u64 = 1 << 30;

/// Lines that may be out of date before the journal is written anew.
const SLACK_LINES: usize = 1000;

/// What only the journal knows to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) path: PathBuf,
    pub(crate) cid: Cid,
}

#[derive(Debug)]
pub(crate) struct Journal {
    /// The file, and the length up to which its lines are whole and durable.
    file: Mutex<(Handle, u64)>,
    /// Lines added since it was last compared with the database.
    added: AtomicUsize,
}

impl Journal {
    /// Opens the journal without reading it, if it is what it was when it was noted with so many lines added since
    /// it was last compared. None when it has to be compared.
    pub(crate) fn open_noted(dir: &Dir, noted: &str) -> io::Result<Option<Self>> {
        let Some((added, stamp)) = noted.split_once(' ') else { return Ok(None) };
        let Some(added) = added.parse().ok().filter(|added| *added <= SLACK_LINES) else { return Ok(None) };
        let file = match dir.open(OsStr::new(JOURNAL)) {
            Ok(_) => dir.open_private(OsStr::new(JOURNAL))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if format!("{:?}", Stamp::of(&metadata)) != stamp {
            return Ok(None);
        }
        Ok(Some(Self { file: Mutex::new((file, metadata.len())), added: AtomicUsize::new(added) }))
    }

    /// What to note of it when the store is closed, for [`Journal::open_noted`]; nothing if it does not end with a
    /// whole line.
    pub(crate) fn noted(&self) -> io::Result<Option<String>> {
        let guard = lock(&self.file);
        let (file, len) = &*guard;
        let metadata = file.metadata()?;
        let added = self.added.load(Ordering::Relaxed);
        Ok((metadata.len() == *len).then(|| format!("{added} {:?}", Stamp::of(&metadata))))
    }

    /// Opens the journal and compares it with the shares in the database; gives what only it has.
    pub(crate) fn open(dir: &Dir, shares: &[(PathBuf, Cid)]) -> io::Result<(Self, Vec<Lost>)> {
        let bytes = match dir.open(OsStr::new(JOURNAL)) {
            Ok(file) => file.read_all(MAX_LEN)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (lines, journalled) = read(&bytes);
        let mut all = journalled.clone();
        all.extend(shares.iter().map(|(path, cid)| (path.as_os_str().as_bytes().to_vec(), *cid)));
        let is_whole = bytes.is_empty() || bytes.last() == Some(&b'\n');
        if all != journalled || !is_whole || lines > 2 * all.len() + SLACK_LINES {
            rewrite(dir, &all)?;
        }
        let mut lost = all;
        for (path, _) in shares {
            lost.remove(path.as_os_str().as_bytes());
        }
        let lost = lost.into_iter().map(|(path, cid)| Lost { path: OsString::from_vec(path).into(), cid });
        let lost = lost.collect();
        let file = dir.open_private(OsStr::new(JOURNAL))?;
        let len = file.metadata()?.len();
        Ok((Self { file: Mutex::new((file, len)), added: AtomicUsize::new(0) }, lost))
    }

    /// What the journal says of these paths, where they are shared.
    pub(crate) fn shared(&self, paths: &[PathBuf]) -> io::Result<Vec<Lost>> {
        let (_, journalled) = read(&lock(&self.file).0.read_all(MAX_LEN)?);
        let of = |path: &PathBuf| {
            let cid = *journalled.get(path.as_os_str().as_bytes())?;
            Some(Lost { path: path.clone(), cid })
        };
        Ok(paths.iter().filter_map(of).collect())
    }

    /// Notes durably what `path` is from now on.
    pub(crate) fn note(&self, path: &Path, cid: Option<Cid>) -> io::Result<()> {
        self.note_all([(path, cid)])
    }

    /// Notes durably what each of these paths is from now on.
    pub(crate) fn note_all<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a Path, Option<Cid>)>,
    ) -> io::Result<()> {
        let (mut lines, mut count) = (Vec::new(), 0);
        for (path, cid) in changes {
            lines.extend(JournalLine { path: path.as_os_str().as_bytes().to_vec(), cid }.encode());
            count += 1;
        }
        let mut guard = lock(&self.file);
        let (file, len) = &mut *guard;
        // After a failed write this overwrites whatever part of the lines got there.
        if let Err(error) = file.write_all_at(&lines, *len).and_then(|()| file.sync_data()) {
            // The database may have what the journal now lacks: the next opening is to compare them.
            self.added.fetch_add(SLACK_LINES + 1, Ordering::Relaxed);
            return Err(error);
        }
        *len += lines.len() as u64;
        self.added.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// How many lines there are, and what is shared after the last of them.
fn read(bytes: &[u8]) -> (usize, BTreeMap<Vec<u8>, Cid>) {
    let (mut lines, mut journalled) = (0, BTreeMap::new());
    for line in JournalLine::decode_all(bytes) {
        lines += 1;
        match line.cid {
            Some(cid) => journalled.insert(line.path, cid),
            None => journalled.remove(&line.path),
        };
    }
    (lines, journalled)
}

fn rewrite(dir: &Dir, shares: &BTreeMap<Vec<u8>, Cid>) -> io::Result<()> {
    let lines = shares.iter().map(|(path, cid)| JournalLine { path: path.clone(), cid: Some(*cid) }.encode());
    let bytes: Vec<u8> = lines.flatten().collect();
    let file = dir.create_private(OsStr::new(JOURNAL_NEW))?;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    dir.rename(OsStr::new(JOURNAL_NEW), dir, OsStr::new(JOURNAL))
}
