//! Tests of answers: their order, their end, and what becomes of a job that nobody listens to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt, future::pending, task::noop_waker};
use http_body_util::BodyExt;

use super::*;
use crate::json::Missed;

fn event(count: u64) -> Event {
    Event::Missed(Missed { count })
}

async fn read(response: Response) -> Vec<Event> {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| json::decode(line).unwrap()).collect()
}

#[tokio::test]
async fn events_come_in_order_and_done_comes_last() {
    let more_than_wait = u64::try_from(WAITING_LINES * 3).unwrap();
    let response = lines(|out| async move {
        for count in 0..more_than_wait {
            out.event(event(count)).await;
        }
        Ok(())
    });
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let mut expected: Vec<_> = (0..more_than_wait).map(event).collect();
    expected.push(Event::Done(Ok(()).into()));
    assert_eq!(read(response).await, expected);
}

#[tokio::test]
async fn a_failure_is_the_last_line_too() {
    let failure = Failure::new(ErrorKind::Exists, "it exists");
    let expected = [event(1), Event::Done(Err(failure.clone()).into())];
    let response = lines(|out| async move {
        out.event(event(1)).await;
        Err(failure)
    });
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response).await, expected);
}

/// Counts the jobs that are alive.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_says_nothing_is_still_heard() {
    let response = lines(|out| async move {
        out.event(event(1)).await;
        sleep(HEARTBEAT * 5 / 2).await;
        out.event(event(2)).await;
        Ok(())
    });
    let expected = [event(1), Event::Alive, Event::Alive, event(2), Event::Done(Ok(()).into())];
    assert_eq!(read(response).await, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_into_content() {
    let head = Event::Bytes(json::Bytes { size: 2 });
    let mut expected = json::encode(&head);
    expected.extend(b"ab");
    expected.extend(json::encode(&Event::Done(Ok(()).into())));
    let response = lines_and_bytes(|out| async move {
        out.event(head).await;
        for piece in ["a", "b"] {
            sleep(HEARTBEAT * 3).await;
            out.content(piece.into()).await;
        }
        Ok(())
    });
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn a_job_ends_with_its_reader() {
    let jobs = Arc::new(AtomicUsize::new(1));
    let alive = Alive(jobs.clone());
    let mut answer = Lines::of(|out| async move {
        let _alive = alive;
        out.event(event(1)).await;
        pending().await
    });
    assert!(answer.next().await.is_some());
    assert_eq!(jobs.load(Ordering::Relaxed), 1);
    drop(answer);
    assert_eq!(jobs.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_slow_reader_slows_the_job() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let mut answer = Lines::of(|out| async move {
        loop {
            out.event(event(1)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let waker = noop_waker();
    assert!(answer.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready());
    assert_eq!(written.load(Ordering::Relaxed), WAITING_LINES);
}
