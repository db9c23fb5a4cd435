//! Private keys as PEM: what is one, and what a file holds when it is none.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

/// Object identifiers of key algorithms, as they stand in the DER of a PKCS#8 key.
const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const OID_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The algorithm stands within the first bytes; further on, a key's own bytes could look like one.
const OID_WITHIN_BYTES: usize = 32;
/// Longest PEM text that is looked at: an RSA key of 8192 bits takes about half.
const PEM_CHARS_MAX: usize = 16 * 1024;

/// Why a text is no private key that signs here. Holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is no PEM: a private key begins with -----BEGIN PRIVATE KEY-----")]
    NoPem,
    #[error("the key is encrypted; remove the passphrase with: openssl pkey -in KEY -out PLAIN")]
    Encrypted,
    #[error("it is a public key; the private one of the pair signs")]
    Public,
    #[error("it is a certificate, not a private key")]
    Certificate,
    #[error("it is a key in OpenSSH's own format; make one with: openssl genpkey -algorithm ed25519")]
    OpenSsh,
    #[error("it is an older kind of PEM; convert it to PKCS#8 with: openssl pkey -in KEY -out NEW")]
    NotPkcs8,
    #[error("it is an EC key, which the exchange does not take; make one with: openssl genpkey -algorithm ed25519")]
    Ec,
    #[error("the key's algorithm is neither Ed25519 nor RSA")]
    OtherAlgorithm,
    #[error("the key between the lines of the PEM is damaged")]
    Damaged,
    #[error("the RSA key cannot be used: 2048 to 8192 bits are")]
    UnusableRsa,
}

/// A private key that signs with a signature that others can check.
#[derive(Clone)]
pub enum PrivateKey {
    Ed25519(Arc<Ed25519KeyPair>),
    /// Signs by PKCS#1 v1.5 with SHA-256.
    Rsa(Arc<RsaKeyPair>),
}

impl PrivateKey {
    /// Reads a PKCS#8 key in PEM.
    ///
    /// # Errors
    /// Says what the text is instead.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, body) = unwrap_pem(text)?;
        match label {
            "PRIVATE KEY" => {}
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            "OPENSSH PRIVATE KEY" => return Err(KeyError::OpenSsh),
            "EC PRIVATE KEY" => return Err(KeyError::Ec),
            // The old kinds name their encryption in a header line.
            _ if body.contains("ENCRYPTED") => return Err(KeyError::Encrypted),
            "CERTIFICATE" => return Err(KeyError::Certificate),
            label if label.ends_with("PUBLIC KEY") => return Err(KeyError::Public),
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::NotPkcs8),
            _ => return Err(KeyError::NoPem),
        }
        let compact: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        let der = STANDARD.decode(compact).map_err(|_| KeyError::Damaged)?;
        let head = &der[..der.len().min(OID_WITHIN_BYTES)];
        let names = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
        if names(OID_RSA) {
            let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| KeyError::UnusableRsa)?;
            Ok(Self::Rsa(Arc::new(pair)))
        } else if names(OID_EC) {
            Err(KeyError::Ec)
        } else if names(OID_ED25519) {
            // The usual tools leave the public key out, so there is nothing to compare it with.
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Damaged)?;
            Ok(Self::Ed25519(Arc::new(pair)))
        } else if der.first() == Some(&0x30) {
            Err(KeyError::OtherAlgorithm)
        } else {
            Err(KeyError::Damaged)
        }
    }

    /// The signature in base64, as the exchange takes it.
    pub(crate) fn sign(&self, payload: &str) -> String {
        match self {
            Self::Ed25519(pair) => STANDARD.encode(pair.sign(payload.as_bytes())),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    payload.as_bytes(),
                    &mut signature,
                )
                .expect("the key was checked when it was read, and the buffer has its length");
                STANDARD.encode(signature)
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(_) => f.write_str("Ed25519([hidden])"),
            Self::Rsa(_) => f.write_str("Rsa([hidden])"),
        }
    }
}

