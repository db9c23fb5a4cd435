//! Garbage in: an answer of the 4xx kind out, nothing lost, nothing broken.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{KEY, Sim, now_ms, request, sign, still};
use thunes_exchange_sim::SimConfig;

const NAMES: &[&str] = &[
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "stopPrice",
    "newClientOrderId",
    "recvWindow",
    "timestamp",
    "limit",
    "fromId",
    "orderId",
    "startTime",
    "endTime",
    "interval",
    "symbols",
    "icebergQty",
    "strategyId",
    "strategyType",
    "newOrderRespType",
    "cancelReplaceMode",
    "cancelOrderId",
    "x",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1e400",
    "NaN",
    "99999999999999999999",
    "99999999999999999999.99999999",
    "0.00000001",
    "BTCUSDT",
    "BUY",
    "SELL",
    "LIMIT",
    "MARKET",
    "STOP_LOSS",
    "TAKE_PROFIT_LIMIT",
    "GTC",
    "FOK",
    "%00",
    "%ff%fe",
    "%F0%9F%98%80",
    "[\"BTCUSDT\"]",
    "[",
    "true",
    "1m",
    "1M",
    "..%2f",
    "60000",
    "0.001",
    "18446744073709551616",
    "9223372036854775807",
];
const PATHS: &[&str] = &[
    "order",
    "order/test",
    "order/cancelReplace",
    "openOrders",
    "allOrders",
    "account",
    "myTrades",
    "depth",
    "klines",
    "trades",
    "ticker/24hr",
    "ticker/price",
    "exchangeInfo",
    "aggTrades",
    "account/commission",
    "avgPrice",
    "nothing",
];

#[tokio::test]
async fn random_parameters_never_break_it() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = TempDir::new().unwrap();
    let config = SimConfig {
        request_weight_per_minute: 10_000_000,
        ..still(dir.path())
    };
    let sim = Sim::start(config).await;
    for step in 0..600 {
        let mut pairs: Vec<String> = (0..rng.random_range(0..9))
            .map(|_| {
                format!(
                    "{}={}",
                    NAMES[rng.random_range(0..NAMES.len())],
                    VALUES[rng.random_range(0..VALUES.len())]
                )
            })
            .collect();
        if rng.random_bool(0.9) {
            pairs.push(format!("timestamp={}", now_ms()));
        }
        let query = pairs.join("&");
        let method = ["GET", "POST", "DELETE"][rng.random_range(0..3)];
        let path = format!(
            "/api/v3/{}?{query}&signature={}",
            PATHS[rng.random_range(0..PATHS.len())],
            sign(&query)
        );
        // What a client library would not let through must not arrive here either.
        let path = path.replace('[', "%5B").replace(']', "%5D").replace('"', "%22");
        let reply = request(sim.rest, method, &path, Some(KEY), "")
            .await
            .expect("an answer");
        assert!(
            reply.status < 500,
            "seed {seed}, step {step}: {method} {path}: {} {}",
            reply.status,
            reply.body
        );
    }
    assert_eq!(sim.admin_get("/admin/health").await["status"], "SERVING");
    crate::money::check(&sim.ledger().await, &format!("seed {seed}"));
    sim.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_http_and_frames_that_are_no_requests_are_survived() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    for bytes in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET",
        b"POST /api/v3/order HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let mut stream = TcpStream::connect(sim.rest).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out).await;
    }
    let mut ws = sim.ws("/ws-api/v3").await;
    for frame in [
        "",
        "null",
        "[]",
        "{}",
        "{\"id\":{}}",
        "{\"id\":1,\"method\":5}",
        "{\"id\":1,\"method\":\"time\",\"params\":7}",
    ] {
        ws.send_text(frame).await;
        assert_eq!(ws.next().await.unwrap()["status"], 400, "{frame}");
    }
    let nested = json!({ "a": [1, { "b": null }] });
    assert_eq!(ws.call("order.place", nested).await["error"]["code"], -1104);
    assert_eq!(ws.call("ping", json!({})).await["status"], 200);
    sim.stop().await;
}
