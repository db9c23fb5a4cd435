use super::trades::{SymbolTrades, compare_symbol};
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
        executed_at_ms: trade_id,
    }
}

/// One side's trades, and what else is known of them.
struct Sides {
    exchange: Vec<TradeFact>,
    book: Vec<TradeFact>,
    own: BTreeSet<String>,
    foreign: BTreeSet<String>,
    told: BTreeSet<i64>,
    doubts: Vec<(String, Side)>,
    cursor_vanished: bool,
    snapshot: Snapshot,
}

/// One purchase of 1 BTC, known to both sides.
fn agreed() -> Sides {
    let bought = trade(1, Side::Buy, "1");
    Sides {
        exchange: vec![bought.clone()],
        book: vec![bought],
        own: ["7".to_owned()].into(),
        foreign: BTreeSet::new(),
        told: BTreeSet::new(),
        doubts: Vec::new(),
        cursor_vanished: false,
        snapshot: Snapshot {
            baseline: [("USDT".to_owned(), d("100000"))].into(),
            balances: [("USDT".to_owned(), d("50000")), ("BTC".to_owned(), d("0.999"))].into(),
            positions: [(
                "BTCUSDT".to_owned(),
                BookPosition {
                    quantity: d("0.999"),
                    fills: 1,
                },
            )]
            .into(),
            wipe_possible: true,
            ..Snapshot::default()
        },
    }
}

impl Sides {
    fn outcome(&self) -> SymbolOutcome {
        let t = SymbolTrades {
            symbol: "BTCUSDT",
            base_asset: "BTC",
            exchange: &self.exchange,
            book: &self.book,
            own_orders: &self.own,
            foreign: &self.foreign,
            told_before: &self.told,
            in_doubt: &self.doubts,
            cursor: -1,
            cursor_vanished: self.cursor_vanished,
        };
        compare_symbol(&t).expect("fits")
    }

    /// The book's position is the fold of its fills, so that a test of trades does not break it by the way.
    fn fold(mut self) -> Self {
        let sums = self.outcome().book.expect("read");
        let word = BookPosition {
            quantity: sums.of("BTC"),
            fills: sums.count,
        };
        self.snapshot.positions.insert("BTCUSDT".into(), word);
        self
    }

    fn compared(&self) -> Comparison {
        let mut snapshot = self.snapshot.clone();
        snapshot.symbols = vec![self.outcome()];
        compare(&snapshot).expect("fits")
    }

    fn classes(&self) -> Vec<Class> {
        let comparison = self.compared();
        for found in comparison.differences.iter().chain(&comparison.notes) {
            assert!(
                !found.cause.is_empty() && !found.proposed_repair.is_empty(),
                "{found:?}"
            );
            assert!(
                !(found.local.is_null() && found.exchange.is_null()),
                "evidence: {found:?}"
            );
        }
        comparison.differences.iter().map(|x| x.class).collect()
    }
}

fn open_order(id: &str) -> OpenOrderFact {
    OpenOrderFact {
        client_order_id: id.into(),
        venue_order_id: "9".into(),
        symbol: "BTCUSDT".into(),
        ..OpenOrderFact::default()
    }
}

#[test]
fn p9_what_agrees_is_clean_and_is_shown() {
    let comparison = agreed().compared();
    assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    assert!(comparison.notes.is_empty() && comparison.blocking().is_empty());
    assert_eq!(comparison.balances.len(), 2);
    assert!(comparison.positions[0].difference.is_zero());
}

#[test]
fn p9_a_fill_of_ours_that_the_book_lacks_is_missed_and_anyone_elses_is_external() {
    let mut missed = agreed();
    missed.book.clear();
    let mut missed = missed.fold();
    assert_eq!(missed.classes(), [Class::MissedFill]);
    missed.own.clear();
    let comparison = missed.compared();
    assert_eq!(comparison.differences[0].class, Class::ExternalTrade);
    assert_eq!(comparison.differences[0].repair, Repair::AdoptFill);
    assert_eq!(comparison.differences[0].adopt.as_ref().map(|t| t.trade_id), Some(1));
    assert_eq!(comparison.positions[0].difference, d("0.999"));
}

