use thunes_proto::position::v1::Position;
use thunes_proto::types::v1::{Fill, Side};
use thunes_types::Decimal;

use crate::running::*;

/// A small generator of its own, so that a printed seed gives the same run on every machine.
struct Dice(u64);

impl Dice {
    fn from_environment() -> Self {
        let seed = std::env::var("THUNES_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed =
            seed.unwrap_or_else(|| u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().expect("8")));
        println!("THUNES_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).expect("small");
            items.swap(last, other);
        }
    }
}

fn random_fill(dice: &mut Dice, trade_id: i64) -> Fill {
    let quantity = Decimal::new(i64::try_from(1 + dice.below(1_000_000)).expect("small"), 4);
    let price = Decimal::new(i64::try_from(1 + dice.below(10_000_000)).expect("small"), 3);
    let side = if dice.below(2) == 0 { Side::Buy } else { Side::Sell };
    let mut made = fill(
        trade_id,
        side,
        &quantity.to_string(),
        &price.to_string(),
        &(quantity * price).to_string(),
    );
    // Several fills of one millisecond, over a few days: the trade id decides among those.
    made.executed_at_ms = NOON_MS + i64::try_from(dice.below(6)).expect("small") * DAY_MS / 2;
    if dice.below(3) == 0 {
        (made.symbol, made.base_asset) = ("ETHUSDT".into(), "ETH".into());
    }
    let base = made.base_asset.clone();
    let fee = ["", base.as_str(), "USDT", "BNB"][usize::try_from(dice.below(4)).expect("small")];
    if fee.is_empty() {
        made
    } else {
        with_fee(made, "0.0001", fee)
    }
}

async fn told(fills: &[Fill], dice: &mut Dice) -> (Vec<Position>, Vec<String>) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut rest = fills;
    let mut recorded = 0;
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.below(5)).expect("small").min(rest.len());
        recorded += service.record(&rest[..size]).await.expect("recorded").recorded;
        rest = &rest[size..];
    }
    assert_eq!(recorded, 24, "each fill once");
    let positions = service.all_positions().await.positions;
    let mut days = Vec::new();
    for day in ["2025-11-24", "2025-11-25", "2025-11-26", "2025-11-27"] {
        days.push(format!("{:?}", service.daily(day).await));
    }
    service.stop().await;
    // The fold at start must agree with what arrived out of order.
    let mut again = Running::start(dir.path()).await;
    assert_eq!(again.all_positions().await.positions, positions);
    again.stop().await;
    (positions, days)
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_any_order_and_any_repetition_give_the_same_book() {
    let mut dice = Dice::from_environment();
    for _ in 0..4 {
        let fills: Vec<Fill> = (0..24).map(|trade_id| random_fill(&mut dice, trade_id)).collect();
        let truth = told(&fills, &mut dice).await;
        for _ in 0..3 {
            let mut mixed = fills.clone();
            for _ in 0..12 {
                let again = usize::try_from(dice.below(24)).expect("small");
                mixed.push(fills[again].clone());
            }
            dice.shuffle(&mut mixed);
            assert_eq!(told(&mixed, &mut dice).await, truth);
        }
    }
}
