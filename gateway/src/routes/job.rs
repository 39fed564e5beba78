//! What all long work has in common: how often it tells its progress, and how its arguments are read.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use shoal_node::{ErrorKind, Link, Multiaddr};

use crate::json::{Failure, Stage};

/// The time between two lines of progress. More of them would only keep reader and writer busy with each other.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Lets a snapshot through when the last one is old enough, or of another stage.
#[derive(Debug, Default)]
pub(crate) struct Pace(Option<(Instant, Stage)>);

impl Pace {
    pub(crate) fn due(&mut self, stage: Stage) -> bool {
        let now = Instant::now();
        let due =
            self.0.is_none_or(|(last, told)| told != stage || now.duration_since(last) >= PROGRESS_INTERVAL);
        if due {
            self.0 = Some((now, stage));
        }
        due
    }
}

pub(crate) fn link(text: &str) -> Result<Link, Failure> {
    text.parse().map_err(|error| Failure::of(ErrorKind::Usage, &error))
}

pub(crate) fn peers(texts: &[String]) -> Result<Vec<Multiaddr>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|error| {
            Failure::new(ErrorKind::Usage, format!("{text:?} is not the address of a peer")).because(&error)
        })
    };
    texts.iter().map(parse).collect()
}

/// A path of the caller, which need not be in the directory that this process is in.
pub(crate) fn path(text: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Failure::new(ErrorKind::Usage, format!("{text:?} is not an absolute path")))
    }
}

/// A length of time as it is written in JSON.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
