//! Ed25519 keys: REST signatures, sessions, and the subscription that needs no signature of its own.

use serde_json::json;
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

use crate::client::{ED_KEY, EdKey, KEY, Sim, now_ms, request, sign, still, with_ed25519};

#[tokio::test]
async fn a_rest_request_signed_with_ed25519_is_taken_and_a_forged_one_is_not() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(with_ed25519(still(dir.path()))).await;
    let query = format!(
        "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&timestamp={}",
        now_ms()
    );
    let signature: String = byte_serialize(EdKey::new().sign(&query).as_bytes()).collect();
    let post = async |query: &str| {
        let path = format!("/api/v3/order?{query}&signature={signature}");
        request(sim.rest, "POST", &path, Some(ED_KEY), "").await.unwrap()
    };
    assert_eq!(post(&query.replace("0.001", "0.002")).await.code(), -1022);
    assert_eq!(post(&query).await.ok()["status"], "FILLED");
    let path = format!("/api/v3/order?{query}&signature={}", sign(&query));
    let hmac = request(sim.rest, "POST", &path, Some(ED_KEY), "").await.unwrap();
    assert_eq!(hmac.code(), -1022, "an HMAC signature does not fit an Ed25519 key");
    sim.stop().await;
}

#[tokio::test]
async fn a_session_needs_an_ed25519_key_and_its_subscription_ends_with_it() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(with_ed25519(still(dir.path()))).await;
    let mut ws = sim.ws("/ws-api/v3").await;
    let timestamp = now_ms();
    let hmac = json!({ "apiKey": KEY, "timestamp": timestamp, "signature": sign(&format!("apiKey={KEY}&timestamp={timestamp}")) });
    assert_eq!(ws.call("session.logon", hmac).await["status"], 400);
    assert_eq!(ws.call("userDataStream.subscribe", json!({})).await["status"], 401);
    let signature = EdKey::new().sign(&format!("apiKey={ED_KEY}&timestamp={timestamp}"));
    let params = json!({ "apiKey": ED_KEY, "timestamp": timestamp, "signature": signature });
    assert_eq!(ws.call("session.logon", params).await["result"]["apiKey"], ED_KEY);
    assert_eq!(
        ws.call("userDataStream.subscribe", json!({})).await["result"]["subscriptionId"],
        0
    );
    assert_eq!(
        ws.call("session.status", json!({})).await["result"]["userDataStream"],
        true
    );
    let order =
        json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001", "timestamp": now_ms() });
    assert_eq!(
        ws.call("order.place", order.clone()).await["result"]["status"],
        "FILLED"
    );
    assert_eq!(ws.event("executionReport").await["x"], "NEW");
    ws.send(json!({ "id": "out", "method": "session.logout" })).await;
    ws.event("eventStreamTerminated").await;
    assert_eq!(ws.next().await.unwrap()["id"], "out");
    assert_eq!(
        ws.call("order.place", order).await["error"]["code"],
        -2014,
        "without a session a request needs its own key"
    );
    sim.stop().await;
}

#[tokio::test]
async fn a_public_key_that_is_none_is_named() {
    let dir = TempDir::new().unwrap();
    let mut config = with_ed25519(still(dir.path()));
    config.accounts[0].ed25519_public_key_pem =
        Some("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned());
    let bind = || async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let stop = tokio_util::sync::CancellationToken::new();
    let error = thunes_exchange_sim::serve(config, bind().await, bind().await, stop)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("ed25519_public_key_pem"), "{error}");
}
