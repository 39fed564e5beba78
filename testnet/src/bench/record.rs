//! One benchmark's measurements with all that they depend on, and the file that keeps them.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::samples::Samples;

/// What was measured, with which sizes, on what machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    /// Sizes and counts. Blocks join only where these are the same.
    pub(crate) settings: BTreeMap<String, u64>,
    /// Each run's machine and seed, and who was not there.
    pub(crate) notes: Vec<String>,
    pub(crate) samples: Samples,
}

impl Record {
    /// The value of a setting, 0 where there is none.
    pub(crate) fn setting(&self, name: &str) -> u64 {
        self.settings.get(name).copied().unwrap_or(0)
    }

    /// Adds what is worth knowing about the run, once.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Joins the blocks of another run.
    ///
    /// # Errors
    ///
    /// The runs differ in more than their blocks.
    pub(crate) fn append(&mut self, other: Self) -> Result<()> {
        ensure!(
            self.settings == other.settings,
            "runs with {:?} and with {:?} do not join",
            self.settings,
            other.settings
        );
        self.samples.append(other.samples)?;
        other.notes.into_iter().for_each(|note| self.note(note));
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({ "settings": self.settings, "notes": self.notes, "samples": self.samples.to_json() })
    }

    fn from_json(value: &Value) -> Result<Self> {
        let part = |name: &str| value.get(name).with_context(|| format!("{name:?} is missing"));
        Ok(Self {
            settings: serde_json::from_value(part("settings")?.clone())?,
            notes: serde_json::from_value(part("notes")?.clone())?,
            samples: Samples::from_json(part("samples")?)?,
        })
    }
}

/// What the file keeps of a benchmark; `None` where there is no file or nothing of that name in it.
///
/// # Errors
///
/// The file is something else.
pub(crate) fn read(file: &Path, name: &str) -> Result<Option<Record>> {
    let entry = entries(file)?.remove(name);
    entry
        .map(|entry| Record::from_json(&entry).with_context(|| format!("reading {}", file.display())))
        .transpose()
}

/// Whether the file can take more records.
///
/// # Errors
///
/// It is something else.
pub(crate) fn check(file: &Path) -> Result<()> {
    entries(file).map(drop)
}

/// Keeps the record in the file, in the place of what was there under that name.
///
/// # Errors
///
/// The file is something else, or cannot be written.
pub(crate) fn write(file: &Path, name: &str, record: &Record) -> Result<()> {
    let mut entries = entries(file)?;
    entries.insert(name.to_owned(), record.to_json());
    let text = serde_json::to_string_pretty(&entries)?;
    fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
}

fn entries(file: &Path) -> Result<Map<String, Value>> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(size: u64, value: f64, note: &str) -> Record {
        let mut record = Record { settings: [("size".to_owned(), size)].into(), ..Record::default() };
        record.samples.push("shoal wall", value);
        record.note(note.to_owned());
        record
    }

    #[test]
    fn a_file_keeps_several_benchmarks() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bench.json");
        assert_eq!(read(&file, "a").unwrap(), None);
        let (a, b) = (record(1, 0.5, "seed 1"), record(2, 1.5, "seed 2"));
        write(&file, "a", &b).unwrap();
        write(&file, "a", &a).unwrap();
        write(&file, "b", &b).unwrap();
        assert_eq!((read(&file, "a").unwrap(), read(&file, "b").unwrap()), (Some(a), Some(b)));
    }

    #[test]
    fn only_runs_of_one_kind_join() {
        let mut joined = record(1, 0.5, "seed 1");
        joined.append(record(1, 0.7, "seed 2")).unwrap();
        assert_eq!(joined.samples.of("shoal wall"), [0.5, 0.7]);
        assert_eq!(joined.notes, ["seed 1", "seed 2"]);
        assert!(joined.append(record(2, 0.7, "seed 3")).is_err());
    }
}
