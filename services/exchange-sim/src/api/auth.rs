//! Keys, signatures and the receive window.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use sha2::Sha256;

use super::params::Params;
use crate::config::AccountConfig;
use crate::domain::ApiError;

/// `recvWindow` when none is sent, ms.
const DEFAULT_RECV_WINDOW_MS: i64 = 5_000;
const MAX_RECV_WINDOW_MS: i64 = 60_000;
/// How far ahead of the exchange a timestamp may lie, ms.
const MAX_AHEAD_MS: i64 = 1_000;
/// A SubjectPublicKeyInfo of Ed25519 is this prefix and 32 bytes of key.
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How a key's signatures are checked.
#[derive(Clone)]
enum Secret {
    Hmac(String),
    Ed25519([u8; 32]),
}

/// All keys with their accounts.
#[derive(Clone)]
pub struct Keys(BTreeMap<String, (String, Secret)>);

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// Account name.
    pub account: String,
    /// When the request was signed and for how long it holds.
    pub signed: Signed,
}

/// The time rule of a signed request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signed {
    timestamp_us: i64,
    recv_window_us: i64,
}

impl Signed {
    /// Reads `timestamp` and `recvWindow`.
    ///
    /// # Errors
    /// -1102 without a timestamp, -1131 for too large a window.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let raw = params
            .integer("timestamp")?
            .ok_or_else(|| ApiError::mandatory("timestamp"))?;
        let raw = i64::try_from(raw).unwrap_or(i64::MAX / 1_000);
        // Sixteen digits are microseconds; both are allowed and told apart by their size.
        let timestamp_us = if raw >= 100_000_000_000_000 { raw } else { raw * 1_000 };
        let window_ms = params
            .decimal("recvWindow")?
            .unwrap_or(Decimal::from(DEFAULT_RECV_WINDOW_MS));
        if window_ms > Decimal::from(MAX_RECV_WINDOW_MS) {
            return Err(ApiError::new(-1131, "recvWindow must be less than 60000."));
        }
        let recv_window_us = (window_ms * Decimal::from(1_000)).trunc().to_i64().unwrap_or(0);
        Ok(Self {
            timestamp_us,
            recv_window_us,
        })
    }

    /// The rule itself, by the exchange's clock.
    ///
    /// # Errors
    /// -1021 when the request is too old or from the future.
    pub fn check(self, exchange_ms: i64) -> Result<(), ApiError> {
        let now_us = exchange_ms * 1_000;
        if self.timestamp_us >= now_us + MAX_AHEAD_MS * 1_000 {
            return Err(ApiError::new(
                -1021,
                "Timestamp for this request was 1000ms ahead of the server's time.",
            ));
        }
        if now_us - self.timestamp_us > self.recv_window_us {
            return Err(ApiError::new(
                -1021,
                "Timestamp for this request is outside of the recvWindow.",
            ));
        }
        Ok(())
    }

    /// `timestamp` in ms.
    pub fn timestamp_ms(self) -> i64 {
        self.timestamp_us / 1_000
    }

    /// `recvWindow` in ms.
    pub fn recv_window_ms(self) -> Decimal {
        (Decimal::from(self.recv_window_us) / Decimal::from(1_000)).normalize()
    }
}

impl Keys {
    /// The keys of all accounts.
    ///
    /// # Errors
    /// Names the account whose public key is no Ed25519 PEM.
    pub fn new(accounts: &[AccountConfig]) -> Result<Self, String> {
        let mut keys = BTreeMap::new();
        for account in accounts {
            let secret = Secret::Hmac(account.api_secret.clone());
            keys.insert(account.api_key.clone(), (account.name.clone(), secret));
            if let (Some(key), Some(pem)) = (&account.ed25519_api_key, &account.ed25519_public_key_pem) {
                let public = ed25519_from_pem(pem).ok_or_else(|| {
                    format!(
                        "accounts.ed25519_public_key_pem of {:?}: is no Ed25519 public key in PEM",
                        account.name
                    )
                })?;
                keys.insert(key.clone(), (account.name.clone(), Secret::Ed25519(public)));
            }
        }
        Ok(Self(keys))
    }

    /// Whether a key exists and what its account is.
    ///
    /// # Errors
    /// -2014 for no key at all, -2015 for an unknown one; both HTTP 401.
    pub fn account_of(&self, api_key: Option<&str>) -> Result<&str, ApiError> {
        self.entry(api_key).map(|(account, _)| account.as_str())
    }

    fn entry(&self, api_key: Option<&str>) -> Result<&(String, Secret), ApiError> {
        let legal = |key: &&str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let key = api_key
            .filter(legal)
            .ok_or_else(|| ApiError::new(-2014, "API-key format invalid.").with_status(401))?;
        self.0
            .get(key)
            .ok_or_else(|| ApiError::new(-2015, "Invalid API-key, IP, or permissions for action.").with_status(401))
    }

