//! What a server sends, byte by byte, and how long it puts up with slow peers.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use shoal_content::{Digest, GROUP_LEN, GroupRanges, ProviderKey, SIZES, Step};
use shoal_store::Store;
use shoal_transfer::wire::{Body, Header, Mark, Name, Request, Want};
use shoal_transfer::{Limits, Outcome, RangeStream, ServeError, ServeEvent, serve};

use crate::content::{Library, Threads, bytes, encode};
use crate::net::{Config, Node, Provider, soon};

pub(crate) struct Client {
    pub(crate) node: Node,
    pub(crate) provider: Provider,
}

impl Client {
    pub(crate) async fn of(store: &Store) -> Self {
        let provider = Provider::start(store, &Threads::start()).await;
        let (node, _) = Node::start(Config::default()).await;
        Client { node, provider }
    }

    async fn open(&self) -> RangeStream {
        let provider = &self.provider.node;
        soon(self.node.opener.open(provider.id, vec![provider.address.clone()])).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: &Request) -> (Header, Vec<u8>, Option<Mark>) {
        let mut stream = self.open().await;
        stream.write_all(&request.to_frame()).await.unwrap();
        stream.flush().await.unwrap();
        let answer = soon(response(&mut stream)).await;
        stream.close().await.unwrap();
        let mut rest = Vec::new();
        soon(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "bytes after the last mark");
        answer
    }
}

/// Reads the answer to one want to its last mark.
async fn response(stream: &mut RangeStream) -> (Header, Vec<u8>, Option<Mark>) {
    let header = Header::read(stream).await.unwrap();
    if !matches!(header, Header::Follows { .. }) {
        return (header, vec![], None);
    }
    let mut body = Vec::new();
    loop {
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        match Mark::decode(word).unwrap() {
            Mark::Chunk(len) => {
                let at = body.len();
                body.resize(at + len as usize, 0);
                stream.read_exact(&mut body[at..]).await.unwrap();
            }
            last => return (header, body, Some(last)),
        }
    }
}

fn request(digest: Digest, ranges: GroupRanges) -> Request {
    Request::one(digest, ranges)
}

#[tokio::test]
async fn every_size_is_sent_as_the_tree_says() {
    let library = Library::new();
    let client = Client::of(&library.store).await;
    for (size, why) in SIZES {
        let data = bytes(*size, *size);
        let digest = library.publish(&format!("{size}"), &data);
        let groups = size.div_ceil(GROUP_LEN).max(1);
        let some = [0..1, groups / 2..groups / 2 + 3].into_iter().collect();
        for ranges in [GroupRanges::all(u64::MAX), GroupRanges::from(u64::MAX - 1..u64::MAX), some] {
            let (header, body, last) = client.ask(&request(digest, ranges.clone())).await;
            assert_eq!(header, Header::Follows { size: *size, ranges: None }, "{why}");
            let expected: Vec<u8> = encode(&data, &ranges).into_iter().flat_map(|(_, bytes)| bytes).collect();
            assert!(body == expected, "{why}");
            assert_eq!(last, Some(Mark::Complete));
        }
    }
}

#[tokio::test]
async fn hashes_alone_are_sent_when_only_they_are_wanted() {
    let library = Library::new();
    let data = bytes(40 * GROUP_LEN, 1);
    let digest = library.publish("a", &data);
    let client = Client::of(&library.store).await;
    let all = GroupRanges::all(u64::MAX);
    let wanted = Request { body: Body::HashesOnly, ..request(digest, all.clone()) };
    let (_, body, last) = client.ask(&wanted).await;
    let parents = encode(&data, &all).into_iter().filter(|(step, _)| matches!(step, Step::Parent { .. }));
    assert_eq!(body, parents.flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>());
    assert_eq!(body.len(), 39 * 64);
    assert_eq!(last, Some(Mark::Complete));
}