#[test]
fn p9_a_trade_that_may_be_that_of_an_order_in_doubt_is_nobodys_yet() {
    let mut missed = agreed();
    missed.book.clear();
    missed.own.clear();
    missed.doubts = vec![("doubt".into(), Side::Buy)];
    let missed = missed.fold();
    let comparison = missed.compared();
    assert_eq!(missed.classes(), [Class::InDoubt]);
    assert!(
        comparison.differences[0].adopt.is_none(),
        "not to be adopted as somebody else's"
    );
    assert_eq!(comparison.blocking().len(), 1, "it may be anybody's");
    let mut other_side = missed;
    other_side.doubts = vec![("doubt".into(), Side::Sell)];
    assert_eq!(other_side.classes(), [Class::ExternalTrade]);
    // The exchange has said whose order it was: it is not the one in doubt.
    let mut foreign = other_side;
    foreign.doubts = vec![("doubt".into(), Side::Buy)];
    foreign.foreign = ["7".to_owned()].into();
    assert_eq!(foreign.classes(), [Class::ExternalTrade]);
    assert_eq!(foreign.compared().blocking().len(), 1);
}

#[test]
fn p9_a_fill_that_the_exchange_does_not_know_is_a_phantom_or_a_copy() {
    let mut phantom = agreed();
    phantom.book.push(trade(2, Side::Sell, "0.1"));
    assert_eq!(phantom.fold().classes(), [Class::PhantomFill]);

    let mut copied = agreed();
    copied.book.push(TradeFact {
        trade_id: 900,
        ..trade(1, Side::Buy, "1")
    });
    let copied = copied.fold();
    assert_eq!(copied.classes(), [Class::DuplicateFill]);
    assert!(copied.compared().differences[0].cause.contains("trade 1"));
    // Fills of one order that look alike are no copies when the exchange has both.
    let mut alike = agreed();
    for side in [&mut alike.exchange, &mut alike.book] {
        side.push(TradeFact {
            trade_id: 2,
            ..trade(1, Side::Buy, "1")
        });
    }
    let mut alike = alike.fold();
    alike.snapshot.balances = [("BTC".to_owned(), d("1.998"))].into();
    assert!(alike.classes().is_empty());
}

#[test]
fn p9_other_numbers_and_another_fee_are_told_apart() {
    let mut other_numbers = agreed();
    other_numbers.book[0].price = d("49999");
    assert_eq!(other_numbers.fold().classes(), [Class::FillMismatch]);

    let mut fee = agreed();
    fee.book[0].commission = d("0.002");
    let comparison = fee.fold().compared();
    assert_eq!(comparison.differences.len(), 1, "{comparison:?}");
    assert_eq!(comparison.differences[0].class, Class::FeeDifference);
    assert_eq!(comparison.differences[0].difference, Some(d("-0.001")));
    let mut asset = agreed();
    asset.book[0].commission_asset = "BNB".into();
    assert_eq!(asset.fold().classes(), [Class::FeeDifference]);
}

#[test]
fn p9_a_transfer_that_was_heard_is_expected_and_one_that_nobody_saw_is_not_assumed() {
    let mut deposit = agreed();
    deposit.snapshot.balances.insert("USDT".into(), d("50000.00000001"));
    let comparison = deposit.compared();
    assert_eq!(deposit.classes(), [Class::UnexplainedBalance]);
    assert_eq!(comparison.differences[0].difference, Some(d("0.00000001")));
    assert!(comparison.differences[0].cause.contains("told of no transfer"));
    deposit.snapshot.stream_gap = true;
    assert!(deposit.compared().differences[0].cause.contains("passed unseen"));

    deposit.snapshot.transfers = vec![TransferFact {
        asset: "USDT".into(),
        delta: d("0.00000001"),
        cleared_at_ms: 5,
    }];
    let comparison = deposit.compared();
    assert!(deposit.classes().is_empty(), "{comparison:?}");
    assert_eq!(comparison.notes[0].class, Class::DepositWithdrawal);
    assert_eq!(comparison.notes[0].difference, Some(d("0.00000001")));
}

