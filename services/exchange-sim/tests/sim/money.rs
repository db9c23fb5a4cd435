//! Balances are exact: what an account holds is its grant plus its fills plus its transfers, to the last decimal.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, still};
use thunes_exchange_sim::{CommissionIn, SimConfig};

fn dec(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

/// What each asset must hold, folded from the ledger's own grants, transfers and fills.
fn expected(ledger: &Value) -> BTreeMap<String, Decimal> {
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for (asset, amount) in ledger["grants"]["main"].as_object().unwrap() {
        *sums.entry(asset.clone()).or_default() += dec(amount);
    }
    for transfer in ledger["transfers"].as_array().unwrap() {
        *sums.entry(transfer["asset"].as_str().unwrap().to_owned()).or_default() += dec(&transfer["amount"]);
    }
    for fill in ledger["fills"].as_array().unwrap() {
        let symbol = fill["symbol"].as_str().unwrap();
        let (base, quote) = if symbol == "ETHBTC" {
            ("ETH", "BTC")
        } else {
            (&symbol[..3], "USDT")
        };
        let sign = if fill["side"] == "BUY" {
            Decimal::ONE
        } else {
            Decimal::NEGATIVE_ONE
        };
        assert_eq!(
            dec(&fill["quote_qty"]),
            dec(&fill["price"]) * dec(&fill["qty"]),
            "quote must be exact"
        );
        *sums.entry(base.to_owned()).or_default() += sign * dec(&fill["qty"]);
        *sums.entry(quote.to_owned()).or_default() -= sign * dec(&fill["quote_qty"]);
        *sums
            .entry(fill["commission_asset"].as_str().unwrap().to_owned())
            .or_default() -= dec(&fill["commission"]);
    }
    sums
}

pub fn check(ledger: &Value, context: &str) {
    let held = ledger["balances"]["main"].as_object().unwrap();
    for (asset, sum) in expected(ledger) {
        let balance = &held[&asset];
        assert_eq!(
            dec(&balance["free"]) + dec(&balance["locked"]),
            sum,
            "{asset}, {context}"
        );
    }
    // What is locked is what the open orders bind.
    let mut locked: BTreeMap<String, Decimal> = BTreeMap::new();
    for order in ledger["orders"].as_array().unwrap() {
        if order["status"] == "NEW" || order["status"] == "PARTIALLY_FILLED" {
            let symbol = order["symbol"].as_str().unwrap();
            let (base, quote) = if symbol == "ETHBTC" {
                ("ETH", "BTC")
            } else {
                (&symbol[..3], "USDT")
            };
            let left = dec(&order["orig_qty"]) - dec(&order["executed_qty"]);
            let (asset, amount) = if order["side"] == "BUY" {
                (quote, left * dec(&order["price"]))
            } else {
                (base, left)
            };
            *locked.entry(asset.to_owned()).or_default() += amount;
        }
    }
    for (asset, balance) in held {
        assert_eq!(
            dec(&balance["locked"]),
            locked.get(asset).copied().unwrap_or_default(),
            "{asset}, {context}"
        );
    }
}

async fn random_orders(seed: u64, commission_in: CommissionIn) {
    let context = format!("seed {seed}, commission in {commission_in:?}");
    println!("{context}");
    let dir = TempDir::new().unwrap();
    let mut config = SimConfig {
        seed,
        commission_in,
        commission_bps: "7.53".parse().unwrap(),
        ..still(dir.path())
    };
    config.accounts[0]
        .balances
        .insert("BNB".to_owned(), "0.01".parse().unwrap());
    let sim = Sim::start(config).await;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut accepted = 0;
    for step in 0..120 {
        let (symbol, start, qty_scale, price_scale) = [
            ("BTCUSDT", 6_000_000i64, 5u32, 2u32),
            ("ETHUSDT", 300_000, 4, 2),
            ("BNBUSDT", 60_000, 3, 2),
            ("ETHBTC", 5_000, 3, 5),
        ][rng.random_range(0..4)];
        let side = ["BUY", "SELL"][rng.random_range(0..2)];
        let quantity = Decimal::new(rng.random_range(1..20_000), qty_scale);
        let price = Decimal::new(start + start * rng.random_range(-20..=20i64) / 1_000, price_scale);
        let params = match rng.random_range(0..10) {
            0..3 => format!("symbol={symbol}&side={side}&type=MARKET&quantity={quantity}"),
            3 => format!(
                "symbol={symbol}&side={side}&type=MARKET&quoteOrderQty={}",
                rng.random_range(5..2_000)
            ),
            4..8 => {
                let life = ["GTC", "GTC", "IOC", "FOK"][rng.random_range(0..4)];
                format!("symbol={symbol}&side={side}&type=LIMIT&timeInForce={life}&quantity={quantity}&price={price}")
            }
            8 => {
                let moved = json!({ "symbol": symbol, "price": price.to_string() });
                sim.admin_post("/admin/price", moved).await.ok();
                continue;
            }
            _ => {
                let asset = ["USDT", "BTC", "ETH"][rng.random_range(0..3)];
                sim.admin_post("/admin/deposit", json!({ "asset": asset, "amount": "1.00000001" }))
                    .await
                    .ok();
                sim.signed("DELETE", "/api/v3/openOrders", &format!("symbol={symbol}"))
                    .await;
                continue;
            }
        };
        let reply = sim.order(&params).await;
        assert!(
            reply.status == 200 || [-2010, -1013].contains(&reply.code()),
            "step {step}, {context}: {params}: {}",
            reply.body
        );
        accepted += u32::from(reply.status == 200);
    }
    assert!(accepted > 10, "{context}: only {accepted} orders were accepted");
    check(&sim.ledger().await, &context);
    sim.signed("DELETE", "/api/v3/openOrders", "symbol=BTCUSDT").await;
    check(&sim.ledger().await, &context);
    sim.stop().await;
}

#[tokio::test]
async fn p8_balances_equal_grants_plus_fills_plus_transfers_to_the_last_decimal() {
    let seed = rand::random_range(0..1_000_000u64);
    for (offset, paid_in) in [
        CommissionIn::Received,
        CommissionIn::Bnb,
        CommissionIn::Quote,
        CommissionIn::Base,
    ]
    .into_iter()
    .enumerate()
    {
        random_orders(seed + offset as u64, paid_in).await;
    }
}

#[tokio::test]
async fn a_buy_credits_what_was_bought_less_the_fee() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let order = sim
        .order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01")
        .await
        .ok();
    let fee: Decimal = order["fills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fill| dec(&fill["commission"]))
        .sum();
    assert_eq!(fee, "0.00001".parse().unwrap());
    let account = sim.signed("GET", "/api/v3/account", "").await.ok();
    let btc = account["balances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["asset"] == "BTC")
        .unwrap();
    assert_eq!(btc["free"], "0.00999000");
    sim.stop().await;
}
