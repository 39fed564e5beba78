//! What a publish made durable, and how the network hears of it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_content::{Cid, Kind, Problem};
use shoal_store::{Published, Skipped};
use tokio::sync::watch;

use crate::{inner::Inner, net::Acknowledged};

/// What a publish made durable.
#[derive(Debug)]
pub struct Shared {
    pub(super) published: Published,
    pub(super) announcement: Announcement,
}

impl Shared {
    /// The name of the content.
    pub fn cid(&self) -> Cid {
        self.published.cid
    }

    /// Whether it is a file or a directory.
    pub fn kind(&self) -> Kind {
        self.published.cid.kind()
    }

    /// Where it is, and stays.
    pub fn path(&self) -> &Path {
        &self.published.path
    }

    /// The name that it is offered under.
    pub fn name(&self) -> &str {
        &self.published.name
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.published.size
    }

    /// Its number of files.
    pub fn files(&self) -> u64 {
        self.published.files
    }

    /// Bytes that had to be read; the rest was unchanged since the last publish.
    pub fn hashed_bytes(&self) -> u64 {
        self.published.hashed_bytes
    }

    /// Files that were unchanged since the last publish.
    pub fn unchanged_files(&self) -> u64 {
        self.published.unchanged_files
    }

    /// What could not be published, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.published.skipped
    }

    /// Names that some systems cannot hold.
    pub fn warnings(&self) -> &[Problem] {
        &self.published.warnings
    }

    /// Waits until the network has been told.
    ///
    /// While no other node is connected this waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: announcing goes on, and a later call goes on counting.
    pub async fn announced(&mut self) -> Announced {
        self.announcement.finished().await
    }
}

/// How many nodes know of a share; of very many that were published together, how many know of any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// Nodes that said they hold the record.
    pub acknowledged: usize,
    /// Nodes that were asked to hold it.
    pub asked: usize,
    /// From the first question to the last answer.
    pub elapsed: Duration,
}

/// How far the network has been told.
#[derive(Clone, Debug)]
pub(super) struct Announcement {
    progress: watch::Receiver<Acknowledged>,
    started: Instant,
}

impl Announcement {
    pub(super) async fn start(inner: &Arc<Inner>, cid: &Cid) -> Self {
        Self::of(inner.announcer.announce_share(*cid).await)
    }

    pub(super) fn of(progress: watch::Receiver<Acknowledged>) -> Self {
        Self { progress, started: Instant::now() }
    }

    async fn finished(&mut self) -> Announced {
        // An error means that nobody will say more: what was said last counts.
        drop(self.progress.wait_for(|acknowledged| acknowledged.last).await);
        let Acknowledged { acknowledged, asked, .. } = *self.progress.borrow();
        Announced { acknowledged, asked, elapsed: self.started.elapsed() }
    }
}
