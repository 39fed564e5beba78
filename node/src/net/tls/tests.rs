//! Two ends meet over a pipe: ours with ours, ours with libp2p's own, and ours with those who break a rule.

mod forged;
mod meeting;
mod old;

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    multiaddr::Protocol,
    swarm::{DialError, SwarmEvent, dial_opts::DialOpts, dummy},
    tcp, tls, yamux,
};
use rustls::{
    CipherSuite, Error, HandshakeKind, NamedGroup, SupportedCipherSuite, Tls13CipherSuite,
    crypto::CipherSuiteCommon,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

use super::*;
use meeting::{Met, PIPE, meet};

const AES: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;

fn ours(cipher: Cipher, key: &Keypair) -> Config {
    Config::preferring(cipher, key).unwrap()
}

fn stock(key: &Keypair) -> tls::Config {
    tls::Config::new(key).unwrap()
}

fn check(met: &Result<Met, String>, peer: &Keypair, suite: CipherSuite) {
    let expected = Met {
        peer: peer.public().to_peer_id(),
        suite,
        group: NamedGroup::X25519MLKEM768,
        alpn: Some(ALPN.to_vec()),
        handshake: HandshakeKind::Full,
    };
    assert_eq!(met, &Ok(expected));
}

#[tokio::test]
async fn two_of_ours_choose_aes_if_both_processors_have_it() {
    let (server, client) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    for (accepts, dials, suite) in [
        (Cipher::Aes128, Cipher::Aes128, AES),
        (Cipher::Aes128, Cipher::ChaCha20, CHACHA),
        (Cipher::ChaCha20, Cipher::Aes128, CHACHA),
        (Cipher::ChaCha20, Cipher::ChaCha20, CHACHA),
    ] {
        let (accepted, dialled) = meet(ours(accepts, &server), ours(dials, &client)).await;
        check(&accepted, &client, suite);
        check(&dialled, &server, suite);
    }
}

#[tokio::test]
async fn a_node_asks_its_processor() {
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::is_x86_feature_detected!("aes");
    #[cfg(not(target_arch = "x86_64"))]
    let has_aes = Cipher::of_this_processor() == Cipher::Aes128;
    let key = Keypair::generate_ed25519();
    let (accepted, dialled) = meet(Config::new(&key).unwrap(), Config::new(&key).unwrap()).await;
    let suite = if has_aes { AES } else { CHACHA };
    check(&accepted, &key, suite);
    check(&dialled, &key, suite);
}

#[tokio::test]
async fn ours_meets_the_stock_upgrade_either_way() {
    let (server, client) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    for (cipher, we_dial) in [(Cipher::Aes128, AES), (Cipher::ChaCha20, CHACHA)] {
        let (accepted, dialled) = meet(ours(cipher, &server), stock(&client)).await;
        check(&accepted, &client, CHACHA);
        check(&dialled, &server, CHACHA);

        let (accepted, dialled) = meet(stock(&server), ours(cipher, &client)).await;
        check(&accepted, &client, we_dial);
        check(&dialled, &server, we_dial);
    }
}

#[tokio::test]
async fn meeting_again_is_a_whole_handshake() {
    let (server, client) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (ours, stock) = (ours(Cipher::Aes128, &server), stock(&client));
    for _ in 0..2 {
        let (accepted, _) = meet(ours.clone(), stock.clone()).await;
        check(&accepted, &client, CHACHA);
        let (_, dialled) = meet(stock.clone(), ours.clone()).await;
        check(&dialled, &client, AES);
    }
}

/// What the stock upgrade answers to a peer that offers `alpn`, ours answers too.
#[tokio::test]
async fn the_name_inside_the_handshake_is_libp2p_or_none() {
    let key = Keypair::generate_ed25519();
    let refused = Error::NoApplicationProtocol.to_string();
    for (alpn, expected) in [
        (vec![b"h2".to_vec()], Err(refused)),
        (vec![b"/yamux/1.0.0".to_vec(), ALPN.to_vec()], Ok(Some(ALPN.to_vec()))),
        (vec![], Ok(None)),
    ] {
        let mut peer = ours(Cipher::Aes128, &key);
        Arc::make_mut(&mut peer.client).alpn_protocols.clone_from(&alpn);
        Arc::make_mut(&mut peer.server).alpn_protocols.clone_from(&alpn);
        let named = |met: Result<Met, String>| met.map(|met| met.alpn);

        let (by_ours, _) = meet(ours(Cipher::Aes128, &key), peer.clone()).await;
        let (by_stock, _) = meet(stock(&key), peer.clone()).await;
        assert_eq!(named(by_ours), expected, "{alpn:?} dials ours");
        assert_eq!(named(by_stock), expected, "{alpn:?} dials stock");

        let (_, by_ours) = meet(peer.clone(), ours(Cipher::Aes128, &key)).await;
        let (_, by_stock) = meet(peer, stock(&key)).await;
        assert_eq!(named(by_ours), named(by_stock), "{alpn:?} accepts");
    }
}

fn swarm(key: &Keypair) -> Swarm<dummy::Behaviour> {
    SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .build()
}

#[tokio::test]
async fn a_dial_to_somebody_else_is_refused() {
    let (server, client) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (mut accepts, mut dials) = (swarm(&server), swarm(&client));
    accepts.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = accepts.select_next_some().await {
            break address;
        }
    };
    tokio::select! {
        () = async { loop { accepts.select_next_some().await; } } => {}
        () = dial_both(&mut dials, &address, &server) => {}
    }
}