#[test]
fn p9_what_nothing_explains_is_valued_and_what_has_no_price_is_above_any_tolerance() {
    let mut odd = agreed();
    odd.snapshot.balances.insert("BTC".into(), d("0.9989"));
    odd.snapshot.balances.insert("USDT".into(), d("50002"));
    let prices = [("BTC".to_owned(), d("60000")), ("USDT".to_owned(), Decimal::ONE)].into();
    let worth = unexplained_value(&odd.compared(), &prices).expect("fits");
    assert_eq!(worth.value_quote, d("8"), "0.0001 x 60000 + 2, both count");
    assert!(worth.is_above(d("7.99")) && !worth.is_above(d("8")));
    odd.snapshot.balances.insert("XYZ".into(), d("0.00000001"));
    let worth = unexplained_value(&odd.compared(), &prices).expect("fits");
    assert!(worth.is_above(d("1000000")), "{worth:?}");
}

#[test]
fn p9_what_is_locked_beyond_the_open_orders_is_an_external_lock() {
    let mut locked = agreed();
    locked.snapshot.locked = [("USDT".to_owned(), d("600"))].into();
    assert_eq!(locked.classes(), [Class::ExternalLock]);
    let order = OpenOrderFact {
        locks: Some(("USDT".into(), d("590"))),
        assets: vec!["BTC".into(), "USDT".into()],
        ..open_order("rests")
    };
    (locked.snapshot.exchange_open, locked.snapshot.own_open) = (vec![order.clone()], vec![order.clone()]);
    let found = locked.compared().differences;
    assert_eq!((found.len(), found[0].difference), (1, Some(d("10"))));
    // What an order binds that is not understood proves nothing.
    locked
        .snapshot
        .exchange_open
        .push(OpenOrderFact { locks: None, ..order });
    assert!(locked.classes().is_empty());
}

#[test]
fn p9_a_remainder_that_cannot_be_sold_is_a_note_and_clean() {
    let mut rest = agreed();
    let mut rule = DustRule {
        quantity_min: d("0.00001"),
        quantity_step: d("0.00001"),
        notional_min: d("10"),
        last_price: Some(d("50000")),
    };
    rest.snapshot.dust.insert("BTCUSDT".into(), rule.clone());
    assert!(rest.compared().notes.is_empty(), "0.999 BTC can be sold");
    rule.notional_min = d("49950.01");
    rest.snapshot.dust.insert("BTCUSDT".into(), rule.clone());
    let comparison = rest.compared();
    assert!(rest.classes().is_empty());
    assert_eq!(comparison.notes[0].class, Class::Dust);
    rule.last_price = None;
    rest.snapshot.dust.insert("BTCUSDT".into(), rule.clone());
    assert!(
        rest.compared().notes.is_empty(),
        "without a price it is not known to be dust"
    );
    rule.quantity_min = d("1");
    rest.snapshot.dust.insert("BTCUSDT".into(), rule);
    assert_eq!(rest.compared().notes[0].class, Class::Dust);
}

#[test]
fn p9_a_wipe_is_one_discrepancy_and_a_phantom_is_no_wipe() {
    let mut wiped = agreed();
    wiped.exchange.clear();
    wiped.snapshot.balances = [("USDT".to_owned(), d("777"))].into();
    // The exchange never told of it: somebody made it up.
    assert_eq!(wiped.classes(), [Class::PhantomFill, Class::UnexplainedBalance]);
    wiped.told = [1].into();
    assert_eq!(wiped.classes(), [Class::TestnetWipe]);
    let signs = wiped.compared().wipe.expect("a wipe");
    assert_eq!((signs.vanished_trades, signs.newest_vanished_ms), (1, 1));
    // What differs beyond it does not hide: another balance is another discrepancy.
    let before = wiped.compared().identities();
    wiped.snapshot.balances.insert("USDT".into(), d("778"));
    assert_ne!(before, wiped.compared().identities());
    // On a live account nothing is wiped.
    wiped.snapshot.wipe_possible = false;
    assert_eq!(wiped.classes(), [Class::PhantomFill, Class::UnexplainedBalance]);
    wiped.snapshot.wipe_possible = true;
    // Trades after the wipe are known to both sides.
    for side in [&mut wiped.exchange, &mut wiped.book] {
        side.push(trade(5, Side::Buy, "0.1"));
    }
    let mut after = wiped.fold();
    assert!(after.classes().contains(&Class::TestnetWipe), "{:?}", after.classes());
    // Something older has stayed: the account was not wiped.
    for side in [&mut after.exchange, &mut after.book] {
        side.insert(0, trade(0, Side::Buy, "0.1"));
    }
    let after = after.fold();
    assert!(!after.classes().contains(&Class::TestnetWipe), "{:?}", after.classes());
}

