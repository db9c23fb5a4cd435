//! How long a comparison takes: reading the journal, looking up what is one-sided, comparing. Ignored in ordinary runs:
//! `cargo test --release -p thunes-gateway --lib -- --ignored --nocapture reconciling::speed`. What the exchange and
//! position need for their answers is not in it. `THUNES_SPEED_FILLS` and `THUNES_SPEED_SYMBOLS` change the size.

use std::collections::{BTreeMap, BTreeSet};

use thunes_proto::types::v1::{Fill, FillSource, Side as WireSide};
use thunes_runtime::clock;
use thunes_store::begin_write;

use super::facts::trade_fact;
use crate::domain::order::Side;
use crate::domain::reconcile::trades::{SymbolTrades, compare_symbol, one_sided};
use crate::domain::reconcile::{BookPosition, Class, Snapshot, TradeFact, compare};
use crate::store;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
/// Every so many trades the book lacks one.
const MISSED_EVERY: i64 = 10_000;

fn size(name: &str, default: i64) -> i64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn fill(symbol: i64, trade_id: i64) -> Fill {
    Fill {
        symbol: format!("S{symbol}USDT"),
        trade_id,
        base_asset: format!("S{symbol}"),
        quote_asset: "USDT".into(),
        side: if trade_id % 2 == 0 {
            WireSide::Sell
        } else {
            WireSide::Buy
        } as i32,
        price: "123.45".into(),
        quantity: "0.5".into(),
        quote_quantity: "61.725".into(),
        commission: "0.061725".into(),
        commission_asset: "USDT".into(),
        executed_at_ms: 1_700_000_000_000 + trade_id,
        venue_order_id: (trade_id / 2).to_string(),
        client_order_id: format!("order-{symbol}-{}", trade_id / 2),
        source: FillSource::Query as i32,
        ..Fill::default()
    }
}

async fn one_pass(database: &thunes_store::Database, fills: i64, symbols: i64) -> (usize, i64) {
    let mut snapshot = Snapshot::default();
    let mut compared = 0;
    for symbol in 0..symbols {
        let name = format!("S{symbol}USDT");
        let ids: Vec<i64> = (1..=fills / symbols).collect();
        let kept = store::fills_by_ids(&database.pool, &name, &ids).await.expect("read");
        let exchange: Vec<TradeFact> = kept.values().map(|fill| trade_fact(fill).expect("a fact")).collect();
        let lacks = |trade: &&TradeFact| (symbol * (fills / symbols) + trade.trade_id) % MISSED_EVERY != 0;
        let book: Vec<TradeFact> = exchange.iter().filter(lacks).cloned().collect();
        let (only_exchange, _) = one_sided(&exchange, &book);
        let asked: BTreeSet<&str> = only_exchange.iter().map(|t| t.venue_order_id.as_str()).collect();
        let own_orders = store::own_venue_ids(&database.pool, &name, &asked).await.expect("read");
        let in_doubt: Vec<(String, Side)> = Vec::new();
        let outcome = compare_symbol(&SymbolTrades {
            symbol: &name,
            base_asset: &format!("S{symbol}"),
            exchange: &exchange,
            book: &book,
            own_orders: &own_orders,
            foreign: &BTreeSet::new(),
            told_before: &BTreeSet::new(),
            in_doubt: &in_doubt,
            cursor: -1,
            cursor_vanished: false,
        })
        .expect("fits");
        compared += outcome.exchange.count;
        let sums = outcome.book.clone().unwrap_or_default();
        let word = BookPosition {
            quantity: sums.of(&outcome.base_asset),
            fills: sums.count,
        };
        snapshot.positions.insert(name, word);
        for (asset, change) in &outcome.exchange.effects {
            *snapshot.balances.entry(asset.clone()).or_default() += *change;
        }
        snapshot.symbols.push(outcome);
    }
    let comparison = compare(&snapshot).expect("fits");
    let external = comparison
        .differences
        .iter()
        .filter(|d| d.class == Class::ExternalTrade)
        .count();
    assert_eq!(
        external,
        comparison.differences.len(),
        "{:?}",
        comparison.differences.first()
    );
    (external, compared)
}

#[tokio::test]
#[ignore = "a measurement"]
async fn p9_a_hundred_thousand_fills_over_five_hundred_symbols() {
    let (fills, symbols) = (size("THUNES_SPEED_FILLS", 100_000), size("THUNES_SPEED_SYMBOLS", 500));
    let folder = tempfile::tempdir().expect("a folder");
    let database = thunes_store::open(&folder.path().join("gateway.db"), &MIGRATIONS)
        .await
        .expect("opened");
    let mut tx = begin_write(&database.pool).await.expect("a transaction");
    for symbol in 0..symbols {
        for trade_id in 1..=fills / symbols {
            store::insert_fill(&mut tx, &fill(symbol, trade_id))
                .await
                .expect("written");
        }
    }
    tx.commit().await.expect("committed");
    let mut took: BTreeMap<i64, (usize, i64)> = BTreeMap::new();
    for _ in 0..5 {
        let start = clock::instant();
        let found = one_pass(&database, fills, symbols).await;
        took.insert(clock::elapsed_ms(start), found);
    }
    let (fastest, (found, compared)) = took.first_key_value().expect("five passes");
    println!(
        "{compared} fills over {symbols} symbols: {fastest} ms at best of 5, {:?} ms; {found} differences",
        took.keys()
    );
    assert_eq!(*compared, fills / symbols * symbols);
    assert_eq!(i64::try_from(*found).expect("few"), fills / MISSED_EVERY);
}
