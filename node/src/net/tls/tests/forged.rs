//! Peers that show what libp2p forbids, in both roles: ours and the stock upgrade refuse each of them.

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

const EXTENSION: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];
const PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// A certificate before it is made, honest unless a test says otherwise.
struct Draft {
    identity: Keypair,
    key: KeyPair,
    params: CertificateParams,
}

impl Draft {
    fn bare() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Self { identity: Keypair::generate_ed25519(), key: KeyPair::generate().unwrap(), params }
    }

    fn honest() -> Self {
        let mut draft = Self::bare();
        let signed = [PREFIX, &draft.key.public_key_der()].concat();
        draft.vouch(draft.identity.sign(&signed).unwrap());
        draft
    }

    /// Adds the extension: the identity's public key, and `signature` as that of the certificate's key by it.
    fn vouch(&mut self, signature: Vec<u8>) {
        let octets = |bytes: Vec<u8>| [vec![0x04, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let pair = [octets(self.identity.public().encode_protobuf()), octets(signature)].concat();
        let content = [vec![0x30, u8::try_from(pair.len()).unwrap()], pair].concat();
        let mut extension = CustomExtension::from_oid_content(&EXTENSION, content);
        extension.set_criticality(true);
        self.params.custom_extensions.push(extension);
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.params.clone().self_signed(&self.key).unwrap().into()
    }

    fn peer(&self) -> Config {
        shows(vec![self.certificate()], &self.key)
    }
}

/// A peer that shows `chain` and signs the handshake with `key`.
fn shows(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Config {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
    let certified = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    let mut peer = ours(Cipher::Aes128, &Keypair::generate_ed25519());
    Arc::make_mut(&mut peer.server).cert_resolver = Arc::clone(&certified) as _;
    Arc::make_mut(&mut peer.client).client_auth_cert_resolver = certified;
    peer
}

/// Ours says `cause`; the stock upgrade may word it otherwise but refuses too, and so the rules are the same.
async fn refused(peer: &Config, cause: &str) {
    let key = Keypair::generate_ed25519();
    let expected = Err(cause.to_owned());
    assert_eq!(meet(ours(Cipher::Aes128, &key), peer.clone()).await.0, expected, "as a client");
    assert_eq!(meet(peer.clone(), ours(Cipher::Aes128, &key)).await.1, expected, "as a server");
    assert!(meet(stock(&key), peer.clone()).await.0.is_err(), "as a client of the stock upgrade");
    assert!(meet(peer.clone(), stock(&key)).await.1.is_err(), "as a server of the stock upgrade");
}

/// Without this the other tests could be refused for a fault in how they build certificates.
#[tokio::test]
async fn an_honest_one_is_let_in() {
    let draft = Draft::honest();
    let (accepted, dialled) = meet(draft.peer(), draft.peer()).await;
    check(&accepted, &draft.identity, AES);
    check(&dialled, &draft.identity, AES);
}

#[tokio::test]
async fn an_identity_that_did_not_sign_is_refused() {
    let mut draft = Draft::bare();
    let signed = [PREFIX, &draft.key.public_key_der()].concat();
    draft.vouch(Keypair::generate_ed25519().sign(&signed).unwrap());
    refused(&draft.peer(), "not a libp2p certificate: UnknownIssuer").await;
}

/// Somebody copies the extension of a victim's certificate into one for a key of their own.
#[tokio::test]
async fn an_extension_for_another_key_is_refused() {
    let victim = Draft::honest();
    let mut thief = Draft::bare();
    thief.params.custom_extensions = victim.params.custom_extensions;
    refused(&thief.peer(), "not a libp2p certificate: UnknownIssuer").await;
}

#[tokio::test]
async fn a_certificate_without_the_extension_is_refused() {
    refused(&Draft::bare().peer(), "not a libp2p certificate: BadDer").await;
}

#[tokio::test]
async fn an_unknown_critical_extension_is_refused() {
    let mut draft = Draft::honest();
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 53594, 1, 99], vec![5, 0]);
    extension.set_criticality(true);
    draft.params.custom_extensions.push(extension);
    refused(&draft.peer(), "not a libp2p certificate: UnsupportedCriticalExtension").await;
}

#[tokio::test]
async fn a_certificate_of_another_time_is_refused() {
    for (from, to) in [(1970, 1975), (4000, 4096)] {
        let mut draft = Draft::honest();
        draft.params.not_before = date_time_ymd(from, 1, 1);
        draft.params.not_after = date_time_ymd(to, 1, 1);
        refused(&draft.peer(), "its certificate is not of this time: is the clock of this machine right?")
            .await;
    }
}

#[tokio::test]
async fn a_certificate_signed_by_another_is_refused() {
    let (draft, authority) = (Draft::honest(), Draft::bare());
    let issuer = authority.params.self_signed(&authority.key).unwrap();
    let certificate = draft.params.clone().signed_by(&draft.key, &issuer, &authority.key).unwrap();
    let peer = shows(vec![certificate.into()], &draft.key);
    refused(&peer, "not a libp2p certificate: SignatureAlgorithmMismatch").await;
}

#[tokio::test]
async fn a_second_certificate_is_refused() {
    let draft = Draft::honest();
    let peer = shows(vec![draft.certificate(), Draft::honest().certificate()], &draft.key);
    refused(&peer, "2 certificates where libp2p wants one").await;
}

/// Anybody can show a victim's certificate; what they lack is its key.
#[tokio::test]
async fn a_handshake_signed_with_another_key_is_refused() {
    let (victim, thief) = (Draft::honest(), Draft::honest());
    let peer = shows(vec![victim.certificate()], &thief.key);
    refused(&peer, "the handshake is not signed with the certificate's key: InvalidSignatureForPublicKey")
        .await;
}

#[tokio::test]
async fn rubbish_is_refused() {
    let draft = Draft::honest();
    let mut cut = draft.certificate().to_vec();
    cut.truncate(cut.len() / 2);
    refused(&shows(vec![cut.into()], &draft.key), "not a libp2p certificate: BadDer").await;
}

#[derive(Debug)]
struct Anonymous;

impl rustls::client::ResolvesClientCert for Anonymous {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_refused() {
    let key = Keypair::generate_ed25519();
    let mut peer = ours(Cipher::Aes128, &key);
    Arc::make_mut(&mut peer.client).client_auth_cert_resolver = Arc::new(Anonymous);
    let expected = Err(Error::NoCertificatesPresented.to_string());
    assert_eq!(meet(ours(Cipher::Aes128, &key), peer.clone()).await.0, expected);
    assert_eq!(meet(stock(&key), peer).await.0, expected);
}