#[tokio::test]
async fn what_is_not_here_or_not_understood_gets_a_word() {
    let library = Library::new();
    let client = Client::of(&library.store).await;
    let (header, ..) = client.ask(&request(Digest::of(b"absent"), GroupRanges::all(1))).await;
    assert_eq!(header, Header::NotFound);

    let mut stream = client.open().await;
    stream.write_all(&[0, 0, 0, 2, 0xff, 0xff]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(response(&mut stream)).await.0, Header::BadRequest);
}

#[tokio::test]
async fn a_file_that_changed_is_not_sent() {
    let library = Library::new();
    let data = bytes(300 * GROUP_LEN, 2);
    let digest = library.publish("a", &data);
    let client = Client::of(&library.store).await;
    let mut edited = data.clone();
    edited.truncate(100);
    std::fs::write(library.path("a"), &edited).unwrap();
    let (header, ..) = client.ask(&request(digest, GroupRanges::all(u64::MAX))).await;
    assert_eq!(header, Header::Changed);
    std::fs::remove_file(library.path("a")).unwrap();
    let (header, ..) = client.ask(&request(digest, GroupRanges::all(u64::MAX))).await;
    assert_eq!(header, Header::Changed);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_ends_the_response() {
    let library = Library::new();
    let data = bytes(2000 * GROUP_LEN, 3);
    let digest = library.publish("a", &data);
    let client = Client::of(&library.store).await;
    let mut stream = client.open().await;
    stream.write_all(&request(digest, GroupRanges::all(u64::MAX)).to_frame()).await.unwrap();
    stream.flush().await.unwrap();
    assert!(matches!(soon(Header::read(&mut stream)).await.unwrap(), Header::Follows { .. }));
    // The header is here, so the file is open and being read; back-pressure keeps the server far from its end.
    let file = std::fs::File::options().write(true).open(library.path("a")).unwrap();
    file.set_len(200 * GROUP_LEN).unwrap();
    let last = soon(async {
        loop {
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            match Mark::decode(word).unwrap() {
                Mark::Chunk(len) => {
                    stream.read_exact(&mut vec![0; len as usize]).await.unwrap();
                }
                last => return last,
            }
        }
    })
    .await;
    assert_eq!(last, Mark::Changed);
}

#[tokio::test]
async fn a_fresh_file_that_changed_without_a_trace_is_not_sent() {
    let library = Library::new();
    let data = bytes(100 * GROUP_LEN, 4);
    let digest = library.publish_fresh("a", &data, false);
    assert!(library.store.blob(&digest).unwrap().unwrap().needs_verifying());
    let client = Client::of(&library.store).await;
    let (_, body, last) = client.ask(&request(digest, GroupRanges::all(u64::MAX))).await;
    assert_eq!(last, Some(Mark::Complete));
    assert_eq!(body.len(), (100 * GROUP_LEN + 99 * 64) as usize);

    // Same size, same inode, same times: one flipped bit in group 50, through a mapping that leaves no trace, is
    // modelled by a library that opens the blob before the file is touched.
    let blob_of_before =
        Stale(std::sync::Arc::new(std::sync::Mutex::new(library.store.blob(&digest).unwrap())));
    let mut edited = data.clone();
    edited[(50 * GROUP_LEN) as usize] ^= 1;
    std::fs::write(library.path("a"), &edited).unwrap();
    let (node, _) = Node::start(Config::default()).await;
    let (server, mut incoming) = Node::start(Config::default()).await;
    let mut stream = soon(node.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    stream.write_all(&request(digest, GroupRanges::all(u64::MAX)).to_frame()).await.unwrap();
    stream.flush().await.unwrap();
    let inbound = soon(incoming.next()).await.unwrap();
    let pool = Threads::start();
    let mut outcome = None;
    let observe = |event| {
        if let ServeEvent::Served(served) = event {
            outcome = Some(served.outcome);
        }
    };
    let (served, (_, body, last)) = soon(futures::future::join(
        serve(inbound, &blob_of_before, &*pool, &Limits::default(), observe),
        async {
            let answer = response(&mut stream).await;
            stream.close().await.unwrap();
            answer
        },
    ))
    .await;
    served.unwrap();
    assert_eq!(last, Some(Mark::Changed));
    let good: usize = encode(&data, &GroupRanges::all(100))
        .iter()
        .take_while(|(step, _)| !matches!(step, Step::Leaf { group: 50, .. }))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert_eq!(body.len(), good, "nothing from the bad group on was sent");
    assert_eq!(outcome, Some(Outcome::Changed));
}

/// A library that hands out one blob opened earlier.
#[derive(Clone)]
struct Stale(std::sync::Arc<std::sync::Mutex<Option<shoal_store::Blob>>>);

impl shoal_transfer::Library for Stale {
    fn look_up(&self, _: &[Digest]) -> Vec<shoal_store::Lead> {
        Vec::new()
    }

    fn open(
        &self,
        _: &Digest,
        _: shoal_store::Lead,
    ) -> Result<Option<shoal_store::Blob>, shoal_store::ReadError> {
        Ok(self.0.lock().unwrap().take())
    }

    fn digest_for(&self, _: &ProviderKey) -> Option<Digest> {
        None
    }

    fn report_bad(&self, _: &Digest) {}
}

#[tokio::test]
async fn a_peer_that_does_not_finish_its_request_or_does_not_read_is_given_up() {
    let library = Library::new();
    let digest = library.publish("a", &bytes(2000 * GROUP_LEN, 5));
    let pool = Threads::start();
    let mut limits = Limits::default();
    limits.request = Duration::from_millis(200);
    limits.write_stall = Duration::from_millis(200);
    let (server, mut incoming) = Node::start(Config::default()).await;
    let (client, _) = Node::start(Config::default()).await;

    let mut stream = soon(client.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    stream.write_all(&[0, 0]).await.unwrap();
    stream.flush().await.unwrap();
    let inbound = soon(incoming.next()).await.unwrap();
    let ended = soon(serve(inbound, &library.store, &*pool, &limits, |_| {})).await;
    assert!(matches!(ended, Err(ServeError::RequestTimedOut)), "{ended:?}");

    let mut stream = soon(client.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    stream.write_all(&request(digest, GroupRanges::all(u64::MAX)).to_frame()).await.unwrap();
    stream.flush().await.unwrap();
    let inbound = soon(incoming.next()).await.unwrap();
    let mut sent = 0;
    let observe = |event| {
        if let ServeEvent::Sent(bytes) = event {
            sent += bytes;
        }
    };
    let ended = soon(serve(inbound, &library.store, &*pool, &limits, observe)).await;
    assert!(matches!(ended, Err(ServeError::Stalled)), "{ended:?}");
    assert!(sent > 0, "what a stream carried before it broke counts too");
}

#[tokio::test]
async fn many_blobs_are_answered_in_order_and_one_that_is_not_here_stops_no_other() {
    let library = Library::new();
    let client = Client::of(&library.store).await;
    let contents: Vec<Vec<u8>> = SIZES.iter().map(|(size, _)| bytes(*size, *size + 7)).collect();
    let mut wants = Vec::new();
    for (at, data) in contents.iter().enumerate() {
        let digest = library.publish(&format!("{at}"), data);
        wants.push(Want { name: Name::Digest(digest), ranges: GroupRanges::all(u64::MAX), most: None });
        wants.push(Want {
            name: Name::Digest(Digest::of(b"absent")),
            ranges: GroupRanges::all(1),
            most: None,
        });
    }
    let gone = library.publish("gone", b"to be removed");
    std::fs::remove_file(library.path("gone")).unwrap();
    wants.push(Want { name: Name::Digest(gone), ranges: GroupRanges::all(1), most: None });
    let request = Request { wants, body: Body::Content, credential: None };

    // Two of the same on one stream, the second before the first is answered.
    let mut stream = client.open().await;
    let frame = request.to_frame();
    soon(stream.write_all(&[frame.as_slice(), frame.as_slice()].concat())).await.unwrap();
    stream.flush().await.unwrap();
    for _ in 0..2 {
        for data in &contents {
            let (header, body, last) = soon(response(&mut stream)).await;
            assert_eq!(header, Header::Follows { size: data.len() as u64, ranges: None });
            let all = encode(data, &GroupRanges::all(u64::MAX));
            assert!(body == all.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>());
            assert_eq!(last, Some(Mark::Complete));
            assert_eq!(soon(response(&mut stream)).await.0, Header::NotFound);
        }
        assert_eq!(soon(response(&mut stream)).await.0, Header::Changed);
    }
    stream.close().await.unwrap();
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "nothing after the last answer");
}

#[tokio::test]
async fn a_server_that_may_choose_says_what_it_chose() {
    let library = Library::new();
    let data = bytes(40 * GROUP_LEN, 1);
    let digest = library.publish("a", &data);
    let client = Client::of(&library.store).await;
    let ranges: GroupRanges = [3..9, 20..30].into_iter().collect();
    for most in [0, 1, 8, 15] {
        let want = Want { name: Name::Digest(digest), ranges: ranges.clone(), most: Some(most) };
        let asked = Request { wants: vec![want], body: Body::Content, credential: None };
        let (header, body, last) = client.ask(&asked).await;
        let Header::Follows { size, ranges: Some(chosen) } = header else { panic!("{header:?}") };
        assert_eq!((size, chosen.len()), (data.len() as u64, most));
        assert!(chosen.difference(&ranges).is_empty());
        assert!(body == encode(&data, &chosen).into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>());
        assert_eq!(last, Some(Mark::Complete));
    }
}

#[tokio::test]
async fn a_stream_without_a_request_is_closed_and_one_between_requests_holds_no_permit() {
    let library = Library::new();
    let digest = library.publish("a", &bytes(3 * GROUP_LEN, 1));
    let asked = request(digest, GroupRanges::all(u64::MAX));
    let mut limits = Limits::default();
    limits.per_peer_transfers = 1;
    let config = Config { limits, ..Config::default() };
    let provider = Provider::start_with(config, &library.store, &Threads::start()).await;
    let (node, _) = Node::start(Config::default()).await;
    let client = Client { node, provider };
    // One after the other on streams that all stay open: each is served although there is one permit.
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = client.open().await;
        for _ in 0..2 {
            loop {
                stream.write_all(&asked.to_frame()).await.unwrap();
                stream.flush().await.unwrap();
                let (header, _, last) = soon(response(&mut stream)).await;
                if header == Header::Busy {
                    // The last one's permit is given back a moment after we have read its end.
                    stream = client.open().await;
                    continue;
                }
                assert_eq!(last, Some(Mark::Complete));
                break;
            }
        }
        streams.push(stream);
    }

    let mut limits = Limits::default();
    limits.idle = Duration::from_millis(100);
    let config = Config { limits, ..Config::default() };
    let provider = Provider::start_with(config, &library.store, &Threads::start()).await;
    let (node, _) = Node::start(Config::default()).await;
    let client = Client { node, provider };
    let mut stream = client.open().await;
    stream.write_all(&asked.to_frame()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(response(&mut stream)).await.2, Some(Mark::Complete));
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "the server hung up");
}

#[tokio::test]
async fn a_request_beyond_the_permits_of_a_peer_is_told_so_and_ends_its_stream() {
    let library = Library::new();
    let digest = library.publish("a", &bytes(2000 * GROUP_LEN, 5));
    let asked = request(digest, GroupRanges::all(u64::MAX));
    let mut limits = Limits::default();
    limits.per_peer_transfers = 1;
    let config = Config { limits, ..Config::default() };
    let provider = Provider::start_with(config, &library.store, &Threads::start()).await;
    let (node, _) = Node::start(Config::default()).await;
    let client = Client { node, provider };
    let mut first = client.open().await;
    first.write_all(&asked.to_frame()).await.unwrap();
    first.flush().await.unwrap();
    // Its header is here, and it is far too long to have been sent: it holds the permit.
    assert!(matches!(soon(Header::read(&mut first)).await.unwrap(), Header::Follows { .. }));
    let mut second = client.open().await;
    second.write_all(&asked.to_frame()).await.unwrap();
    second.flush().await.unwrap();
    assert_eq!(soon(Header::read(&mut second)).await.unwrap(), Header::Busy);
    assert_eq!(soon(second.read(&mut [0])).await.unwrap(), 0);
}
