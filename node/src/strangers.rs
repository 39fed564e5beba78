//! Keeps what strangers made this node remember over restarts: reads it back after the start, and writes the changes.
//!
//! Owns: the database of strangers' records, which may be lost at any time.
//! Hears: changes from the Swarm's task.  Tells: that task what an earlier run had written, and the status why nothing can
//! be kept.
//! Ends: when the Swarm's task has ended and its last changes are written.

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use shoal_content::NetworkName;
use shoal_dht::RecordChange;
use shoal_store::{StoreError, Strangers};
use tokio::sync::{mpsc, watch};

use crate::{net::Net, tasks::Tasks};

/// How long reading waits after the start: others are waiting for the node to answer, and nobody for these records.
const READING_WAITS: Duration = Duration::from_secs(1);

/// Rows handed to the Swarm's task at once. It decodes them, which must not hold up its connections.
const READ_AT_ONCE: usize = 1000;

/// After a failure of the disk nothing is kept for this long: a full disk is not empty a second later.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// The task that keeps them.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) net: Net,
    pub(crate) tasks: Tasks,
    pub(crate) network: NetworkName,
    pub(crate) path: PathBuf,
    /// In words, why what strangers say is not kept now.
    pub(crate) unkept: watch::Sender<Option<String>>,
}

impl Keeper {
    /// Reads what there is, then writes `changes` until there will be no more.
    pub(crate) async fn run(self, mut changes: mpsc::Receiver<Vec<RecordChange>>) {
        // What comes meanwhile waits where it is.
        drop(tokio::time::timeout(READING_WAITS, self.tasks.stopping().cancelled()).await);
        let mut strangers = match self.open().await {
            Some(strangers) => self.load(strangers).await,
            None => None,
        };
        // What could not be read is not there.
        self.net.records_loaded().await;
        let mut failed = Instant::now();
        while let Some(batch) = changes.recv().await {
            if strangers.is_none() && failed.elapsed() >= PAUSE {
                strangers = self.open().await;
                if strangers.is_some() {
                    // Everything comes again, this batch included.
                    self.net.records_unkept().await;
                    continue;
                }
                failed = Instant::now();
            }
            if let Some(database) = strangers.take() {
                strangers = self.write(database, batch).await;
                failed = Instant::now();
            }
        }
    }

    async fn open(&self) -> Option<Strangers> {
        let (path, network) = (self.path.clone(), self.network.clone());
        let opened = self.tasks.blocking(move || Strangers::open(&path, &network)).await?;
        match opened {
            Ok(strangers) => {
                self.unkept.send_replace(None);
                Some(strangers)
            }
            Err(error) => {
                self.tell(&error);
                None
            }
        }
    }

    /// Says in the status that nothing is kept for now. Only its operator can do something about a disk.
    fn tell(&self, error: &StoreError) {
        let why = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        tracing::debug!(why, "strangers' records are not kept for now");
        self.unkept.send_replace(Some(format!(
            "what others announce to this node will not outlive its next restart, for {} cannot be used: {why}",
            self.path.display()
        )));
    }

    /// Hands every row to the Swarm's task; gives the database back if it is sound.
    async fn load(&self, mut strangers: Strangers) -> Option<Strangers> {
        let mut after = None;
        loop {
            let read = move || {
                let rows = strangers.read(after.as_deref(), READ_AT_ONCE);
                (strangers, rows)
            };
            let (database, rows) = self.tasks.blocking(read).await?;
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => return self.throw_away(database, &error).await,
            };
            after = rows.last().map(|(key, _)| key.clone());
            // A node that is stopping takes nothing in.
            if after.is_none() || self.tasks.stopping().is_cancelled() {
                return Some(database);
            }
            let useless = self.net.restore_records(rows).await;
            let removals = useless.into_iter().map(|key| RecordChange { key, row: None }).collect();
            strangers = self.write(database, removals).await?;
        }
    }

    async fn write(&self, mut strangers: Strangers, batch: Vec<RecordChange>) -> Option<Strangers> {
        if batch.is_empty() {
            return Some(strangers);
        }
        let write = move || {
            let written = strangers.write(batch.into_iter().map(|change| (change.key, change.row)));
            (strangers, written)
        };
        let (strangers, written) = self.tasks.blocking(write).await?;
        match written {
            Ok(()) => Some(strangers),
            Err(error) => self.throw_away(strangers, &error).await,
        }
    }

    /// A database that failed once holds nobody knows what.
    async fn throw_away(&self, strangers: Strangers, error: &StoreError) -> Option<Strangers> {
        self.tell(error);
        let path = self.path.clone();
        let discard = move || {
            drop(strangers);
            Strangers::discard(&path);
        };
        self.tasks.blocking(discard).await?;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Command, Records};

    #[tokio::test]
    async fn what_cannot_be_read_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (net, mut asked, _) = Net::of_nobody();
        let tasks = Tasks::new();
        // It reads at once.
        tasks.stopping().cancel();
        let network = NetworkName::default();
        let path = folder.path().join("no such folder").join("records");
        let (_, changes) = mpsc::channel(1);
        let unkept = watch::Sender::new(None);
        Keeper { net, tasks, network, path, unkept }.run(changes).await;
        assert!(matches!(asked.recv().await, Some(Command::Records(Records::Loaded))));
    }
}
