use std::sync::Arc;
use std::time::{Duration, Instant};

use thunes_proto::risk::v1::StopRest;
use thunes_proto::types::v1::Side as WireSide;
use thunes_runtime::clock;
use thunes_store::failpoint;
use thunes_types::{
    ClientOrderId, Decimal, ReasonCode, Scope, StrategyId, Symbol, checked_add, checked_sub, parse_decimal,
};

use super::{Failures, Job, Ledger, Round};
use crate::domain::filters::SymbolRules;
use crate::domain::holdings::closable;
use crate::domain::order::{OrderState, Side};
use crate::domain::plan::{Amount, Kind, Wish};
use crate::domain::stop_plan::{Basis, Sale, next_sale, sale_prefix};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store::{self, OrderRow};

/// Fills that are read at once.
const FILLS_PAGE: i64 = 1000;
/// Rounds in which a symbol waits for its orders to be canceled; then what can be sold is sold without that.
const CANCEL_FIRST_ROUNDS: u32 = 3;
/// Sales of one symbol in one round; there are more rounds.
const SALES_MAX: u32 = 200;
/// Failures after which a symbol counts as one that cannot be sold now.
const TRIES: u32 = 5;
const FAILURE_PAUSE_MIN: Duration = Duration::from_millis(200);
/// What cannot be sold is tried again this seldom, as long as the halt holds.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the rules of a symbol that does not trade are read.
const RULES_PAUSE: Duration = Duration::from_secs(2);

/// What is to be sold of one strategy's part of a symbol, and what is in the way.
struct Part {
    strategy_id: String,
    /// Base, by our own fills.
    net: Decimal,
    /// Base that is held and in no order.
    free: Decimal,
    /// Base in SELL orders that have not ended.
    pledged: Decimal,
}

/// What became of one step.
enum Step {
    /// Something was sold; look again.
    Sold,
    /// Nothing more in this round.
    Enough,
}

impl Engine {
    /// Sells what is left in scope, symbol by symbol.
    pub(super) async fn flatten_round(self: &Arc<Self>, job: &mut Job, round: &mut Round) -> Result<(), GatewayError> {
        // The exchange told of execution whose fills are not here: what was bought is not known yet.
        let bought_unseen =
            |order: &OrderRow| order.fills_missing && job.halt.scope.covers(&order.symbol, &order.strategy_id);
        round.going_on |= self.live().iter().any(bought_unseen);
        self.follow_fills(&mut job.ledger).await?;
        let symbols: Vec<String> = job.ledger.nets.keys().cloned().collect();
        for symbol in symbols {
            let of_scope = match &job.halt.scope {
                Scope::Symbol(own) => own.as_str() == symbol,
                Scope::All | Scope::Strategy(_) => true,
            };
            if of_scope {
                self.flatten_symbol(job, &symbol, round).await?;
            }
        }
        Ok(())
    }

    /// Reads the fills that came since the last look.
    async fn follow_fills(&self, ledger: &mut Ledger) -> Result<(), GatewayError> {
        loop {
            let fills = store::fills_after(&self.database.pool, ledger.last_id, FILLS_PAGE).await?;
            let Some((last_id, _, _)) = fills.last() else {
                return Ok(());
            };
            let last_id = *last_id;
            for (_, strategy_id, fill) in &fills {
                let side = if fill.side() == WireSide::Sell {
                    Side::Sell
                } else {
                    Side::Buy
                };
                let fee = if fill.commission_asset == fill.base_asset {
                    parse_decimal("commission", &fill.commission)?
                } else {
                    Decimal::ZERO
                };
                let quantity = parse_decimal("quantity", &fill.quantity)?;
                let (_, net) = ledger
                    .nets
                    .entry(fill.symbol.clone())
                    .or_insert_with(|| (fill.base_asset.clone(), Default::default()));
                net.add(strategy_id.as_deref(), side, quantity, fee)?;
            }
            ledger.last_id = last_id;
        }
    }

    async fn flatten_symbol(
        self: &Arc<Self>,
        job: &mut Job,
        symbol: &str,
        round: &mut Round,
    ) -> Result<(), GatewayError> {
        // Two halts that meet in a symbol sell one after the other.
        let turn = self.turn(&format!("flatten:{symbol}"));
        let _mine = turn.lock().await;
        let rests = round
            .open_orders
            .iter()
            .any(|order| order.symbol == symbol && order.state != "IN_DOUBT");
        if rests && job.rounds < CANCEL_FIRST_ROUNDS {
            round.going_on = true;
            return Ok(());
        }
        for _ in 0..SALES_MAX {
            match self.flatten_step(job, symbol, round).await? {
                Step::Sold => {}
                Step::Enough => return Ok(()),
            }
        }
        round.going_on = true;
        Ok(())
    }

