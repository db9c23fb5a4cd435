use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits {
        order_notional_max: Decimal::from(1000),
        position_notional_max: Decimal::from(5000),
        open_positions_max: 2,
        daily_loss_max: Decimal::from(500),
        orders_per_minute_max: 3,
        price_collar_bps: 500,
        allowed_symbols: vec!["BTCUSDT".into(), "ETHUSDT".into(), "BNBUSDT".into()],
        duplicate_window_ms: 1000,
    }
}

fn book() -> Book {
    Book {
        revision: 1,
        open: BTreeMap::new(),
        daily_pnl: Some(Decimal::ZERO),
        heard_at_boot_ms: Some(0),
    }
}

fn buy(notional: i64) -> Trade {
    Trade {
        symbol: "BTCUSDT".into(),
        side: Side::Buy,
        notional: Decimal::from(notional),
        limit_price: None,
        strategy_id: "s".into(),
    }
}

struct World {
    limits: Limits,
    book: Book,
    recent: Recent,
    active: bool,
    reserved: Decimal,
    last_price: Option<Decimal>,
}

impl World {
    fn new() -> Self {
        Self {
            limits: limits(),
            book: book(),
            recent: Recent::default(),
            active: false,
            reserved: Decimal::ZERO,
            last_price: None,
        }
    }

    fn judge(&self, trade: &Trade, now_boot_ms: i64) -> Decision {
        let facts = Facts {
            halted: self.active.then_some(&Scope::All),
            limits: &self.limits,
            book: &self.book,
            positions_stale_ms: 3000,
            reserved_in_symbol: self.reserved,
            reserved_symbols: BTreeSet::new(),
            last_price: self.last_price,
            recent: &self.recent,
            now_boot_ms,
        };
        decide(trade, &facts).expect("fits")
    }
}

#[test]
fn the_texts_of_the_form_are_kept_to_the_letter() {
    let mut world = World::new();
    assert_eq!(world.judge(&buy(100), 0).reason, "✅ Trade validation passed");
    world.active = true;
    let denied = world.judge(&buy(100), 0);
    assert!(!denied.approved);
    assert_eq!(denied.reason, "❌ Kill-switch is active. No new positions allowed.");
    let sell = Trade {
        side: Side::Sell,
        ..buy(100)
    };
    let allowed = world.judge(&sell, 0);
    assert!(allowed.approved);
    assert_eq!(
        allowed.reason,
        "✅ SELL orders allowed during kill-switch to close positions"
    );
}

#[test]
fn each_limit_denies_just_beyond_its_bound() {
    let world = World::new();
    assert!(world.judge(&buy(1000), 0).approved);
    assert_eq!(world.judge(&buy(1001), 0).code, ReasonCode::OrderNotionalAboveLimit);

    let mut full = World::new();
    full.book.open.insert("BTCUSDT".into(), Decimal::from(3000));
    full.reserved = Decimal::from(1900);
    assert!(full.judge(&buy(100), 0).approved);
    assert_eq!(full.judge(&buy(101), 0).code, ReasonCode::PositionNotionalAboveLimit);

    let mut many = World::new();
    many.book.open.insert("ETHUSDT".into(), Decimal::ONE);
    assert!(many.judge(&buy(100), 0).approved);
    many.book.open.insert("BNBUSDT".into(), Decimal::ONE);
    assert_eq!(many.judge(&buy(100), 0).code, ReasonCode::OpenPositionsAboveLimit);

    let mut losing = World::new();
    losing.book.daily_pnl = Some(Decimal::from(-499));
    assert!(losing.judge(&buy(100), 0).approved);
    losing.book.daily_pnl = Some(Decimal::from(-500));
    assert_eq!(losing.judge(&buy(100), 0).code, ReasonCode::DailyLossAboveLimit);
    losing.book.daily_pnl = None;
    assert!(!losing.judge(&buy(100), 0).approved, "P2: unknown means no");

    let strange = Trade {
        symbol: "DOGEUSDT".into(),
        ..buy(100)
    };
    assert_eq!(World::new().judge(&strange, 0).code, ReasonCode::SymbolNotAllowed);
}

#[test]
fn p2_a_stale_book_denies_opening_but_not_closing() {
    let world = World::new();
    assert!(world.judge(&buy(100), 3000).approved);
    assert_eq!(world.judge(&buy(100), 3001).code, ReasonCode::PositionsStale);
    assert!(
        world
            .judge(
                &Trade {
                    side: Side::Sell,
                    ..buy(100)
                },
                1_000_000
            )
            .approved
    );
}

#[test]
fn rate_and_duplicates_forget_when_their_time_is_over() {
    let mut world = World::new();
    world.book.heard_at_boot_ms = Some(59_000);
    for at in [0, 10, 20] {
        world.recent.record(&buy(100 + at), at, &world.limits);
    }
    assert_eq!(world.judge(&buy(7), 59_999).code, ReasonCode::OrderRateAboveLimit);
    assert!(world.judge(&buy(7), 60_000).approved, "the first one is a minute old");

    let mut twin = World::new();
    twin.recent.record(&buy(100), 0, &twin.limits);
    assert_eq!(twin.judge(&buy(100), 999).code, ReasonCode::DuplicateOrder);
    assert!(twin.judge(&buy(100), 1000).approved);
    assert!(twin.judge(&buy(99), 10).approved);
}

#[test]
fn a_limit_price_needs_a_last_price_and_stays_near_it() {
    let mut world = World::new();
    let priced = |price: i64| Trade {
        limit_price: Some(Decimal::from(price)),
        ..buy(100)
    };
    assert_eq!(world.judge(&priced(100), 0).code, ReasonCode::PriceUnknown);
    world.last_price = Some(Decimal::from(100));
    assert!(world.judge(&priced(105), 0).approved);
    assert_eq!(world.judge(&priced(106), 0).code, ReasonCode::PriceOutsideCollar);
    assert!(world.judge(&priced(95), 0).approved);
    assert_eq!(
        world
            .judge(
                &Trade {
                    side: Side::Sell,
                    ..priced(94)
                },
                0
            )
            .code,
        ReasonCode::PriceOutsideCollar
    );
}

proptest! {
    #[test]
    fn p1_no_opening_trade_ever_passes_an_active_switch(
        notional in 1i64..2000, book_notional in 0i64..6000, now in 0i64..10_000, price in proptest::option::of(1i64..300)
    ) {
        let mut world = World::new();
        world.active = true;
        world.book.open.insert("BTCUSDT".into(), Decimal::from(book_notional));
        world.last_price = Some(Decimal::from(100));
        let trade = Trade { limit_price: price.map(Decimal::from), ..buy(notional) };
        let decision = world.judge(&trade, now);
        prop_assert!(!decision.approved);
        prop_assert_eq!(decision.code, ReasonCode::KillSwitchActive);
    }
}
