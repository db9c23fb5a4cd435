//! The WebSocket API and the streams.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{KEY, Sim, now_ms, sign, still};
use thunes_exchange_sim::SimConfig;

const BUY: &str = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=mine";

#[tokio::test]
async fn p5_a_fill_comes_as_an_execution_report_with_every_documented_key() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.user_stream().await;
    let order = sim.order(BUY).await.ok();
    let new = ws.event("executionReport").await;
    assert_eq!(
        (&new["x"], &new["X"], &new["t"], &new["N"]),
        (&json!("NEW"), &json!("NEW"), &json!(-1), &Value::Null)
    );
    let trade = ws.event("executionReport").await;
    assert_eq!(
        (&trade["x"], &trade["X"], &trade["c"]),
        (&json!("TRADE"), &json!("FILLED"), &json!("mine"))
    );
    assert_eq!(trade["t"], order["fills"][0]["tradeId"]);
    for key in [
        "e", "E", "s", "c", "S", "o", "f", "q", "p", "P", "F", "g", "C", "x", "X", "r", "i", "l", "z", "L", "n", "N",
        "T", "t", "I", "w", "m", "M", "O", "Z", "Y", "Q", "W", "V",
    ] {
        assert!(trade.get(key).is_some(), "{key} is missing in {trade}");
    }
    assert_eq!(
        (&trade["q"], &trade["l"], &trade["n"]),
        (&json!("0.00100000"), &json!("0.00100000"), &json!("0.00000100"))
    );
    let position = ws.event("outboundAccountPosition").await;
    assert_eq!(
        position["B"][0],
        json!({ "a": "BTC", "f": "0.00099900", "l": "0.00000000" })
    );
    sim.stop().await;
}

#[tokio::test]
async fn cancels_transfers_and_external_trades_come_as_events() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.user_stream().await;
    sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59000&newClientOrderId=a")
        .await
        .ok();
    assert_eq!(ws.event("executionReport").await["w"], true);
    sim.signed(
        "DELETE",
        "/api/v3/order",
        "symbol=BTCUSDT&origClientOrderId=a&newClientOrderId=b",
    )
    .await
    .ok();
    let canceled = ws.event("executionReport").await;
    assert_eq!(
        (&canceled["x"], &canceled["c"], &canceled["C"]),
        (&json!("CANCELED"), &json!("b"), &json!("a"))
    );
    sim.admin_post("/admin/withdraw", json!({ "asset": "USDT", "amount": "12.5" }))
        .await
        .ok();
    let moved = ws.event("balanceUpdate").await;
    assert_eq!((&moved["a"], &moved["d"]), (&json!("USDT"), &json!("-12.50000000")));
    let external = json!({ "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.002" });
    let made = sim.admin_post("/admin/external-trade", external).await.ok();
    assert_eq!(
        (&made["order"]["external"], &made["fills"][0]["external"]),
        (&json!(true), &json!(true))
    );
    assert!(
        ws.event("executionReport").await["c"]
            .as_str()
            .unwrap()
            .starts_with("web_")
    );
    let trades = sim.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT").await.ok();
    assert_eq!(
        trades.as_array().unwrap().len(),
        1,
        "the trade of somebody else is among the account's trades"
    );
    sim.stop().await;
}

#[tokio::test]
async fn requests_over_the_websocket_answer_and_bad_ones_do_not_end_it() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.ws("/ws-api/v3").await;
    assert_eq!(ws.call("ping", json!({})).await["result"], json!({}));
    let time = ws.call("time", json!({})).await;
    assert!(
        time["result"]["serverTime"].is_i64() && time["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT",
        "{time}"
    );
    assert!(
        ws.call("time", json!({ "returnRateLimits": false }))
            .await
            .get("rateLimits")
            .is_none()
    );
    ws.send_text("{not json").await;
    assert_eq!(ws.next().await.unwrap()["error"]["code"], -1135);
    assert_eq!(ws.call("no.such.method", json!({})).await["error"]["code"], -1020);
    assert_eq!(ws.call("userDataStream.start", json!({})).await["status"], 410);
    assert_eq!(ws.call("userDataStream.subscribe", json!({})).await["status"], 401);
    let stale = now_ms() - 10_000;
    let signature = sign(&format!("apiKey={KEY}&timestamp={stale}"));
    let params = json!({ "apiKey": KEY, "timestamp": stale, "signature": signature });
    assert_eq!(
        ws.call("userDataStream.subscribe.signature", params).await["error"]["code"],
        -1021
    );
    let forged = json!({ "apiKey": KEY, "timestamp": now_ms(), "signature": "00" });
    assert_eq!(
        ws.call("userDataStream.subscribe.signature", forged).await["error"]["code"],
        -1022
    );
    let timestamp = now_ms();
    let payload = format!("apiKey={KEY}&quantity=0.001&side=BUY&symbol=BTCUSDT&timestamp={timestamp}&type=MARKET");
    let params = json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001", "apiKey": KEY,
                         "timestamp": timestamp, "signature": sign(&payload) });
    let placed = ws.call("order.place", params).await;
    assert_eq!(
        (&placed["status"], &placed["result"]["status"]),
        (&json!(200), &json!("FILLED")),
        "{placed}"
    );
    sim.stop().await;
}

