use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::{Decimal, RoundingStrategy};
use thunes_proto::gateway::v1::{Order, OrderState, OrderType, SubmitOrderRequest};
use thunes_proto::types::v1::Side;
use thunes_types::ReasonCode;

use crate::trade_loop::LoopArgs;
use crate::trade_loop::inventory::Inventory;
use crate::trade_loop::order::{Ended, Sender};
use crate::trade_loop::pace::Pace;

/// After a denial the gate is likely to deny the next one as well.
const PAUSE_AFTER_DENIAL: Duration = Duration::from_millis(200);
/// Orders spend at least this part of the amount, in percent.
const SIZE_PERCENT_MIN: i64 = 80;

/// Denials of a sale that would come again: it is too small for the exchange by now, or more than is left.
const UNSELLABLE: [ReasonCode; 3] = [
    ReasonCode::ClosableQuantityExceeded,
    ReasonCode::FilterFailed,
    ReasonCode::RejectedByExchange,
];

/// One of the loop's traders: has one order under way at a time, buys, and sells what it bought.
#[derive(Debug)]
pub struct Worker {
    number: u32,
    run_id: String,
    amount: Decimal,
    symbols: Vec<String>,
    strategy: String,
    sender: Sender,
    pace: Arc<Pace>,
    random: StdRng,
    held: HashMap<String, Inventory>,
}

impl Worker {
    pub fn new(number: u32, run_id: &str, seed: u64, args: &LoopArgs, sender: Sender, pace: Arc<Pace>) -> Self {
        Self {
            number,
            run_id: run_id.to_owned(),
            amount: args.amount,
            symbols: args.symbol.clone(),
            strategy: args.strategy.clone(),
            sender,
            pace,
            random: StdRng::seed_from_u64(seed.wrapping_add(u64::from(number))),
            held: HashMap::new(),
        }
    }

    /// Trades until the pace says that it is over.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut count = 0_u64;
        while self.pace.next().await {
            count += 1;
            let request = self.next_order(count);
            let (symbol, side) = (request.symbol.clone(), request.side());
            match self.sender.send(request).await? {
                Ended::Known(order) => self.learn(&symbol, side, &order).await,
                // Sizes and symbols are the same next time, so it would be refused at once again.
                Ended::Refused => self.pace.pause(PAUSE_AFTER_DENIAL).await,
                Ended::Unknown => {}
            }
        }
        Ok(())
    }

    fn next_order(&mut self, count: u64) -> SubmitOrderRequest {
        let pick = self.random.random_range(0..self.symbols.len());
        let symbol = self.symbols[pick].clone();
        let sellable = self.held.get(&symbol).and_then(Inventory::sellable);
        let (side, quantity, quote_amount) = match sellable {
            Some(quantity) => (Side::Sell, quantity.to_string(), String::new()),
            None => (Side::Buy, String::new(), self.buy_amount().to_string()),
        };
        SubmitOrderRequest {
            client_order_id: format!("tl-{}-{}-{count}", self.run_id, self.number),
            symbol,
            side: side.into(),
            r#type: OrderType::Market.into(),
            quantity,
            quote_amount,
            strategy_id: self.strategy.clone(),
            ..SubmitOrderRequest::default()
        }
    }

    fn buy_amount(&mut self) -> Decimal {
        let percent = Decimal::new(self.random.random_range(SIZE_PERCENT_MIN..=100), 2);
        // Exact to the cent, and never above the amount that was asked for.
        let part = (self.amount * percent).round_dp_with_strategy(2, RoundingStrategy::ToZero);
        if part.is_zero() { self.amount } else { part }
    }

    async fn learn(&mut self, symbol: &str, side: Side, order: &Order) {
        let held = self.held.entry(symbol.to_owned()).or_default();
        held.count(order, |asset| !asset.is_empty() && symbol.starts_with(asset));
        match order.state() {
            OrderState::Denied | OrderState::Rejected => {
                if side == Side::Sell && UNSELLABLE.iter().any(|code| code.as_str() == order.reason_code) {
                    held.write_off();
                }
                self.pace.pause(PAUSE_AFTER_DENIAL).await;
            }
            OrderState::Unspecified
            | OrderState::Intent
            | OrderState::InDoubt
            | OrderState::New
            | OrderState::PartiallyFilled
            | OrderState::Filled
            | OrderState::Canceled
            | OrderState::Expired
            | OrderState::NeverArrived => {}
        }
    }
}
