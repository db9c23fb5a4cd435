//! Matching: takers against the synthetic levels and the accounts' resting orders, resting orders against the moving price.

use rust_decimal::Decimal;

use super::events::{ExecutionType, MarketEvent};
use super::exchange::Exchange;
use super::liquidity::Level;
use super::market::{Market, SymbolStatus};
use super::money::{ZERO, divide_down, floor_to, share_bps, times};
use super::order::{Fill, Order, OrderStatus, Side, StpMode};
use super::placing::Moment;
use super::walk::rng_for;
use crate::config::CommissionIn;

/// How much a taker wants.
#[derive(Debug, Clone, Copy)]
pub enum Want {
    /// Base quantity.
    Base(Decimal),
    /// Quote amount.
    Quote(Decimal),
}

/// What a taker would get on the present book.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// Base quantity.
    pub qty: Decimal,
    /// Quote amount.
    pub cost: Decimal,
}

/// The best offer against a taker.
struct Best {
    price: Decimal,
    qty: Decimal,
    maker: Option<u64>,
}

fn reaches(side: Side, limit: Option<Decimal>, price: Decimal) -> bool {
    match (side, limit) {
        (_, None) => true,
        (Side::Buy, Some(limit)) => price <= limit,
        (Side::Sell, Some(limit)) => price >= limit,
    }
}

impl Exchange {
    /// Walks the book without touching it; orders of `account` itself are passed over.
    pub(super) fn plan(&self, symbol: &str, side: Side, limit: Option<Decimal>, want: Want, account: &str) -> Plan {
        let market = &self.markets[symbol];
        let step = market.rules.step_size;
        let mut plan = Plan::default();
        for level in self.offers(market, side, account) {
            let left = match want {
                Want::Base(qty) => qty - plan.qty,
                Want::Quote(quote) => floor_to(divide_down(quote - plan.cost, level.price), step),
            };
            let qty = left.min(level.qty);
            if !reaches(side, limit, level.price) || qty <= ZERO {
                break;
            }
            plan.qty += qty;
            plan.cost += times(level.price, qty);
        }
        plan
    }

    /// Synthetic levels and resting orders of other accounts, best price first.
    fn offers(&self, market: &Market, side: Side, account: &str) -> Vec<Level> {
        let levels = match side {
            Side::Buy => &market.asks,
            Side::Sell => &market.bids,
        };
        let resting = market
            .resting_against(side)
            .iter()
            .filter_map(|key| self.orders.get(&key.2));
        let mut offers: Vec<Level> = resting
            .filter(|order| order.account != account)
            .map(|order| Level {
                price: order.price,
                qty: order.remaining(),
            })
            .chain(levels.iter().copied())
            .collect();
        // The sort is stable, so a resting order stays before a synthetic level at the same price, as in `best`.
        offers.sort_by(|a, b| match side {
            Side::Buy => a.price.cmp(&b.price),
            Side::Sell => b.price.cmp(&a.price),
        });
        offers
    }

    fn best(&self, symbol: &str, side: Side) -> Option<Best> {
        let market = &self.markets[symbol];
        let level = match side {
            Side::Buy => market.asks.first(),
            Side::Sell => market.bids.first(),
        };
        let resting = market
            .resting_against(side)
            .first()
            .and_then(|key| self.orders.get(&key.2));
        let own = resting.map(|o| Best {
            price: o.price,
            qty: o.remaining(),
            maker: Some(o.order_id),
        });
        let synthetic = level.map(|l| Best {
            price: l.price,
            qty: l.qty,
            maker: None,
        });
        match (own, synthetic) {
            (Some(own), Some(synthetic)) => {
                // An account's order has rested while the synthetic levels were drawn anew: at one price it goes first.
                let own_first = reaches(side, Some(synthetic.price), own.price);
                Some(if own_first { own } else { synthetic })
            }
            (own, synthetic) => own.or(synthetic),
        }
    }

