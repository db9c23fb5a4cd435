use super::*;

fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

fn trade(trade_id: i64, side: Side, quantity: &str) -> TradeFact {
    let quantity = d(quantity);
    TradeFact {
        symbol: "BTCUSDT".into(),
        trade_id,
        base_asset: "BTC".into(),
        quote_asset: "USDT".into(),
        side,
        price: d("50000"),
        quantity,
        quote_quantity: quantity * d("50000"),
        commission: quantity * d("0.001"),
        commission_asset: "BTC".into(),
        venue_order_id: "7".into(),
        executed_at_ms: 1,
    }
}

/// One purchase of 1 BTC, known to both sides.
fn agreed() -> Snapshot {
    let bought = trade(1, Side::Buy, "1");
    Snapshot {
        baseline: [("USDT".to_owned(), d("100000"))].into(),
        balances: [("USDT".to_owned(), d("50000")), ("BTC".to_owned(), d("0.999"))].into(),
        exchange_trades: vec![bought.clone()],
        book_fills: vec![bought],
        own_orders: [("BTCUSDT".to_owned(), "7".to_owned())].into(),
        positions: [("BTCUSDT".to_owned(), d("0.999"))].into(),
        ..Snapshot::default()
    }
}

fn classes(snapshot: &Snapshot) -> Vec<Class> {
    compare(snapshot)
        .expect("fits")
        .differences
        .iter()
        .map(|x| x.class)
        .collect()
}

#[test]
fn p9_what_agrees_is_clean_and_is_shown() {
    let comparison = compare(&agreed()).expect("fits");
    assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    assert_eq!(comparison.balances.len(), 2);
    assert!(comparison.positions[0].difference.is_zero());
}

#[test]
fn p9_a_fill_of_ours_that_the_book_lacks_is_missed_and_anyone_elses_is_external() {
    let mut missed = agreed();
    missed.book_fills.clear();
    missed.positions.clear();
    assert_eq!(classes(&missed), [Class::MissedFill]);
    missed.own_orders.clear();
    let comparison = compare(&missed).expect("fits");
    assert_eq!(comparison.differences[0].class, Class::ExternalTrade);
    assert_eq!(comparison.differences[0].adopt.as_ref().map(|t| t.trade_id), Some(1));
    assert!(!comparison.differences[0].cause.is_empty() && !comparison.differences[0].proposed_repair.is_empty());
    assert_eq!(comparison.positions[0].difference, d("0.999"));
}

#[test]
fn p9_phantoms_mismatches_and_transfers_are_told_apart() {
    let mut phantom = agreed();
    phantom.book_fills.push(trade(2, Side::Sell, "0.1"));
    phantom.positions.insert("BTCUSDT".into(), d("0.8989"));
    assert_eq!(classes(&phantom), [Class::PhantomFill]);

    let mut other_numbers = agreed();
    other_numbers.book_fills[0].price = d("49999");
    assert_eq!(classes(&other_numbers), [Class::FillMismatch]);

    let mut deposit = agreed();
    deposit.balances.insert("USDT".into(), d("50000.00000001"));
    let comparison = compare(&deposit).expect("fits");
    assert_eq!(comparison.differences[0].class, Class::UnexplainedBalance);
    assert_eq!(comparison.differences[0].difference, Some(d("0.00000001")));

    let mut broken = agreed();
    broken.positions.insert("BTCUSDT".into(), d("1"));
    assert_eq!(classes(&broken), [Class::PositionMismatch]);
}

#[test]
fn p9_open_orders_are_accounted_for_on_both_sides() {
    let order = |id: &str, in_doubt| OpenOrderFact {
        client_order_id: id.into(),
        venue_order_id: "9".into(),
        symbol: "BTCUSDT".into(),
        in_doubt,
    };
    let mut s = agreed();
    s.own_open = vec![order("both", false), order("gone", false), order("doubt", true)];
    s.exchange_open = vec![order("both", false), order("strange", false)];
    assert_eq!(
        classes(&s),
        [Class::PhantomOrder, Class::InDoubt, Class::UnknownOpenOrder]
    );
}