async fn dial_both(swarm: &mut Swarm<dummy::Behaviour>, address: &Multiaddr, server: &Keypair) {
    let (peer, other) = (server.public().to_peer_id(), Keypair::generate_ed25519().public().to_peer_id());
    swarm.dial(address.clone().with(Protocol::P2p(other))).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::OutgoingConnectionError {
                error: DialError::WrongPeerId { obtained, .. }, ..
            } => break assert_eq!(obtained, peer),
            SwarmEvent::Dialing { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    swarm.dial(DialOpts::peer_id(peer).addresses(vec![address.clone()]).build()).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => break assert_eq!(peer_id, peer),
            SwarmEvent::Dialing { .. } => {}
            event => panic!("{event:?}"),
        }
    }
}

/// Bytes on the wire from client to server while it sends `records` small ones, with a key worn out after `limit`.
async fn wire_bytes(limit: u64, records: usize) -> u64 {
    let key = Keypair::generate_ed25519();
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(worn_out_after(limit))))];
    let (_, client) = configs(&Arc::new(provider), &key).unwrap();
    let server = ours(Cipher::Aes128, &key);
    let client = Config { client: Arc::new(client), ..server.clone() };

    let (near, mut relay_near) = tokio::io::duplex(PIPE);
    let (mut relay_far, far) = tokio::io::duplex(PIPE);
    let sends = async {
        let (_, stream) = client.upgrade_outbound(near.compat(), PROTOCOL).await.unwrap();
        let mut stream = Stream::new(stream).compat();
        for _ in 0..records {
            stream.write_all(b"record").await.unwrap();
            stream.flush().await.unwrap();
        }
        stream.shutdown().await.unwrap();
    };
    let receives = async {
        let (_, stream) = server.upgrade_inbound(far.compat(), PROTOCOL).await.unwrap();
        let mut got = Vec::new();
        Stream::new(stream).compat().read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"record".repeat(records));
    };
    let relays = async { tokio::io::copy_bidirectional(&mut relay_near, &mut relay_far).await.unwrap().0 };
    let ((), (), bytes) = tokio::join!(sends, receives, relays);
    bytes
}

fn worn_out_after(records: u64) -> Tls13CipherSuite {
    let stock = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    Tls13CipherSuite {
        common: CipherSuiteCommon { confidentiality_limit: records, ..stock.common },
        hkdf_provider: stock.hkdf_provider,
        aead_alg: stock.aead_alg,
        quic: None,
    }
}

/// One key of AES-GCM may secure 2^24 records, 256 GiB, and ChaCha20 has no such limit: a connection must outlive it.
#[tokio::test]
async fn a_worn_out_key_is_replaced() {
    const RECORDS: usize = 100;
    /// A header, the message, its type and the tag.
    const KEY_UPDATE: u64 = 5 + 5 + 1 + 16;
    let quiet = wire_bytes(u64::MAX, RECORDS).await;
    let busy = wire_bytes(10, RECORDS).await;
    let updates = (busy - quiet) / KEY_UPDATE;
    assert!((8..=12).contains(&updates), "{updates} new keys for {RECORDS} records");
}