    /// Matches a working order as a taker.
    pub(super) fn take(&mut self, taker_id: u64, at: Moment) -> Vec<Fill> {
        let mut fills = Vec::new();
        loop {
            let taker = &self.orders[&taker_id];
            if !taker.status.is_open() || taker.remaining().is_zero() {
                return fills;
            }
            let limit = taker.kind.has_price().then_some(taker.price);
            let (symbol, side, account) = (taker.symbol.clone(), taker.side, taker.account.clone());
            let Some(best) = self.best(&symbol, side).filter(|best| reaches(side, limit, best.price)) else {
                return fills;
            };
            let own_maker = best.maker.filter(|id| self.orders[id].account == account);
            if let Some(maker_id) = own_maker {
                self.prevent_self_trade(taker_id, maker_id, at);
                continue;
            }
            let qty = taker.remaining().min(best.qty);
            fills.push(self.trade(taker_id, best.maker, best.price, qty, at));
        }
    }

    fn prevent_self_trade(&mut self, taker_id: u64, maker_id: u64, at: Moment) {
        let (taker_ends, maker_ends) = match self.orders[&taker_id].stp_mode {
            StpMode::Taker => (true, false),
            StpMode::Maker => (false, true),
            StpMode::Both => (true, true),
        };
        for (order_id, ends) in [(maker_id, maker_ends), (taker_id, taker_ends)] {
            if ends {
                let order = self.order_mut(order_id);
                order.prevented_qty = order.remaining();
                self.end(
                    order_id,
                    OrderStatus::ExpiredInMatch,
                    ExecutionType::TradePrevention,
                    at,
                );
            }
        }
    }

    /// Makes one trade; gives the taker's fill.
    fn trade(&mut self, taker_id: u64, maker: Option<u64>, price: Decimal, qty: Decimal, at: Moment) -> Fill {
        let taker = &self.orders[&taker_id];
        let (symbol, side) = (taker.symbol.clone(), taker.side);
        if maker.is_none() {
            eat_first(self.market_mut(&symbol).levels_against(side), qty);
        }
        let trade_id = self.print(&symbol, price, qty, at, side == Side::Sell);
        if let Some(maker_id) = maker {
            self.fill(maker_id, price, qty, trade_id, true, at);
        }
        self.fill(taker_id, price, qty, trade_id, false, at)
    }

    fn print(&mut self, symbol: &str, price: Decimal, qty: Decimal, at: Moment, buyer_is_maker: bool) -> u64 {
        let trade = self
            .market_mut(symbol)
            .print_trade(price, qty, at.exchange_ms, buyer_is_maker);
        let id = trade.id;
        self.changes
            .market_events
            .push(MarketEvent::Trade(symbol.to_owned(), trade));
        id
    }

    /// Books one execution of one order: balances, fee, order, event.
    fn fill(&mut self, order_id: u64, price: Decimal, qty: Decimal, trade_id: u64, is_maker: bool, at: Moment) -> Fill {
        let order = self.orders[&order_id].clone();
        let (price, qty) = (price.normalize(), qty.normalize());
        let quote_qty = times(price, qty);
        self.exchange_assets(&order, price, qty, quote_qty);
        let (commission_asset, commission) = self.commission_of(&order, qty, quote_qty);
        self.change_balance(&order.account, &commission_asset, |balance| {
            balance.spend_free(commission)
        });
        let fill = Fill {
            symbol: order.symbol.clone(),
            trade_id,
            order_id,
            client_order_id: order.client_order_id.clone(),
            account: order.account.clone(),
            side: order.side,
            price,
            qty,
            quote_qty,
            commission,
            commission_asset,
            is_maker,
            time_ms: at.exchange_ms,
            external: order.external,
        };
        let changed = self.order_mut(order_id);
        changed.executed_qty = (changed.executed_qty + qty).normalize();
        changed.cum_quote = (changed.cum_quote + quote_qty).normalize();
        changed.update_time_ms = at.exchange_ms;
        assert!(
            changed.executed_qty <= changed.orig_qty,
            "an order filled beyond its quantity: {changed:?}"
        );
        let done = changed.remaining().is_zero();
        changed.status = if done {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        };
        if done {
            self.open.remove(&order_id);
            self.market_mut(&order.symbol).remove(&order);
        }
        self.fills
            .entry((order.account, order.symbol))
            .or_default()
            .push(fill.clone());
        self.changes.fills.push(fill.clone());
        self.changes.markets.insert(fill.symbol.clone());
        self.tell_execution(order_id, ExecutionType::Trade, Some(fill.clone()));
        fill
    }