#[test]
fn p9_an_account_without_trades_is_seen_wiped_by_its_orders_and_its_baseline() {
    let mut empty = agreed();
    (empty.exchange, empty.book) = (Vec::new(), Vec::new());
    empty.snapshot.balances = empty.snapshot.baseline.clone();
    let mut empty = empty.fold();
    assert!(empty.classes().is_empty());
    empty.snapshot.own_open = vec![OpenOrderFact {
        denied: true,
        ..open_order("gone")
    }];
    assert_eq!(empty.classes(), [Class::TestnetWipe]);
    empty.snapshot.own_open.clear();
    empty.cursor_vanished = true;
    assert_eq!(empty.classes(), [Class::TestnetWipe]);
}

#[test]
fn p9_a_book_that_is_not_the_fold_of_its_fills_is_named() {
    let mut broken = agreed();
    broken.snapshot.positions.insert(
        "BTCUSDT".into(),
        BookPosition {
            quantity: d("1"),
            fills: 1,
        },
    );
    assert_eq!(broken.classes(), [Class::PositionMismatch]);
    broken.snapshot.positions.insert(
        "BTCUSDT".into(),
        BookPosition {
            quantity: d("0.999"),
            fills: 2,
        },
    );
    assert_eq!(broken.classes(), [Class::PositionMismatch]);
    broken.snapshot.positions.clear();
    assert_eq!(
        broken.classes(),
        [Class::PositionMismatch],
        "a position that the book lost"
    );
}

#[test]
fn p9_open_orders_are_accounted_for_on_both_sides() {
    let mut s = agreed();
    let doubt = OpenOrderFact {
        in_doubt: true,
        reason: "no answer".into(),
        ..open_order("doubt")
    };
    s.snapshot.own_open = vec![open_order("both"), open_order("gone"), doubt];
    s.snapshot.exchange_open = vec![open_order("both"), open_order("strange")];
    assert_eq!(
        s.classes(),
        [Class::PhantomOrder, Class::InDoubt, Class::UnknownOpenOrder]
    );
    assert_eq!(s.compared().blocking().len(), 2, "a doubt does not stand in the way");
    s.snapshot.turned_up = vec![OpenOrderFact {
        reason: "was thought to be CANCELED".into(),
        ..open_order("back")
    }];
    assert_eq!(s.compared().notes[0].class, Class::TurnedUp);
}

#[test]
fn p9_more_differences_than_are_kept_are_counted() {
    let mut many = agreed();
    many.own.clear();
    many.exchange = (1..=3_000).map(|id| trade(id, Side::Buy, "0.001")).collect();
    many.book.clear();
    let many = many.fold();
    let comparison = many.compared();
    let trades = comparison
        .differences
        .iter()
        .filter(|d| d.class == Class::ExternalTrade)
        .count() as u64;
    assert_eq!(trades + comparison.left_out, 3_000);
    assert!(comparison.differences.len() <= DIFFERENCES_KEPT);
    let mut one_more = many;
    one_more.exchange.push(trade(3_001, Side::Buy, "0.001"));
    assert_ne!(comparison.identities(), one_more.fold().compared().identities());
}

#[test]
fn p9_of_many_symbols_those_that_moved_and_a_few_in_turn_are_asked() {
    let names: Vec<String> = (0..25).map(|n| format!("S{n:02}USDT")).collect();
    let sums = |count| Sums {
        count,
        ..Sums::default()
    };
    let known: BTreeMap<String, Sums> = names.iter().map(|n| (n.clone(), sums(1))).collect();
    let mut book: BTreeMap<String, BookPosition> = names
        .iter()
        .map(|n| {
            (
                n.clone(),
                BookPosition {
                    fills: 1,
                    ..BookPosition::default()
                },
            )
        })
        .collect();
    book.insert(
        "S24USDT".into(),
        BookPosition {
            fills: 2,
            ..BookPosition::default()
        },
    );
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        let asked = symbols_to_ask(&names, &known, &book, round, 10);
        assert!(asked.contains(&"S24USDT") && asked.len() <= 11, "{asked:?}");
        seen.extend(asked.into_iter().map(str::to_owned));
    }
    assert_eq!(seen.len(), 25, "each has its turn");
    assert_eq!(symbols_to_ask(&names[..10], &known, &book, 7, 10).len(), 10);
}
