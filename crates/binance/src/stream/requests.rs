use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::frame::LOG_ON_ID;
use crate::Credentials;

/// How to subscribe to the account's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subscribe {
    /// Log the session on, then subscribe. Needs an Ed25519 key.
    LogOn,
    /// One signed request; any kind of key.
    Signature,
}

impl Subscribe {
    /// The usual way for these credentials.
    pub fn usual(credentials: &Credentials) -> Self {
        if credentials.can_log_on() {
            Self::LogOn
        } else {
            Self::Signature
        }
    }

    /// The request that a connection begins with.
    pub(crate) fn first_request(self, credentials: &Credentials, timestamp_ms: i64, recv_window_ms: i64) -> String {
        let params = signed_params(credentials, timestamp_ms, recv_window_ms);
        let (id, method) = match self {
            Self::LogOn => (LOG_ON_ID, "session.logon"),
            Self::Signature => ("subscribe", "userDataStream.subscribe.signature"),
        };
        json!({ "id": id, "method": method, "params": params }).to_string()
    }
}

/// The request that follows a logon; the session signs for it.
pub(crate) fn subscribe_request() -> String {
    json!({ "id": "subscribe", "method": "userDataStream.subscribe" }).to_string()
}

/// Signed are the parameters in alphabetical order, as `name=value`, not percent-encoded.
fn signed_params(credentials: &Credentials, timestamp_ms: i64, recv_window_ms: i64) -> Value {
    let api_key = credentials.api_key.expose_secret();
    let payload = format!("apiKey={api_key}&recvWindow={recv_window_ms}&timestamp={timestamp_ms}");
    json!({
        "apiKey": api_key,
        "recvWindow": recv_window_ms,
        "timestamp": timestamp_ms,
        "signature": credentials.signer.sign(&payload),
    })
}
