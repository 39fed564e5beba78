//! Decides whether a peer's certificate and handshake are what libp2p asks for.
//!
//! A peer shows exactly one certificate. It is valid now, signed by its own key, and carries an extension in which the
//! peer's identity key vouches for that key. There is no authority: the identity found this way is the answer, and who
//! dialled compares it. Both roles follow the same rules, and neither may stay anonymous.

use std::{io, sync::Arc};

use libp2p::{
    PeerId,
    tls::certificate::{self, P2pCertificate},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// Schemes a peer may sign with, best first: those of libp2p's stock upgrade.
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// What the library says of a certificate that is not valid now. These are valid for centuries: a machine that does not
/// know the time when it starts believes in 1970.
const OTHER_TIME: &str = "InvalidCertValidity";

/// Applies libp2p's rules, in place of a list of authorities.
#[derive(Debug)]
pub(super) struct Verifier;

/// What a peer did wrong.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{count} certificates where libp2p wants one")]
    Count { count: usize },
    #[error("libp2p wants TLS 1.3")]
    Old,
    #[error("its certificate is not of this time: is the clock of this machine right?")]
    Time,
    #[error("not a libp2p certificate: {0}")]
    Certificate(certificate::ParseError),
    #[error("the handshake is not signed with the certificate's key: {0}")]
    Handshake(certificate::VerificationError),
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Puts the refusal in the place of an error that shows it in debug form only, deep inside.
pub(super) fn explain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refusal)))) => {
            io::Error::new(error.kind(), Arc::clone(refusal))
        }
        _ => error,
    }
}

/// Tells whose certificate this is, once all of it is checked.
pub(super) fn peer_of(
    certificate: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<PeerId, rustls::Error> {
    if !others.is_empty() {
        return Err(Refusal::Count { count: others.len().saturating_add(1) }.into());
    }
    Ok(parse(certificate)?.peer_id())
}

fn check_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    parse(certificate)?
        .verify_signature(signed.scheme, message, signed.signature())
        .map_err(Refusal::Handshake)?;
    Ok(HandshakeSignatureValid::assertion())
}

/// Checks the dates, the self-signature, the extension and its signature.
fn parse<'a>(certificate: &'a CertificateDer<'a>) -> Result<P2pCertificate<'a>, rustls::Error> {
    let refusal = |error: certificate::ParseError| match error.to_string().as_str() {
        OTHER_TIME => Refusal::Time,
        _ => Refusal::Certificate(error),
    };
    Ok(certificate::parse(certificate).map_err(refusal)?)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        peer_of(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Refusal::Old.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_handshake(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        peer_of(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Refusal::Old.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_handshake(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
