use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::PrivateKey;

/// How requests are signed. One variant per kind of signature that the exchange knows.
#[derive(Clone)]
pub enum Signer {
    /// An HMAC-SHA256 secret; the signature is lower case hex.
    HmacSha256 { secret: SecretString },
    /// An Ed25519 or RSA key; the signature is base64, and its case counts.
    Private(PrivateKey),
}

impl Signer {
    /// The signature of `payload` as it stands in the `signature` parameter, before percent-encoding.
    pub(crate) fn sign(&self, payload: &str) -> String {
        match self {
            Signer::HmacSha256 { secret } => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
                    .expect("HMAC takes keys of any length");
                mac.update(payload.as_bytes());
                hex::encode(mac.finalize().into_bytes())
            }
            Signer::Private(key) => key.sign(payload),
        }
    }
}

/// An API key and what signs for it. Neither appears in `Debug` output.
#[derive(Clone)]
pub struct Credentials {
    pub api_key: SecretString,
    pub signer: Signer,
}

impl Credentials {
    /// Credentials of an HMAC key.
    pub fn hmac(api_key: SecretString, secret: SecretString) -> Self {
        Self {
            api_key,
            signer: Signer::HmacSha256 { secret },
        }
    }

    /// Credentials of a key pair whose public half the exchange has.
    pub fn private(api_key: SecretString, key: PrivateKey) -> Self {
        Self {
            api_key,
            signer: Signer::Private(key),
        }
    }

    /// Whether a session can be logged on with this key: the exchange allows that to Ed25519 keys alone.
    pub fn can_log_on(&self) -> bool {
        matches!(self.signer, Signer::Private(PrivateKey::Ed25519(_)))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signer::HmacSha256 { .. } => f.write_str("HmacSha256([hidden])"),
            Signer::Private(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("api_key", &"[hidden]")
            .field("signer", &self.signer)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key that the exchange's documentation publishes.
    fn documented() -> Credentials {
        Credentials::hmac(
            "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A".into(),
            "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j".into(),
        )
    }

    #[test]
    fn the_documented_signatures_come_out() {
        let signer = documented().signer;
        assert_eq!(
            signer.sign(
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
            ),
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
        );
        assert_eq!(
            signer.sign(
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
            ),
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
        );
    }

    #[test]
    fn one_other_character_gives_another_signature() {
        let signer = documented().signer;
        assert_ne!(signer.sign("symbol=LTCBTC"), signer.sign("symbol=LTCBTc"));
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let text = format!("{:?}", documented());
        assert!(!text.contains("vmPU") && !text.contains("NhqP"), "{text}");
    }
}