    /// Sells once, or names everything that is left and why.
    async fn flatten_step(
        self: &Arc<Self>,
        job: &mut Job,
        symbol: &str,
        round: &mut Round,
    ) -> Result<Step, GatewayError> {
        if job.over.is_cancelled() {
            return Ok(Step::Enough);
        }
        let prefix = sale_prefix(job.halt.epoch, symbol);
        let sales = store::orders_with_prefix(&self.database.pool, &prefix).await?;
        for sale in &sales {
            // Whether it sold is not known, or not in full: what is left is not known either.
            if !sale.state()?.is_terminal() || sale.fills_missing {
                round.going_on = true;
                return Ok(Step::Enough);
            }
        }
        // After the sales: one that had ended when it was read has its fills here. Not again before the sale is written,
        // which is checked against what is counted now.
        self.follow_fills(&mut job.ledger).await?;
        let asset = job
            .ledger
            .nets
            .get(symbol)
            .map_or_else(String::new, |(asset, _)| asset.clone());
        let mut rest = Vec::new();
        for part in self.parts(job, symbol, &asset).await? {
            match self.next_of(job, symbol, &asset, &part, round).await? {
                Ok(quantity) => return self.sell(job, symbol, quantity, &part, &sales, round).await,
                Err(left) => rest.extend(left),
            }
        }
        round.rest.extend(rest);
        Ok(Step::Enough)
    }

    /// What is to be sold, by strategy.
    async fn parts(&self, job: &Job, symbol: &str, asset: &str) -> Result<Vec<Part>, GatewayError> {
        let Some((_, net)) = job.ledger.nets.get(symbol) else {
            return Ok(Vec::new());
        };
        let to_sell = net.to_sell(|strategy_id| job.halt.scope.covers(symbol, strategy_id))?;
        if to_sell.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.database.pool.begin().await?;
        let held = store::holding(&mut tx, asset).await?;
        let pledges = store::remaining_sells(&mut tx, asset).await?;
        drop(tx);
        let mut free = closable(held, &pledges)?;
        let pledged = pledges.into_iter().try_fold(Decimal::ZERO, checked_add)?;
        // What other orders may still sell of the position is not sold once more.
        let mut spoken_for = pledged;
        let mut parts = Vec::new();
        for (strategy_id, net) in to_sell {
            let taken = spoken_for.min(net);
            spoken_for = checked_sub(spoken_for, taken)?;
            let part_free = free.min(checked_sub(net, taken)?);
            free = checked_sub(free, part_free)?;
            parts.push(Part {
                strategy_id,
                net,
                free: part_free,
                pledged,
            });
        }
        Ok(parts)
    }

    /// How much of a part is sold next; else what of it is left, and why.
    async fn next_of(
        &self,
        job: &mut Job,
        symbol: &str,
        asset: &str,
        part: &Part,
        round: &mut Round,
    ) -> Result<Result<Decimal, Vec<StopRest>>, GatewayError> {
        let rest = |quantity: Decimal, dust: bool, reason: String| StopRest {
            symbol: symbol.to_owned(),
            asset: asset.to_owned(),
            quantity: quantity.normalize().to_string(),
            dust,
            reason: if part.strategy_id.is_empty() {
                reason
            } else {
                format!("{reason} (strategy {})", part.strategy_id)
            },
        };
        let mut left = Vec::new();
        let not_free = checked_sub(part.net, part.free)?;
        if !not_free.is_zero() {
            let in_orders = !part.pledged.is_zero();
            // What is not held cannot be sold by anybody: fees or somebody else's trades took it.
            round.left |= in_orders;
            let reason = if in_orders {
                "in SELL orders that have not ended"
            } else {
                "not held any more: fees in this asset, or trades of others, took it"
            };
            left.push(rest(not_free, false, reason.to_owned()));
        }
        if part.free.is_zero() {
            return Ok(Err(left));
        }
        let Some(rules) = self.rules(symbol) else {
            round.left = true;
            left.push(rest(
                part.free,
                false,
                "not one of the symbols of gateway.symbols, or its rules are not known yet".into(),
            ));
            return Ok(Err(left));
        };
        let chunk = match next_sale(part.free, &rules, self.price_of_market_orders(&rules))? {
            Sale::Sell(chunk) => chunk,
            Sale::Dust { reason } => {
                left.push(rest(part.free, true, reason));
                return Ok(Err(left));
            }
        };
        if !rules.trading {
            let due = job.rules_read_at.is_none_or(|at| at.elapsed() >= RULES_PAUSE);
            if due {
                job.rules_read_at = Some(clock::instant());
                let _ = self.read_rules().await;
            }
            round.left = true;
            left.push(rest(
                part.free,
                false,
                format!("the exchange does not trade {symbol} now"),
            ));
            return Ok(Err(left));
        }
        if let Err(held) = self.exchange.order_would_leave(thunes_binance::Side::Sell) {
            // Nothing is wrong with the sale: it waits for the exchange's limits.
            round.going_on = true;
            left.push(rest(part.free, false, held.to_string()));
            return Ok(Err(left));
        }
        if let Some(failures) = job.failures.get(symbol)
            && clock::instant() < failures.try_again_at
        {
            round.going_on |= failures.count < TRIES;
            round.left |= !failures.dust;
            left.push(rest(part.free, failures.dust, failures.reason.clone()));
            return Ok(Err(left));
        }
        Ok(Ok(chunk))
    }

