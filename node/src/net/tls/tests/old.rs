//! Peers that know nothing newer than TLS 1.2, byte by byte, because our TLS library is built without it.

use rustls::PeerIncompatible;

use super::{meeting::Cause, *};

/// A fatal alert, in TLS 1.2's framing: protocol_version.
const WRONG_VERSION: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];
/// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
const SUITE: [u8; 2] = [0xc0, 0x2b];

/// One handshake message of `kind` in one record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let message = [&[kind, 0], &length(body.len())[..], body].concat();
    [&[0x16, 3, 3], &length(message.len())[..], &message].concat()
}

/// Version 1.2, a random number and no session.
fn beginning() -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &[0]].concat()
}

fn client_hello() -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 29]; // x25519
    let points = [0, 11, 0, 2, 1, 0];
    let schemes = [0, 13, 0, 4, 0, 2, 4, 3]; // ecdsa_secp256r1_sha256
    let extensions = [&groups[..], &points, &schemes].concat();
    let length = [0, u8::try_from(extensions.len()).unwrap()];
    record(1, &[&beginning()[..], &[0, 2], &SUITE, &[1, 0], &length, &extensions].concat())
}

fn server_hello() -> Vec<u8> {
    record(2, &[&beginning()[..], &SUITE, &[0]].concat())
}

/// Says `hello` to one end of an upgrade and returns how that ended, and what it answered last.
async fn told<T, E: Cause>(
    hello: Vec<u8>,
    upgrade: impl AsyncFnOnce(meeting::Socket) -> Result<T, E>,
) -> (Option<String>, Vec<u8>) {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let peer = async {
        far.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        answer.split_off(answer.len().saturating_sub(WRONG_VERSION.len()))
    };
    let (upgraded, answer) = tokio::join!(upgrade(near.compat()), peer);
    (upgraded.err().map(Cause::cause), answer)
}

#[tokio::test]
async fn a_client_of_tls_12_is_refused() {
    let key = Keypair::generate_ed25519();
    let cause = Error::from(PeerIncompatible::SupportedVersionsExtensionRequired).to_string();
    let expected = (Some(cause), WRONG_VERSION.to_vec());
    let by_ours = told(client_hello(), async |socket| {
        ours(Cipher::Aes128, &key).upgrade_inbound(socket, PROTOCOL).await
    });
    assert_eq!(by_ours.await, expected);
    let by_stock = told(client_hello(), async |socket| stock(&key).upgrade_inbound(socket, PROTOCOL).await);
    assert_eq!(by_stock.await, expected);
}

#[tokio::test]
async fn a_server_of_tls_12_is_refused() {
    let key = Keypair::generate_ed25519();
    let cause = Error::from(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig).to_string();
    let expected = (Some(cause), WRONG_VERSION.to_vec());
    let by_ours = told(server_hello(), async |socket| {
        ours(Cipher::Aes128, &key).upgrade_outbound(socket, PROTOCOL).await
    });
    assert_eq!(by_ours.await, expected);
    let by_stock = told(server_hello(), async |socket| stock(&key).upgrade_outbound(socket, PROTOCOL).await);
    assert_eq!(by_stock.await, expected);
}
