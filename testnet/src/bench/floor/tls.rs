//! TLS 1.3 with AES-128-GCM and nothing else, and the certificate that the servers of a run share.

use std::{fs, net::IpAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Makes a certificate for servers at `addresses`, signed by itself, and writes it and its key into `folder`.
///
/// # Errors
///
/// The disk does not take it.
pub(crate) fn write_certificate(folder: &Path, addresses: &[IpAddr]) -> Result<()> {
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names)?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join(CERTIFICATE), made.cert.pem())?;
    fs::write(folder.join(KEY), made.key_pair.serialize_pem())?;
    Ok(())
}

pub(super) fn server(folder: &Path) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(aes()).with_safe_default_protocol_versions()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).context("reading the key")?;
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate(folder)?], key)?))
}

pub(super) fn client(folder: &Path) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(aes()).with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder)?)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn certificate(folder: &Path) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(folder.join(CERTIFICATE)).context("reading the certificate")
}

fn aes() -> Arc<CryptoProvider> {
    let cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
}
