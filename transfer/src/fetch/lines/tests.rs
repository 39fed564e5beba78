//! Which stream the next request goes out on.

use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, join, select};
use shoal_content::GroupRanges;
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::super::reins::reins;
use super::*;
use crate::wire::{Body, Name, Want};

/// Opens pipes, and keeps their other ends.
#[derive(Default)]
struct Pipes {
    ends: Mutex<Vec<Compat<DuplexStream>>>,
    opened: AtomicUsize,
}

impl Pipes {
    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    fn last(&self) -> Compat<DuplexStream> {
        self.ends.lock().unwrap().pop().unwrap()
    }
}

impl Open for Pipes {
    fn open(&self, _: PeerId, _: Vec<Multiaddr>) -> BoxFuture<'static, Result<RangeStream, OpenError>> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.ends.lock().unwrap().push(theirs.compat());
        self.opened.fetch_add(1, Ordering::Relaxed);
        async { Ok(RangeStream::new(ours.compat())) }.boxed()
    }
}

fn digest() -> Digest {
    Digest::of(b"content")
}

fn request() -> Request {
    let want = Want { name: Name::Digest(digest()), ranges: GroupRanges::all(1), most: None };
    Request { wants: vec![want], body: Body::Content, credential: None }
}

/// A stream in use, and its other end. Its request was answered so late, and so many bytes have come on it.
async fn used(
    lines: &Lines,
    pipes: &Pipes,
    peer: PeerId,
    late: Duration,
    bytes: usize,
) -> (Line, Compat<DuplexStream>) {
    let request = request();
    let answering = async {
        while pipes.ends.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let mut end = pipes.last();
        Request::read(&mut end).await.unwrap().unwrap();
        // The way is long.
        tokio::time::sleep(late).await;
        end.write_all(&Header::Busy.to_frame()).await.unwrap();
        end
    };
    let asking = lines.ask_on_line(peer, Vec::new(), &request, digest(), None);
    let (answered, mut end) = join(asking, answering).await;
    let (mut line, _) = answered.unwrap();
    let reading = async {
        let (mut left, mut space) = (bytes, vec![0; 64 * 1024]);
        while left > 0 {
            left -= poll_fn(|cx| line.poll_read(cx, &mut space)).await.unwrap();
        }
    };
    let content = vec![0; bytes];
    let ((), written) = join(reading, end.write_all(&content)).await;
    written.unwrap();
    (line, end)
}

const FAR: Duration = Duration::from_millis(20);

fn grown() -> usize {
    usize::try_from(GROWN).unwrap()
}

async fn ask_next(lines: &Lines, peer: PeerId, digest: Digest) -> Result<Header, Failure> {
    let (_reins, bit) = reins();
    lines.ask_on_line(peer, Vec::new(), &request(), digest, Some(bit.pulse())).await.map(|(_, header)| header)
}

/// Reads on until the other end has heard a request.
async fn hear(line: &mut Line, end: &mut Compat<DuplexStream>) {
    let mut space = [0; 1];
    let reading = async {
        loop {
            poll_fn(|cx| line.poll_read(cx, &mut space)).await.unwrap();
        }
    };
    let hearing = Request::read(end);
    futures::pin_mut!(reading, hearing);
    let Either::Right((heard, _)) = select(reading, hearing).await;
    heard.unwrap().unwrap();
}

#[tokio::test]
async fn far_away_the_next_request_waits_for_the_stream_that_brought_much() {
    let pipes = Arc::new(Pipes::default());
    let (lines, peer) = (Lines::new(pipes.clone()), PeerId::random());
    let (mut line, mut end) = used(&lines, &pipes, peer, FAR, grown()).await;
    let passing_on = async {
        hear(&mut line, &mut end).await;
        assert!(line.pass_on().await.is_none());
        end.write_all(&Header::NotFound.to_frame()).await.unwrap();
        end
    };
    let (answered, _end) = join(ask_next(&lines, peer, digest()), passing_on).await;
    assert_eq!(answered, Ok(Header::NotFound));
    assert_eq!(pipes.opened(), 1);
}

#[tokio::test]
async fn if_the_stream_is_given_up_the_request_gets_another() {
    let pipes = Arc::new(Pipes::default());
    let (lines, peer) = (Lines::new(pipes.clone()), PeerId::random());
    let (mut line, mut end) = used(&lines, &pipes, peer, FAR, grown()).await;
    let answering = async {
        hear(&mut line, &mut end).await;
        drop(line);
        while pipes.opened() == 1 {
            tokio::task::yield_now().await;
        }
        let mut end = pipes.last();
        end.write_all(&Header::Busy.to_frame()).await.unwrap();
        end
    };
    let (answered, _end) = join(ask_next(&lines, peer, digest()), answering).await;
    assert_eq!(answered, Ok(Header::Busy));
}

#[tokio::test]
async fn nobody_waits_where_a_new_stream_is_as_good() {
    let other = Digest::of(b"other content");
    for (late, bytes, digest, why) in [
        (Duration::ZERO, grown(), digest(), "the source is near"),
        (FAR, grown() / 2, digest(), "its window is small"),
        (FAR, grown(), other, "it brings something else"),
    ] {
        let pipes = Arc::new(Pipes::default());
        let (lines, peer) = (Lines::new(pipes.clone()), PeerId::random());
        let (_line, _end) = used(&lines, &pipes, peer, late, bytes).await;
        // What is near takes long to answer too where the machine is busy.
        lines.used().answers.insert(peer, late);
        let asking = ask_next(&lines, peer, digest);
        futures::pin_mut!(asking);
        assert!(asking.as_mut().now_or_never().is_none());
        assert_eq!(pipes.opened(), 2, "{why}");
    }
}

#[tokio::test]
async fn of_idle_streams_the_one_that_brought_most_is_taken() {
    let pipes = Arc::new(Pipes::default());
    let (lines, peer) = (Lines::new(pipes.clone()), PeerId::random());
    let mut ends = Vec::new();
    let mut idle = Vec::new();
    for bytes in [1000, 3000, 2000] {
        let (line, end) = used(&lines, &pipes, peer, Duration::ZERO, bytes).await;
        idle.push(line.pass_on().await.unwrap());
        ends.push(end);
    }
    idle.into_iter().for_each(|stream| lines.give_back(peer, stream));
    let (request, best) = (request(), &mut ends[1]);
    let answering = async {
        Request::read(best).await.unwrap().unwrap();
        best.write_all(&Header::Busy.to_frame()).await.unwrap();
    };
    let (answered, ()) = join(lines.ask(peer, Vec::new(), &request), answering).await;
    assert_eq!(answered.unwrap().header, Header::Busy);
    assert_eq!(pipes.opened(), 3);
}
