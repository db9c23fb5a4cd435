//! What one decision of the gate takes, without gRPC and without its lock: `cargo bench -p thunes-risk`.

use std::collections::{BTreeMap, BTreeSet};

use thunes_risk::Limits;
use thunes_risk::domain::decide::{Book, Facts, Recent, Side, Trade, decide};
use thunes_types::Decimal;

fn main() {
    divan::main();
}

fn limits() -> Limits {
    Limits {
        order_notional_max: Decimal::from(1000),
        position_notional_max: Decimal::from(5000),
        open_positions_max: 10,
        daily_loss_max: Decimal::from(500),
        orders_per_minute_max: 100_000,
        price_collar_bps: 500,
        allowed_symbols: vec!["BTCUSDT".into(), "ETHUSDT".into(), "BNBUSDT".into()],
        duplicate_window_ms: 0,
    }
}

fn trade(side: Side) -> Trade {
    Trade {
        symbol: "ETHUSDT".into(),
        side,
        notional: Decimal::from(100),
        limit_price: Some(Decimal::from(3000)),
        strategy_id: "trend".into(),
    }
}

/// Five positions, and so many orders within the last minute.
fn measured(bencher: divan::Bencher<'_, '_>, side: Side, recent_orders: usize) {
    let (limits, trade) = (limits(), trade(side));
    let symbols = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"];
    let book = Book {
        revision: 1,
        open: symbols
            .iter()
            .map(|symbol| ((*symbol).to_owned(), Decimal::from(1000)))
            .collect::<BTreeMap<_, _>>(),
        daily_pnl: Some(Decimal::from(-10)),
        heard_at_boot_ms: Some(1000),
    };
    let mut recent = Recent::default();
    for _ in 0..recent_orders {
        recent.record(&trade, 1000, &limits);
    }
    let facts = Facts {
        halted: None,
        limits: &limits,
        book: &book,
        positions_stale_ms: 3000,
        reserved_in_symbol: Decimal::from(200),
        reserved_symbols: BTreeSet::from(["ETHUSDT"]),
        last_price: Some(Decimal::from(3001)),
        recent: &recent,
        now_boot_ms: 1500,
    };
    let decision = decide(&trade, &facts).expect("fits");
    assert!(decision.approved, "{decision:?}");
    bencher.bench(|| decide(divan::black_box(&trade), divan::black_box(&facts)));
}

#[divan::bench(args = [0, 100, 3000])]
fn opening(bencher: divan::Bencher<'_, '_>, recent_orders: usize) {
    measured(bencher, Side::Buy, recent_orders);
}

#[divan::bench(args = [0, 100, 3000])]
fn closing(bencher: divan::Bencher<'_, '_>, recent_orders: usize) {
    measured(bencher, Side::Sell, recent_orders);
}
