//! Asks those who fetch a directory what they have of one file of it.

use std::pin::pin;

use futures::{Stream, StreamExt};

use super::{Finding, Holder, Seek, again::Again, findings};

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
            let again = Again::default();
            let take_in = async {
                let mut peers = pin!(peers);
                while let Some(Holder { peer, addresses, .. }) = peers.next().await {
                    // One that had nothing and was forgotten is asked again when it has more of the directory.
                    again.introduced(peer, addresses);
                }
                std::future::pending().await
            };
            tokio::select! {
                end = self.ask_again(&tell, &again) => end,
                end = take_in => end,
            }
        })
    }
}
