//! Price before time, against a reference that knows nothing of the exchange's book: a list that is searched anew for
//! every fill.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Sim, still, with_other};

/// An order that rests, in units of 0.00001 BTC and of a cent.
#[derive(Debug, Clone)]
struct Resting {
    id: u64,
    side: &'static str,
    price: i64,
    left: i64,
}

/// Two accounts trade inside the spread of the synthetic book, so that only their own orders can meet.
const LOW: i64 = 5_999_800;
const HIGH: i64 = 6_000_200;

/// Matches the naive way: of all that the taker reaches, the best price, and of those the one that came first.
fn match_naively(book: &mut Vec<Resting>, side: &str, price: i64, mut qty: i64) -> (Vec<(u64, i64, i64)>, i64) {
    let mut fills = Vec::new();
    while qty > 0 {
        let reached = |order: &Resting| {
            order.side != side
                && if side == "BUY" {
                    order.price <= price
                } else {
                    order.price >= price
                }
        };
        let mut best: Option<usize> = None;
        for (at, order) in book.iter().enumerate().filter(|(_, order)| reached(order)) {
            let better = best.is_none_or(|b| {
                if side == "BUY" {
                    order.price < book[b].price
                } else {
                    order.price > book[b].price
                }
            });
            if better {
                best = Some(at);
            }
        }
        let Some(at) = best else { break };
        let traded = qty.min(book[at].left);
        fills.push((book[at].id, book[at].price, traded));
        qty -= traded;
        book[at].left -= traded;
        if book[at].left == 0 {
            book.remove(at);
        }
    }
    (fills, qty)
}

fn units(value: &Value, scale: u32) -> i64 {
    let value: rust_decimal::Decimal = value.as_str().unwrap().parse().unwrap();
    i64::try_from(value * rust_decimal::Decimal::from(10_i64.pow(scale))).unwrap()
}

fn order_params(side: &str, life: &str, price: i64, qty: i64) -> String {
    format!(
        "symbol=BTCUSDT&side={side}&type=LIMIT&timeInForce={life}&quantity=0.{qty:05}&price={}.{:02}",
        price / 100,
        price % 100
    )
}

/// The fills of the makers of one taker's trades, by trade id.
fn maker_fills(ledger: &Value, taker: u64) -> Vec<(u64, i64, i64)> {
    let fills = ledger["fills"].as_array().unwrap();
    let mut trades: Vec<u64> = fills
        .iter()
        .filter(|fill| fill["order_id"] == taker)
        .map(|fill| fill["trade_id"].as_u64().unwrap())
        .collect();
    trades.sort_unstable();
    let maker = |trade: &u64| {
        let fill = fills
            .iter()
            .find(|fill| fill["trade_id"] == *trade && fill["order_id"] != taker)
            .unwrap_or_else(|| panic!("trade {trade} met no order of the other account"));
        assert_eq!(fill["is_maker"], true);
        let id = fill["order_id"].as_u64().unwrap();
        (id, units(&fill["price"], 2), units(&fill["qty"], 5))
    };
    trades.iter().map(maker).collect()
}

#[tokio::test]
async fn fills_are_those_of_a_naive_matcher_by_price_then_time() {
    let seed = rand::random_range(0..1_000_000u64);
    println!("seed {seed}");
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(with_other(still(dir.path()))).await;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut book: Vec<Resting> = Vec::new();
    let (mut matched, mut several) = (0, 0);
    for step in 0..150 {
        let side = if rng.random_bool(0.5) { "BUY" } else { "SELL" };
        // Each account keeps to one side, so that none meets itself: `main` buys, `other` sells.
        let life = ["GTC", "GTC", "GTC", "IOC", "FOK"][rng.random_range(0..5)];
        let price = rng.random_range(LOW..=HIGH) / 50 * 50;
        let qty = rng.random_range(10..400);
        let params = order_params(side, life, price, qty);
        let placed = match side {
            "BUY" => sim.order(&params).await.ok(),
            _ => sim.signed_as_other("POST", "/api/v3/order", &params).await.ok(),
        };
        let id = placed["orderId"].as_u64().unwrap();
        let before = book.clone();
        let (mut expected, mut left) = match_naively(&mut book, side, price, qty);
        if life == "FOK" && left > 0 {
            (expected, left, book) = (Vec::new(), qty, before);
        }
        if life == "GTC" && left > 0 {
            book.push(Resting { id, side, price, left });
        }
        let context = format!("seed {seed}, step {step}: {params}");
        assert_eq!(units(&placed["executedQty"], 5), qty - left, "{context}");
        assert_eq!(maker_fills(&sim.ledger().await, id), expected, "{context}");
        matched += usize::from(!expected.is_empty());
        several += usize::from(expected.len() > 1);
    }
    assert!(
        matched > 10 && several > 0,
        "seed {seed}: too few orders met: {matched}, {several}"
    );
    sim.stop().await;
}
