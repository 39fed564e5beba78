//! Publishing many paths: what their caller hears at the end.

use super::*;

/// Publishes of so many paths, and whoever tells of them.
fn publishing(left: usize) -> (PublishAll, mpsc::Sender<Result<Shared, PublishError>>) {
    let (tell, results) = mpsc::channel(RESULTS);
    let progress = watch::channel(PublishProgress::default()).1;
    (PublishAll { results, progress, left, _cancel: CancelOnDrop(Cancel::new()) }, tell)
}

#[tokio::test]
async fn publishes_that_are_cut_off_fail() {
    let (mut all, tell) = publishing(2);
    drop(tell);
    assert!(matches!(all.next().await, Some(Err(PublishError::Stopped))), "two paths are missing");
    assert!(all.next().await.is_none(), "a failure is told once");
}

#[tokio::test]
async fn nothing_is_missing_after_a_failure() {
    let (mut all, tell) = publishing(2);
    tell.send(Err(PublishError::Stopped)).await.unwrap();
    drop(tell);
    assert!(matches!(all.next().await, Some(Err(_))));
    assert!(all.next().await.is_none());
    let (mut none, tell) = publishing(0);
    drop(tell);
    assert!(none.next().await.is_none(), "there was nothing to publish");
}