    /// Whether the key is an Ed25519 key, the only kind that may log a session on.
    pub fn is_ed25519(&self, api_key: &str) -> bool {
        matches!(self.0.get(api_key), Some((_, Secret::Ed25519(_))))
    }

    /// Checks a signed request on arrival: key, signature, time.
    ///
    /// # Errors
    /// The exchange's own refusal.
    pub fn authenticate(
        &self,
        api_key: Option<&str>,
        payload: &str,
        params: &Params,
        exchange_ms: i64,
    ) -> Result<Caller, ApiError> {
        let (account, secret) = self.entry(api_key)?;
        let signed = Signed::read(params)?;
        let signature = params
            .text("signature")?
            .ok_or_else(|| ApiError::mandatory("signature"))?;
        if !secret.verifies(payload, signature) {
            return Err(ApiError::new(-1022, "Signature for this request is not valid."));
        }
        signed.check(exchange_ms)?;
        Ok(Caller {
            account: account.clone(),
            signed,
        })
    }
}

impl Secret {
    fn verifies(&self, payload: &str, signature: &str) -> bool {
        match self {
            Self::Hmac(secret) => {
                let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
                let (Ok(mut mac), Ok(given)) = (mac, hex::decode(signature)) else {
                    return false;
                };
                mac.update(payload.as_bytes());
                mac.verify_slice(&given).is_ok()
            }
            Self::Ed25519(public) => {
                let Ok(given) = STANDARD.decode(signature) else {
                    return false;
                };
                UnparsedPublicKey::new(&ED25519, public)
                    .verify(payload.as_bytes(), &given)
                    .is_ok()
            }
        }
    }
}

fn ed25519_from_pem(pem: &str) -> Option<[u8; 32]> {
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    let compact: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = STANDARD.decode(compact).ok()?;
    der.strip_prefix(&ED25519_SPKI_PREFIX)?.try_into().ok()
}

/// What a REST request signs: query and body one after the other, each without its `signature`.
pub fn rest_payload(query: &str, body: &str) -> String {
    [query, body].map(without_signature).concat()
}

fn without_signature(part: &str) -> String {
    let kept: Vec<&str> = part.split('&').filter(|pair| !pair.starts_with("signature=")).collect();
    kept.join("&")
}

/// What a WebSocket request signs: `name=value` sorted by name, without `signature`.
pub fn ws_payload(params: &Params) -> String {
    let mut pairs: Vec<(&str, &str)> = params.iter().filter(|(name, _)| *name != "signature").collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

    fn keys() -> Keys {
        let mut account = crate::config::SimConfig::default().accounts.remove(0);
        account.api_key = KEY.to_owned();
        account.api_secret = SECRET.to_owned();
        Keys::new(&[account]).unwrap()
    }

    fn attempt(query: &str, body: &str, now_ms: i64) -> Result<Caller, i32> {
        let params = Params::from_query_and_body(query, body).unwrap();
        keys()
            .authenticate(Some(KEY), &rest_payload(query, body), &params, now_ms)
            .map_err(|e| e.code)
    }

    // The documentation's own example, as body, as query, and split over both.
    #[test]
    fn the_documented_signatures_hold_and_any_other_is_refused() {
        let all = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        let signature = "&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        let now = 1_499_827_319_560;
        assert!(attempt(&format!("{all}{signature}"), "", now).is_ok());
        assert!(
            attempt(
                "",
                &format!("{all}{}", signature.to_uppercase().replace("SIGNATURE", "signature")),
                now
            )
            .is_ok()
        );
        let query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC";
        let body = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77";
        assert!(attempt(query, body, now).is_ok());
        assert_eq!(attempt(query, &body.replace("0.1", "0.2"), now), Err(-1022));
        assert_eq!(attempt(query, &body.replace("0fd1", "zzzz"), now), Err(-1022));
    }

    #[test]
    fn the_receive_window_holds_at_both_bounds() {
        let signed = Signed {
            timestamp_us: 10_000_000,
            recv_window_us: 5_000_000,
        };
        assert!(signed.check(15_000).is_ok());
        assert_eq!(signed.check(15_001).unwrap_err().code, -1021);
        assert!(signed.check(9_001).is_ok());
        assert_eq!(signed.check(9_000).unwrap_err().code, -1021);
    }

    #[test]
    fn too_large_a_window_and_no_timestamp_are_refused() {
        let read = |query: &str| Signed::read(&Params::from_query_and_body(query, "").unwrap()).map_err(|e| e.code);
        assert_eq!(read("recvWindow=60001&timestamp=1"), Err(-1131));
        assert_eq!(read("recvWindow=5000"), Err(-1102));
        assert_eq!(read("timestamp=abc"), Err(-1100));
        assert_eq!(
            read("timestamp=1499827319559123&recvWindow=1.5").map(|s| (s.timestamp_ms(), s.recv_window_us)),
            Ok((1_499_827_319_559, 1_500))
        );
    }
}