    fn exchange_assets(&mut self, order: &Order, price: Decimal, qty: Decimal, quote_qty: Decimal) {
        let rules = &self.markets[&order.symbol].rules;
        let (base, quote) = (rules.base.clone(), rules.quote.clone());
        match (order.side, order.lock_price()) {
            (Side::Buy, Some(lock_price)) => {
                let better = times(lock_price - price, qty);
                self.change_balance(&order.account, &quote, |balance| {
                    balance.spend_locked(times(lock_price, qty));
                    balance.credit(better);
                });
            }
            (Side::Buy, None) => self.change_balance(&order.account, &quote, |balance| balance.spend_free(quote_qty)),
            (Side::Sell, Some(_)) => self.change_balance(&order.account, &base, |balance| balance.spend_locked(qty)),
            (Side::Sell, None) => self.change_balance(&order.account, &base, |balance| balance.spend_free(qty)),
        }
        match order.side {
            Side::Buy => self.change_balance(&order.account, &base, |balance| balance.credit(qty)),
            Side::Sell => self.change_balance(&order.account, &quote, |balance| balance.credit(quote_qty)),
        }
    }

    /// The fee: in the configured asset if the account can pay it there, else in the asset that it received.
    fn commission_of(&self, order: &Order, qty: Decimal, quote_qty: Decimal) -> (String, Decimal) {
        let market = &self.markets[&order.symbol];
        let bps = self.commission.bps;
        let in_base = (market.rules.base.clone(), share_bps(qty, bps));
        let in_quote = (market.rules.quote.clone(), share_bps(quote_qty, bps));
        let received = match order.side {
            Side::Buy => in_base.clone(),
            Side::Sell => in_quote.clone(),
        };
        let wanted = match self.commission.paid_in {
            CommissionIn::Received => return received,
            CommissionIn::Base => in_base,
            CommissionIn::Quote => in_quote,
            CommissionIn::Bnb => match self.value_in_bnb(market, qty, quote_qty) {
                // Paying in BNB costs a quarter less.
                Some(value) => ("BNB".to_owned(), share_bps(value, bps * Decimal::new(75, 2))),
                None => return received,
            },
        };
        let can_pay = self.balance(&order.account, &wanted.0).free >= wanted.1;
        if can_pay { wanted } else { received }
    }

    fn value_in_bnb(&self, market: &Market, qty: Decimal, quote_qty: Decimal) -> Option<Decimal> {
        let last = |symbol: String| self.markets.get(&symbol).map(|market| market.last_price);
        let quote = &market.rules.quote;
        if market.rules.base == "BNB" {
            return Some(qty);
        }
        if let Some(price) = last(format!("BNB{quote}")) {
            return Some(divide_down(quote_qty, price));
        }
        let in_usdt = times(quote_qty, last(format!("{quote}USDT"))?);
        Some(divide_down(in_usdt, last("BNBUSDT".to_owned())?))
    }

    /// Moves every open market to its next price and matches what that reaches.
    pub fn tick(&mut self, at: Moment) {
        let symbols: Vec<String> = self.markets.keys().cloned().collect();
        for symbol in symbols {
            let seed = self.seed;
            let market = self.market_mut(&symbol);
            if market.status != SymbolStatus::Trading {
                continue;
            }
            market.step(seed);
            self.after_price_change(&symbol, at);
        }
        self.tell_positions(at.exchange_ms);
    }

