//! Who waits for a stream gets it, or is told that it does not.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::super::reins::{Reins, reins};
use super::*;

/// A line, the place behind it, and what is at its other end, which takes so many bytes that nobody reads.
fn line(room: usize) -> (Line, Place, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(room);
    let (line, place) = Line::new(RangeStream::new(ours.compat()));
    (line, place, theirs)
}

fn wait(place: &mut Place) -> (Waiting, Reins) {
    let (reins, bit) = reins();
    (place.take(b"next".to_vec(), bit.pulse()), reins)
}

async fn read(line: &mut Line, len: usize) {
    let mut space = vec![0; len];
    assert_eq!(std::future::poll_fn(|cx| line.poll_read(cx, &mut space)).await.unwrap(), len);
}

#[tokio::test]
async fn what_waits_is_sent_before_the_answer_ends() {
    let (mut line, mut place, mut theirs) = line(4096);
    assert!(place.is_there());
    let (taken, mut reins) = wait(&mut place);
    theirs.write_all(&[0; 2048]).await.unwrap();
    read(&mut line, 2048).await;
    let mut heard = [0; 4];
    theirs.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"next");
    assert!(reins.is_alive(), "what comes before it tells that it lives");
    assert!(line.pass_on().await.is_none());
    let mut line = taken.turn().await.unwrap();
    assert_eq!(place.brought(), 2048);
    theirs.write_all(b"!").await.unwrap();
    read(&mut line, 1).await;
    assert!(place.is_there(), "behind the second one is another");
    let (taken, _reins) = wait(&mut place);
    assert!(line.pass_on().await.is_none());
    theirs.read_exact(&mut heard).await.unwrap();
    assert!(taken.turn().await.is_some());
}

#[tokio::test]
async fn what_was_not_sent_by_then_is_sent_at_the_end() {
    let (mut line, mut place, mut theirs) = line(1);
    let (taken, _reins) = wait(&mut place);
    theirs.write_all(b"a").await.unwrap();
    read(&mut line, 1).await;
    let mut heard = [0; 4];
    let (passed_on, read) = futures::join!(line.pass_on(), theirs.read_exact(&mut heard));
    assert!(passed_on.is_none() && read.is_ok());
    assert_eq!(&heard, b"next");
    assert!(taken.turn().await.is_some());
}

#[tokio::test]
async fn an_answer_that_is_given_up_keeps_nobody_waiting() {
    let (mut line, mut place, mut theirs) = line(64);
    let (taken, _reins) = wait(&mut place);
    theirs.write_all(b"a").await.unwrap();
    read(&mut line, 1).await;
    let (behind, _reins) = wait(&mut place);
    drop(line);
    assert!(taken.turn().await.is_none());
    assert!(behind.turn().await.is_none(), "nor who waits behind who waits");

    let (line, mut place, _theirs) = self::line(64);
    drop(line);
    assert!(!place.is_there());
    assert!(wait(&mut place).0.turn().await.is_none(), "it was given up before");
}

#[tokio::test]
async fn a_stream_that_nobody_waits_for_can_be_kept_if_nothing_was_asked_on_it() {
    let (line, place, _theirs) = line(64);
    assert!(line.pass_on().await.is_some());
    assert!(!place.is_there());

    let (mut line, mut place, mut theirs) = self::line(64);
    drop(wait(&mut place));
    theirs.write_all(b"a").await.unwrap();
    read(&mut line, 1).await;
    assert!(line.pass_on().await.is_some(), "who waited left before it was sent");

    let (mut line, mut place, mut theirs) = self::line(64);
    let (taken, _reins) = wait(&mut place);
    theirs.write_all(b"a").await.unwrap();
    read(&mut line, 1).await;
    drop(taken);
    assert!(line.pass_on().await.is_none(), "an answer comes on it that nobody wants");
}