    /// The price that the exchange measures a market order by, as far as it is known here.
    fn price_of_market_orders(&self, rules: &SymbolRules) -> Option<Decimal> {
        let average = self.average_price(&rules.symbol);
        average
            .filter(|_| rules.notional_by_average)
            .or_else(|| self.last_price(&rules.symbol))
    }

    /// Sells through the path of every order: journal, fence of closing orders, sent once.
    async fn sell(
        self: &Arc<Self>,
        job: &mut Job,
        symbol: &str,
        quantity: Decimal,
        part: &Part,
        sales: &[OrderRow],
        round: &mut Round,
    ) -> Result<Step, GatewayError> {
        let prefix = sale_prefix(job.halt.epoch, symbol);
        let number = |order: &OrderRow| order.client_order_id.strip_prefix(&prefix)?.parse::<u64>().ok();
        let next = sales.iter().filter_map(number).max().unwrap_or(0) + 1;
        let wish = Wish {
            client_order_id: ClientOrderId::parse(&format!("{prefix}{next}"))?,
            symbol: Symbol::parse(symbol)?,
            side: Side::Sell,
            amount: Amount::Base(quantity),
            kind: Kind::Market,
            strategy_id: StrategyId::parse(&part.strategy_id)?,
        };
        let basis = Basis {
            last_fill_id: job.ledger.last_id,
            pledged: part.pledged,
        };
        failpoint::pass("gateway.stop.before_sale");
        if job.over.is_cancelled() {
            return Ok(Step::Enough);
        }
        let submitted = self.submit_planned(wish, Some(basis)).await;
        failpoint::pass("gateway.stop.after_sale");
        let (reason, dust) = match submitted {
            Ok(order) if !order.belief()?.executed_quantity.is_zero() => {
                job.failures.remove(symbol);
                return Ok(Step::Sold);
            }
            // In doubt, or on its way: the next step sees it in the journal.
            Ok(order) if !order.state()?.is_terminal() => return Ok(Step::Sold),
            Ok(order) if is_to_be_planned_again(&order.reason_code) => {
                round.going_on = true;
                return Ok(Step::Enough);
            }
            Ok(order) => {
                let dust = is_too_small(&order.reason);
                let said = if order.state()? == OrderState::Expired {
                    "the market has no buyer for it".to_owned()
                } else {
                    order.reason
                };
                (said, dust)
            }
            Err(error) => (error.to_string(), false),
        };
        self.note_failure(job, symbol, reason, dust).await;
        // The failure names what is left.
        Ok(Step::Sold)
    }

    async fn note_failure(&self, job: &mut Job, symbol: &str, reason: String, dust: bool) {
        let count = job.failures.get(symbol).map_or(1, |failures| failures.count + 1);
        tracing::warn!(
            symbol,
            reason,
            count,
            epoch = job.halt.epoch,
            "a sale to flatten failed"
        );
        let pause = if dust || count >= TRIES {
            FAILURE_PAUSE_MAX
        } else {
            FAILURE_PAUSE_MIN * 2u32.pow(count)
        };
        let failures = Failures {
            count: if dust { TRIES } else { count },
            reason,
            dust,
            try_again_at: later(pause),
        };
        job.failures.insert(symbol.to_owned(), failures);
        // Perhaps it does not trade any more.
        let _ = self.read_rules().await;
    }
}

fn later(pause: Duration) -> Instant {
    clock::instant() + pause
}

/// Whether a sale was denied for what will be otherwise in the next round, and not for anything about itself: what it was
/// planned on has changed, or the exchange's limits hold it back.
fn is_to_be_planned_again(reason_code: &str) -> bool {
    matches!(
        ReasonCode::parse(reason_code),
        Some(ReasonCode::ClosableQuantityExceeded | ReasonCode::ExchangeRateLimited)
    )
}

/// Whether a filter refused an order because it is worth too little; the exchange may know another price than we. Our own
/// filter names its bound: one from above is no reason to call anything dust.
fn is_too_small(reason: &str) -> bool {
    reason.contains("NOTIONAL") && !reason.contains("<=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_worth_too_little_is_dust() {
        assert!(is_too_small("❌ Filter NOTIONAL: 4.9, allowed is >= 5 USDT"));
        assert!(is_too_small("Filter failure: NOTIONAL"));
        assert!(!is_too_small("❌ Filter NOTIONAL: 9001000, allowed is <= 9000000 USDT"));
        assert!(!is_too_small("❌ Filter LOT_SIZE: 4.9, allowed is >= 5"));
    }

    #[test]
    fn what_waits_for_others_is_no_failure_of_a_sale() {
        for (code, again) in [
            ("CLOSABLE_QUANTITY_EXCEEDED", true),
            ("EXCHANGE_RATE_LIMITED", true),
            ("FILTER_FAILED", false),
            ("REJECTED_BY_EXCHANGE", false),
            ("EXCHANGE_UNREACHABLE", false),
            ("", false),
        ] {
            assert_eq!(is_to_be_planned_again(code), again, "{code}");
        }
    }
}