    /// Prints a public trade at the new price, fills the resting orders it crosses, triggers stops.
    pub(super) fn after_price_change(&mut self, symbol: &str, at: Moment) {
        let seed = self.seed;
        let market = self.market_mut(symbol);
        let step = market.rules.step_size;
        let lots = rand::Rng::random_range(&mut rng_for(seed, symbol, market.tick, 5), 1u32..=200);
        let (mid, buyer_is_maker) = (market.mid, lots % 2 == 0);
        self.print(symbol, mid, times(step, Decimal::from(lots)), at, buyer_is_maker);
        for side in [Side::Buy, Side::Sell] {
            while self.fill_first_resting(symbol, side, at) {}
        }
        self.trigger_stops(symbol, at);
    }

    /// Fills the best resting order of one side against the best level that crosses it; false when none does.
    fn fill_first_resting(&mut self, symbol: &str, side: Side, at: Moment) -> bool {
        let market = self.market_mut(symbol);
        let resting = match side {
            Side::Buy => market.resting_bids.first(),
            Side::Sell => market.resting_asks.first(),
        };
        let (Some(key), Some(level)) = (resting.copied(), market.levels_against(side).first().copied()) else {
            return false;
        };
        let order = &self.orders[&key.2];
        if !reaches(side, Some(order.price), level.price) {
            return false;
        }
        let (price, qty) = (order.price, order.remaining().min(level.qty));
        eat_first(self.market_mut(symbol).levels_against(side), qty);
        let trade_id = self.print(symbol, price, qty, at, side == Side::Buy);
        self.fill(key.2, price, qty, trade_id, true, at);
        true
    }

    fn trigger_stops(&mut self, symbol: &str, at: Moment) {
        loop {
            let market = &self.markets[symbol];
            let reached = market.waiting_stops.iter().copied().find(|id| {
                let order = &self.orders[id];
                if order.kind.triggers_above(order.side) {
                    market.last_price >= order.stop_price
                } else {
                    market.last_price <= order.stop_price
                }
            });
            let Some(order_id) = reached else { return };
            self.trigger(order_id, at);
        }
    }

    fn trigger(&mut self, order_id: u64, at: Moment) {
        let order = self.orders[&order_id].clone();
        let before = self.lock_of(&order);
        let priority = self.next_priority();
        self.market_mut(&order.symbol).waiting_stops.remove(&order_id);
        let changed = self.order_mut(order_id);
        changed.is_working = true;
        changed.priority = priority;
        changed.working_time_ms = at.exchange_ms;
        changed.update_time_ms = at.exchange_ms;
        let changed = changed.clone();
        // A stop that becomes a market order spends free funds, so what it had bound is set free first.
        if let (Some((asset, amount)), None) = (before, changed.lock_price()) {
            self.change_balance(&order.account, &asset, |balance| balance.unlock(amount));
        }
        self.tell_execution(order_id, ExecutionType::New, None);
        let affordable = changed.lock_price().is_some() || self.can_afford_now(&changed);
        if affordable {
            self.work(order_id, at);
        } else {
            self.end(order_id, OrderStatus::Expired, ExecutionType::Expired, at);
        }
    }

    fn can_afford_now(&self, order: &Order) -> bool {
        let rules = &self.markets[&order.symbol].rules;
        match order.side {
            Side::Sell => self.balance(&order.account, &rules.base).free >= order.remaining(),
            Side::Buy => {
                let plan = self.plan(
                    &order.symbol,
                    Side::Buy,
                    None,
                    Want::Base(order.remaining()),
                    &order.account,
                );
                self.balance(&order.account, &rules.quote).free >= plan.cost
            }
        }
    }
}

fn eat_first(levels: &mut Vec<Level>, qty: Decimal) {
    if let Some(first) = levels.first_mut() {
        first.qty -= qty;
        if first.qty <= ZERO {
            levels.remove(0);
        }
    }
}
