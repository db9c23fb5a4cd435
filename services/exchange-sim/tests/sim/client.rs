//! A running exchange on free ports and the smallest client that can sign.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::KeyPair;
use serde_json::{Value, json};
use sha2::Sha256;
use thunes_exchange_sim::{SimConfig, SimError, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "sim-api-key";
pub const SECRET: &str = "sim-api-secret";
const OTHER_KEY: &str = "other-api-key";
const OTHER_SECRET: &str = "other-api-secret";
pub const ED_KEY: &str = "sim-ed-key";

/// A running exchange.
pub struct Sim {
    pub rest: SocketAddr,
    pub admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), SimError>>,
}

/// An answer: status, lower-case headers, body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: String,
    pub body: Value,
}

impl Reply {
    /// The code of a refusal.
    pub fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or(0)
    }

    /// The body of a success.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}

/// Prices move only by hand, so that tests know what fills.
pub fn still(data_dir: &Path) -> SimConfig {
    SimConfig {
        data_dir: data_dir.to_owned(),
        price_tick_ms: 0,
        ..SimConfig::default()
    }
}

impl Sim {
    pub async fn start(config: SimConfig) -> Self {
        let rest_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (rest, admin) = (
            rest_listener.local_addr().unwrap(),
            admin_listener.local_addr().unwrap(),
        );
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(config, rest_listener, admin_listener, shutdown.clone()));
        Self {
            rest,
            admin,
            shutdown,
            task,
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Stops it without letting it finish anything.
    pub async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn get(&self, path: &str) -> Reply {
        request(self.rest, "GET", path, None, "").await.expect("an answer")
    }

    /// A request signed now.
    pub async fn signed(&self, method: &str, path: &str, params: &str) -> Reply {
        self.signed_at(method, path, params, now_ms()).await.expect("an answer")
    }

    /// A request signed with a timestamp; none when the connection is closed without an answer.
    pub async fn signed_at(&self, method: &str, path: &str, params: &str, timestamp_ms: i64) -> Option<Reply> {
        let joined = if params.is_empty() {
            String::new()
        } else {
            format!("{params}&")
        };
        let query = format!("{joined}timestamp={timestamp_ms}");
        let signature = sign(&query);
        let path = format!("{path}?{query}&signature={signature}");
        request(self.rest, method, &path, Some(KEY), "").await
    }

    /// A request of the second account, signed now.
    pub async fn signed_as_other(&self, method: &str, path: &str, params: &str) -> Reply {
        let query = format!("{params}&timestamp={}", now_ms());
        let signature = sign_with(OTHER_SECRET, &query);
        let path = format!("{path}?{query}&signature={signature}");
        request(self.rest, method, &path, Some(OTHER_KEY), "")
            .await
            .expect("an answer")
    }

    pub async fn order(&self, params: &str) -> Reply {
        self.signed("POST", "/api/v3/order", params).await
    }

    pub async fn admin_get(&self, path: &str) -> Value {
        request(self.admin, "GET", path, None, "")
            .await
            .expect("an answer")
            .ok()
    }

    pub async fn admin_post(&self, path: &str, body: Value) -> Reply {
        request(self.admin, "POST", path, None, &body.to_string())
            .await
            .expect("an answer")
    }

    pub async fn fault(&self, spec: Value) -> Value {
        self.admin_post("/admin/faults", spec).await.ok()
    }

    pub async fn price(&self, symbol: &str, price: &str) {
        self.admin_post("/admin/price", json!({ "symbol": symbol, "price": price }))
            .await
            .ok();
    }

    pub async fn ledger(&self) -> Value {
        self.admin_get("/admin/ledger").await
    }

    pub async fn ws(&self, path: &str) -> Ws {
        Ws(connect_async(format!("ws://{}{path}", self.rest)).await.unwrap().0)
    }

    /// A connection that is subscribed to the account's events.
    pub async fn user_stream(&self) -> Ws {
        let mut ws = self.ws("/ws-api/v3").await;
        let timestamp = now_ms();
        let signature = sign(&format!("apiKey={KEY}&timestamp={timestamp}"));
        let params = json!({ "apiKey": KEY, "timestamp": timestamp, "signature": signature });
        let answer = ws.call("userDataStream.subscribe.signature", params).await;
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(answer["result"]["subscriptionId"], 0);
        ws
    }
}

pub fn now_ms() -> i64 {
    thunes_runtime::clock::now_ms()
}

pub fn sign(payload: &str) -> String {
    sign_with(SECRET, payload)
}

fn sign_with(secret: &str, payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(payload.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// One HTTP/1.1 request on a connection of its own; none when it closes without an answer.
pub async fn request(to: SocketAddr, method: &str, path: &str, key: Option<&str>, body: &str) -> Option<Reply> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let key = key.map(|key| format!("X-MBX-APIKEY: {key}\r\n")).unwrap_or_default();
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: sim\r\n{key}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    // A reset is one way to be cut off.
    let _ = stream.read_to_end(&mut raw).await;
    let text = String::from_utf8(raw).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply {
        status,
        headers: head.to_ascii_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}

/// A WebSocket.
pub struct Ws(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    pub async fn send(&mut self, value: Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Whether the next frame is a ping.
    pub async fn next_is_ping(&mut self) -> bool {
        matches!(self.0.next().await, Some(Ok(Message::Ping(_))))
    }

    /// The next text frame; none when the connection ends.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next event of a name.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let frame = self.next().await.expect("the stream ended early");
            if frame["event"]["e"] == name {
                return frame["event"].clone();
            }
        }
    }

    /// Asks and waits for the answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({ "id": method, "method": method, "params": params }))
            .await;
        loop {
            let frame = self.next().await.expect("the connection ended early");
            if frame["id"] == method {
                return frame;
            }
        }
    }
}

/// An Ed25519 key pair from a fixed seed, in the forms that exchanges and clients take.
pub struct EdKey(ring::signature::Ed25519KeyPair);

const ED_SEED: [u8; 32] = [7; 32];

impl EdKey {
    pub fn new() -> Self {
        Self(ring::signature::Ed25519KeyPair::from_seed_unchecked(&ED_SEED).unwrap())
    }

    pub fn sign(&self, payload: &str) -> String {
        STANDARD.encode(self.0.sign(payload.as_bytes()))
    }

    /// SubjectPublicKeyInfo.
    pub fn public_pem(&self) -> String {
        let der = [
            hex::decode("302a300506032b6570032100").unwrap().as_slice(),
            self.0.public_key().as_ref(),
        ]
        .concat();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }

    /// PKCS#8.
    pub fn private_pem(&self) -> String {
        let der = [
            hex::decode("302e020100300506032b657004220420").unwrap().as_slice(),
            &ED_SEED,
        ]
        .concat();
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        )
    }
}

/// The default account with a second key, an Ed25519 one.
pub fn with_ed25519(mut config: SimConfig) -> SimConfig {
    config.accounts[0].ed25519_api_key = Some(ED_KEY.to_owned());
    config.accounts[0].ed25519_public_key_pem = Some(EdKey::new().public_pem());
    config
}

/// The default account and one more, called `other`, with 10 BTC.
pub fn with_other(mut config: SimConfig) -> SimConfig {
    let mut other = config.accounts[0].clone();
    other.name = "other".to_owned();
    other.api_key = OTHER_KEY.to_owned();
    other.api_secret = OTHER_SECRET.to_owned();
    other.balances.insert("BTC".to_owned(), 10.into());
    config.accounts.push(other);
    config
}