fn unwrap_pem(text: &str) -> Result<(&str, &str), KeyError> {
    if text.len() > PEM_CHARS_MAX {
        return Err(KeyError::NoPem);
    }
    let start = text.find("-----BEGIN ").ok_or(KeyError::NoPem)?;
    let after = &text[start + "-----BEGIN ".len()..];
    let (label, rest) = after.split_once("-----").ok_or(KeyError::NoPem)?;
    let (body, _) = rest
        .split_once(&format!("-----END {label}-----"))
        .ok_or(KeyError::Damaged)?;
    Ok((label, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    /// RFC 8410, section 10.3.
    const ED25519: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

    #[test]
    fn what_is_no_key_of_ours_is_named() {
        let ec_der = STANDARD.encode([&[0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13], OID_EC, &[0; 40]].concat());
        let other = STANDARD.encode([0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6f]);
        let rsa_der = STANDARD.encode([&[0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x0d], OID_RSA, &[0; 40]].concat());
        for (text, error) in [
            (String::new(), KeyError::NoPem),
            ("just-an-hmac-secret".to_owned(), KeyError::NoPem),
            (pem("ENCRYPTED PRIVATE KEY", ED25519), KeyError::Encrypted),
            (
                pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA"),
                KeyError::Encrypted,
            ),
            (pem("RSA PRIVATE KEY", "AAAA"), KeyError::NotPkcs8),
            (pem("EC PRIVATE KEY", "AAAA"), KeyError::Ec),
            (pem("OPENSSH PRIVATE KEY", "AAAA"), KeyError::OpenSsh),
            (pem("PUBLIC KEY", "AAAA"), KeyError::Public),
            (pem("CERTIFICATE", "AAAA"), KeyError::Certificate),
            (pem("PRIVATE KEY", "%%%"), KeyError::Damaged),
            (pem("PRIVATE KEY", "AAAA"), KeyError::Damaged),
            (pem("PRIVATE KEY", &ED25519[..40]), KeyError::Damaged),
            (
                pem("PRIVATE KEY", ED25519).replace("-----END", "---END"),
                KeyError::Damaged,
            ),
            (pem("PRIVATE KEY", &ec_der), KeyError::Ec),
            (pem("PRIVATE KEY", &rsa_der), KeyError::UnusableRsa),
            (pem("PRIVATE KEY", &other), KeyError::OtherAlgorithm),
            ("A".repeat(PEM_CHARS_MAX + 1), KeyError::NoPem),
        ] {
            let found = PrivateKey::from_pem(&text).expect_err("no key");
            assert_eq!(found, error, "{text}");
        }
    }

    #[test]
    fn an_ed25519_key_is_read_with_text_around_it_and_shows_nothing() {
        let text = format!(
            "a note before\n{}after",
            pem("PRIVATE KEY", ED25519).replace('\n', "\r\n")
        );
        let key = PrivateKey::from_pem(&text).expect("a key");
        assert_eq!(format!("{key:?}"), "Ed25519([hidden])");
        let signature = STANDARD.decode(key.sign("x")).expect("base64");
        assert_eq!(signature.len(), 64);
    }

    /// RFC 8032, section 7.1, second test.
    #[test]
    fn the_published_ed25519_signature_comes_out() {
        let key = PrivateKey::from_pem(&pem(
            "PRIVATE KEY",
            "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7",
        ))
        .expect("a key");
        let published = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(key.sign("r"), STANDARD.encode(hex::decode(published).expect("hex")));
    }

    /// Signed by openssl dgst -sha256 -sign.
    #[test]
    fn an_rsa_signature_is_the_one_that_openssl_makes() {
        let key = PrivateKey::from_pem(include_str!("../tests/keys/rsa.pem")).expect("a key");
        let signature = include_str!("../tests/keys/rsa.signature").trim();
        assert_eq!(key.sign("symbol=BTCUSDT&timestamp=1"), signature);
        assert_eq!(format!("{key:?}"), "Rsa([hidden])");
    }
}
