//! A client that follows the documented recipe for a local order book always has the book that a snapshot shows.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, Ws, still};

#[derive(Default)]
struct LocalBook {
    last: u64,
    bids: BTreeMap<String, String>,
    asks: BTreeMap<String, String>,
}

fn pairs(levels: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    levels
        .as_array()
        .unwrap()
        .iter()
        .map(move |level| (text(&level[0]), text(&level[1])))
}

impl LocalBook {
    fn of(snapshot: &Value) -> Self {
        Self {
            last: snapshot["lastUpdateId"].as_u64().unwrap(),
            bids: pairs(&snapshot["bids"]).collect(),
            asks: pairs(&snapshot["asks"]).collect(),
        }
    }

    fn apply(&mut self, event: &Value) {
        let (first, last) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        if last <= self.last {
            return;
        }
        assert!(
            first <= self.last + 1,
            "updates {} to {first} are missing",
            self.last + 1
        );
        self.last = last;
        for (side, changes) in [(&mut self.bids, &event["b"]), (&mut self.asks, &event["a"])] {
            for (price, qty) in pairs(changes) {
                match qty.as_str() {
                    "0.00000000" => side.remove(&price),
                    _ => side.insert(price, qty),
                };
            }
        }
    }
}

async fn snapshot(sim: &Sim) -> Value {
    sim.get("/api/v3/depth?symbol=BTCUSDT&limit=5000").await.ok()
}

async fn catch_up(book: &mut LocalBook, stream: &mut Ws, to: u64) {
    while book.last < to {
        book.apply(&stream.next().await.expect("the stream ended early"));
    }
}

#[tokio::test]
async fn a_local_book_kept_by_the_documented_recipe_equals_every_later_snapshot() {
    let seed = rand::random_range(0..1_000_000u64);
    println!("seed {seed}");
    let dir = TempDir::new().unwrap();
    let mut config = still(dir.path());
    config.request_weight_per_minute = 1_000_000;
    let sim = Sim::start(config).await;
    let mut stream = sim.ws("/ws/btcusdt@depth@100ms").await;
    stream.send(json!({ "method": "LIST_SUBSCRIPTIONS", "id": 1 })).await;
    stream.next().await.unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut book = LocalBook::default();
    for step in 0..60 {
        match rng.random_range(0..5) {
            0 => {
                let cents = rng.random_range(5_990_000..6_010_000);
                sim.price("BTCUSDT", &format!("{}.{:02}", cents / 100, cents % 100))
                    .await;
            }
            1 => {
                sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.05").await;
            }
            2 => {
                sim.signed("DELETE", "/api/v3/openOrders", "symbol=BTCUSDT").await;
            }
            _ => {
                let price = rng.random_range(59_000..60_200);
                sim.order(&format!(
                    "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price={price}"
                ))
                .await;
            }
        }
        let now = snapshot(&sim).await;
        if step == 5 {
            book = LocalBook::of(&now);
        }
        if step >= 5 {
            let truth = LocalBook::of(&now);
            catch_up(&mut book, &mut stream, truth.last).await;
            assert_eq!(
                (&book.bids, &book.asks),
                (&truth.bids, &truth.asks),
                "seed {seed}, step {step}"
            );
        }
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_partial_depth_stream_shows_the_best_levels_of_the_book() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut stream = sim.ws("/stream?streams=btcusdt@depth5/btcusdt@depth20@100ms").await;
    stream.send(json!({ "method": "LIST_SUBSCRIPTIONS", "id": 1 })).await;
    stream.next().await.unwrap();
    sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59999.99")
        .await
        .ok();
    for (name, levels) in [("btcusdt@depth20@100ms", 20), ("btcusdt@depth5", 5)] {
        let frame = stream.next().await.unwrap();
        assert_eq!(frame["stream"], name);
        let expected = sim
            .get(&format!("/api/v3/depth?symbol=BTCUSDT&limit={levels}"))
            .await
            .ok();
        assert_eq!(frame["data"], expected);
    }
    sim.stop().await;
}
