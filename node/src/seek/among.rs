//! Asks those who fetch a directory what they have of one file of it.

use std::{pin::pin, time::Instant};

use futures::{Stream, StreamExt};

use super::{Finding, Found, Holder, Seek, findings};

impl Seek {
    /// Asks these `peers` for the content, each again as long as what it holds grows, and whom they introduce. Nobody else
    /// is looked for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream forgets every question.
    pub(crate) fn among(
        self,
        peers: impl Stream<Item = Holder> + Send,
    ) -> impl Stream<Item = Finding> + Send {
        findings(|tell| async move {
            let found = Found::default();
            let take_in = async {
                let mut peers = pin!(peers);
                while let Some(Holder { peer, addresses, .. }) = peers.next().await {
                    // One that had nothing and was forgotten is asked again when it has more of the directory.
                    if found.watch().introduced(peer, addresses, Instant::now()) {
                        found.changed.notify_one();
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = self.ask_again(&tell, &found) => {}
                () = take_in => {}
            }
        })
    }
}
