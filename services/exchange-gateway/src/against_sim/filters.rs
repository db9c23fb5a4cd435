//! Whatever our filters let through, the exchange's accept; what they deny, it refuses.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use thunes_binance::{OrderShape, Outcome, Rejection, Side, TimeInForce};
use thunes_runtime::clock;
use thunes_types::{Decimal, checked_add, floor_to_step};

use super::{Sim, d, hmac, order, symbol};
use crate::domain::filters::{Measured, Surroundings, SymbolRules};
use crate::domain::order::Side as OurSide;
use crate::market::rules_of;

const CASES: usize = 400;

/// Where a number is taken from: on a bound, beside it, or anywhere.
#[derive(Debug, Clone, Copy)]
struct Pick {
    bound: usize,
    steps_off: i64,
    /// In hundred-millionths.
    anywhere: i64,
    off_step: bool,
}

fn pick() -> impl Strategy<Value = Pick> {
    (
        0usize..8,
        -1i64..=1,
        1i64..10_000_000_000_000,
        prop::bool::weighted(0.15),
    )
        .prop_map(|(bound, steps_off, anywhere, off_step)| Pick {
            bound,
            steps_off,
            anywhere,
            off_step,
        })
}

fn number(pick: Pick, bounds: &[Decimal], step: Decimal) -> Decimal {
    let chosen = bounds.get(pick.bound).copied();
    let near = floor_to_step(chosen.unwrap_or(Decimal::new(pick.anywhere, 8)), step).expect("fits")
        + step * Decimal::from(pick.steps_off);
    let off = if pick.off_step {
        Decimal::new(1, 8)
    } else {
        Decimal::ZERO
    };
    (near + off).max(Decimal::new(1, 8)).normalize()
}

fn shape_of(measured: &Measured) -> OrderShape {
    match (measured.quantity, measured.limit_price, measured.quote_amount) {
        (Some(quantity), Some(price), _) => OrderShape::Limit {
            quantity,
            price,
            time_in_force: TimeInForce::Gtc,
        },
        (Some(quantity), None, _) => OrderShape::MarketQuantity { quantity },
        (None, _, quote) => OrderShape::MarketQuote {
            quote_quantity: quote.unwrap_or_default(),
        },
    }
}

fn measure(rules: &SymbolRules, now: &Surroundings, side: OurSide, kind: u8, picks: (Pick, Pick)) -> Measured {
    let last = now.last_price.unwrap_or_default();
    let band = rules.buy_band.expect("the exchange has the rule");
    let prices = [
        last,
        last * band.down,
        last * band.up,
        rules.price_min,
        rules.price_max,
        last,
    ];
    let price = number(picks.0, &prices, rules.price_tick);
    let worth = |notional: Decimal| notional / if kind == 0 { price } else { last };
    let room = rules.position_max.unwrap_or_default() - now.position.unwrap_or_default();
    let quantities = [
        rules.lot.min,
        rules.lot.max,
        rules.market_lot.max,
        worth(rules.notional_min),
        worth(rules.notional_max),
        room,
    ];
    let quantity = number(picks.1, &quantities, rules.lot.step);
    let quote = number(picks.1, &[rules.notional_min, rules.notional_max], d("0.01"));
    Measured {
        side,
        quantity: (kind < 2).then_some(quantity),
        limit_price: (kind == 0).then_some(price),
        quote_amount: (kind == 2).then_some(quote),
    }
}

#[tokio::test]
async fn our_filters_and_the_exchanges_agree_at_and_around_every_bound() {
    let sim = Sim::start(|config| {
        config.request_weight_per_minute = 1_000_000;
        config.symbols.retain(|symbol| symbol.symbol == "BTCUSDT");
        config.symbols[0].max_position = Some(d("50"));
        config.accounts[0].balances.insert("BTC".to_owned(), d("1.5"));
    })
    .await;
    let client = sim.client(hmac(), 0);
    let info = client.exchange_info(&[symbol()]).await.into_result().expect("rules");
    let rules = rules_of(&info.symbols[0]);
    let last = client.ticker_prices(&[symbol()]).await.into_result().expect("prices")[0].price;
    let account = client
        .send(client.sign_account(clock::now_ms(), 5_000))
        .await
        .into_result();
    let account = account.expect("an account");
    let btc = account.balances.iter().find(|b| b.asset == "BTC").expect("BTC");
    let now = Surroundings {
        last_price: Some(last.normalize()),
        average_price: None,
        open_orders: Some(0),
        position: Some(checked_add(btc.free, btc.locked).expect("fits")),
    };
    let seed: u64 = std::env::var("THUNES_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand_seed);
    println!("THUNES_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let cases = (any::<bool>(), 0u8..3, pick(), pick());
    let (mut passed, mut denied) = (0, std::collections::BTreeMap::new());
    for number in 0..CASES {
        let (buy, kind, first, second) = cases.new_tree(&mut runner).expect("a case").current();
        let (ours, theirs) = if buy {
            (OurSide::Buy, Side::Buy)
        } else {
            (OurSide::Sell, Side::Sell)
        };
        let measured = measure(&rules, &now, ours, kind, (first, second));
        let mut wanted = order(&format!("f-{number}"), shape_of(&measured));
        wanted.side = theirs;
        let verdict = rules.check(&measured, &now);
        let asked = client.sign_order_test(&wanted, clock::now_ms(), 5_000);
        match (&verdict, client.send(asked).await) {
            (Ok(()), Outcome::Answer(_)) => passed += 1,
            (Err(failed), Outcome::Rejected(Rejection { code: Some(-1013), .. })) => {
                *denied.entry(failed.filter).or_insert(0) += 1;
            }
            (_, outcome) => panic!("case {number}, {measured:?}: we say {verdict:?}, the exchange {outcome:?}"),
        }
    }
    println!("{passed} passed, denied: {denied:?}");
    assert!(passed > CASES / 20, "the cases must not all fail: {passed}");
    for filter in [
        "PRICE_FILTER",
        "LOT_SIZE",
        "NOTIONAL",
        "PERCENT_PRICE_BY_SIDE",
        "MAX_POSITION",
    ] {
        assert!(denied.contains_key(filter), "no case for {filter}: {denied:?}");
    }
}

fn rand_seed() -> u64 {
    u64::try_from(clock::boot_us()).unwrap_or(1)
}
