//! What real `shoal` processes must manage together. Each scenario is a command, and where it needs no root a test.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Result, anyhow};

pub mod crowd;
pub mod demo;
pub mod flood;
pub mod heal;
pub mod hosts;
pub mod kill;
pub mod mdns_flood;
pub mod startup;
pub mod up;

/// Lines of a log worth showing when something failed.
const TAIL_LINES: usize = 20;

/// Bytes at the end of a log that hold these lines.
const TAIL_LEN: u64 = 8 * 1024;

/// Adds to a failure the ends of all logs in `dir`, which is soon gone.
///
/// # Errors
///
/// As `result`.
pub fn with_logs<T>(dir: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| anyhow!("{error:#}{}", tails(dir)))
}

fn tails(dir: &Path) -> String {
    let mut logs: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    let mut text = String::new();
    for log in logs {
        let tail = tail(&log).unwrap_or_default();
        if !tail.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n--- {}\n{tail}", log.file_name().unwrap_or_default().display());
        }
    }
    text
}

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_LEN);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_LEN).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}