#[tokio::test]
async fn unsubscribing_ends_the_events() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.user_stream().await;
    assert_eq!(
        ws.call("session.subscriptions", json!({})).await["result"],
        json!([{ "subscriptionId": 0 }])
    );
    ws.send(json!({ "id": 1, "method": "userDataStream.unsubscribe", "params": { "subscriptionId": 0 } }))
        .await;
    assert_eq!(ws.next().await.unwrap()["event"]["e"], "eventStreamTerminated");
    assert_eq!(ws.next().await.unwrap()["result"], json!({}));
    sim.order(BUY).await.ok();
    let answer = ws.call("ping", json!({})).await;
    assert_eq!(answer["id"], "ping", "no event may come in between");
    sim.stop().await;
}

#[tokio::test]
async fn the_server_pings() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(SimConfig {
        ws_ping_ms: 100,
        ..still(dir.path())
    })
    .await;
    let mut ws = sim.ws("/ws-api/v3").await;
    assert!(ws.next_is_ping().await);
    sim.stop().await;
}

#[tokio::test]
async fn p5_stream_faults_lose_double_and_reorder_events_and_count_it() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.user_stream().await;
    for kind in ["drop_stream_event", "duplicate_stream_event", "reorder_stream_event"] {
        sim.fault(json!({ "kind": kind, "event": "TRADE" })).await;
    }
    let mut kinds = Vec::new();
    for _ in 0..3 {
        sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001")
            .await
            .ok();
        loop {
            let event = ws.next().await.unwrap()["event"].clone();
            kinds.push(event.get("x").unwrap_or(&event["e"]).as_str().unwrap().to_owned());
            let last = kinds.last().unwrap();
            // In the third round the position comes before the trade that was held back.
            let rounds = kinds.iter().filter(|k| *k == "NEW").count();
            if (last == "outboundAccountPosition" && rounds < 3) || (rounds == 3 && last == "TRADE") {
                break;
            }
        }
    }
    let position = "outboundAccountPosition";
    assert_eq!(
        kinds,
        [
            "NEW", position, "NEW", "TRADE", "TRADE", position, "NEW", position, "TRADE"
        ]
    );
    let hits = sim.admin_get("/admin/faults").await["hits"].clone();
    assert_eq!(
        hits,
        json!({ "drop_stream_event": 1, "duplicate_stream_event": 1, "reorder_stream_event": 1 })
    );
    sim.stop().await;
}

#[tokio::test]
async fn disconnecting_cuts_every_stream_and_counts_them() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let (mut a, mut b) = (sim.user_stream().await, sim.user_stream().await);
    let fault = sim.fault(json!({ "kind": "disconnect_streams" })).await;
    assert_eq!(fault["hits"], 2);
    assert!(a.next().await.is_none() && b.next().await.is_none());
    sim.user_stream().await;
    sim.stop().await;
}

#[tokio::test]
async fn market_streams_follow_the_price() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut raw = sim.ws("/ws/btcusdt@trade").await;
    let mut combined = sim
        .ws("/stream?streams=btcusdt@bookTicker/btcusdt@kline_1m/ethusdt@trade")
        .await;
    combined
        .send(json!({ "method": "SUBSCRIBE", "params": ["btcusdt@miniTicker"], "id": 7 }))
        .await;
    assert_eq!(combined.next().await.unwrap(), json!({ "result": null, "id": 7 }));
    raw.send(json!({ "method": "LIST_SUBSCRIPTIONS", "id": 1 })).await;
    assert_eq!(raw.next().await.unwrap()["result"], json!(["btcusdt@trade"]));
    sim.price("BTCUSDT", "61000").await;
    let trade = raw.next().await.unwrap();
    assert_eq!((&trade["e"], &trade["p"]), (&json!("trade"), &json!("61000.00000000")));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = combined.next().await.unwrap();
        seen.push(frame["stream"].as_str().unwrap().to_owned());
        assert!(frame["data"].is_object());
    }
    seen.sort();
    assert_eq!(seen, ["btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@miniTicker"]);
    sim.stop().await;
}
