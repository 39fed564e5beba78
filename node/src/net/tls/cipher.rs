//! Which cipher a processor is best at.

use rustls::{
    SupportedCipherSuite,
    crypto::aws_lc_rs::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    },
};

/// The cipher that a node offers first. It knows the others too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// The fastest where the processor has instructions for it, and the slowest elsewhere.
    Aes128,
    /// Fast without instructions of its own.
    ChaCha20,
}

impl Cipher {
    /// Asks the processor for AES and the multiplication that GCM needs beside it.
    pub(super) fn of_this_processor() -> Self {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let has_aes = std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let has_aes = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
        let has_aes = false;
        if has_aes { Self::Aes128 } else { Self::ChaCha20 }
    }

    /// All of TLS 1.3's suites, this one first.
    pub(super) fn suites(self) -> Vec<SupportedCipherSuite> {
        match self {
            Self::Aes128 => {
                vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
            }
            Self::ChaCha20 => {
                vec![TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384]
            }
        }
    }
}
