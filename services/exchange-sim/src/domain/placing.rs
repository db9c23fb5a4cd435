//! Accepting, canceling and replacing orders: everything between the parsed request and matching.

use rust_decimal::Decimal;

use super::events::ExecutionType;
use super::exchange::Exchange;
use super::filters::FilterContext;
use super::market::SymbolStatus;
use super::matching::Want;
use super::money::times;
use super::order::{Fill, NewOrder, Order, OrderKind, OrderStatus, Side, TimeInForce};
use super::refusal::ApiError;

/// One reading of the clock, taken when matching takes the request.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// This machine's clock, UTC ms.
    pub real_ms: i64,
    /// The exchange's clock, which a fault can skew, UTC ms.
    pub exchange_ms: i64,
}

/// An accepted order and what it filled at once.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The order after matching.
    pub order: Order,
    /// Its fills, in order.
    pub fills: Vec<Fill>,
}

/// Which order a cancel means.
#[derive(Debug, Clone, Default)]
pub struct CancelTarget {
    /// `orderId`.
    pub order_id: Option<u64>,
    /// `origClientOrderId`.
    pub client_order_id: Option<String>,
    /// `newClientOrderId`: the cancel's own id.
    pub cancel_id: Option<String>,
    /// `cancelRestrictions`.
    pub only_status: Option<OrderStatus>,
}

impl Exchange {
    /// Checks everything that `order/test` checks: filters, but neither ids nor funds.
    ///
    /// # Errors
    /// The exchange's own refusal.
    pub fn check_order(&self, order: &NewOrder) -> Result<(), ApiError> {
        let market = self
            .markets
            .get(&order.symbol)
            .ok_or_else(|| ApiError::new(-1121, "Invalid symbol."))?;
        if market.status != SymbolStatus::Trading {
            return Err(ApiError::new(-1013, "Market is closed."));
        }
        let mine: Vec<&Order> = self.open_orders(&order.account, Some(&order.symbol)).collect();
        let held = self.balance(&order.account, &market.rules.base);
        let buys: Decimal = mine.iter().filter(|o| o.side == Side::Buy).map(|o| o.remaining()).sum();
        let context = FilterContext {
            last_price: market.last_price,
            open_orders: mine.len(),
            open_algo_orders: mine.iter().filter(|o| o.kind.has_stop() && !o.is_working).count(),
            position: held.free + held.locked + buys,
        };
        market.rules.check(order, context)
    }

    /// As `check_order`, for an order that takes the place of another: the count of open orders stays the same.
    ///
    /// # Errors
    /// The exchange's own refusal.
    pub fn check_order_for_replacement(&self, order: &NewOrder) -> Result<(), ApiError> {
        match self.check_order(order) {
            Err(refusal) if refusal == ApiError::filter("MAX_NUM_ORDERS") => Ok(()),
            other => other,
        }
    }

    /// Accepts an order and matches it.
    ///
    /// # Errors
    /// The exchange's own refusal; nothing has changed then.
    pub fn place(&mut self, request: NewOrder, at: Moment) -> Result<Placed, ApiError> {
        self.check_order(&request)?;
        self.check_trigger(&request)?;
        if let Some(id) = &request.client_order_id {
            let taken = self.order_by_client_id(&request.account, &request.symbol, id);
            if taken.is_some_and(|order| order.status.is_open()) {
                return Err(ApiError::order("Duplicate order sent."));
            }
        }
        let quantity = self.quantity_of(&request)?;
        self.check_funds(&request, quantity)?;
        let order_id = self.accept(request, quantity, at);
        let fills = self.work(order_id, at);
        self.tell_positions(at.exchange_ms);
        let order = self.orders.get(&order_id).expect("just accepted").clone();
        Ok(Placed { order, fills })
    }

    fn check_trigger(&self, request: &NewOrder) -> Result<(), ApiError> {
        let market = &self.markets[&request.symbol];
        if let (true, Some(stop)) = (request.kind.has_stop(), request.stop_price) {
            let above = request.kind.triggers_above(request.side);
            let reached = if above {
                market.last_price >= stop
            } else {
                market.last_price <= stop
            };
            if reached {
                return Err(ApiError::order("Order would trigger immediately."));
            }
        }
        if request.kind == OrderKind::LimitMaker {
            let price = request.price.unwrap_or_default();
            let plan = self.plan(
                &request.symbol,
                request.side,
                Some(price),
                Want::Base(market.rules.step_size),
                "",
            );
            if !plan.qty.is_zero() {
                return Err(ApiError::order("Order would immediately match and take."));
            }
        }
        Ok(())
    }

    /// The base quantity: as ordered, or what the quote amount buys or sells on the present book.
    fn quantity_of(&self, request: &NewOrder) -> Result<Decimal, ApiError> {
        if let Some(quantity) = request.quantity {
            return Ok(quantity);
        }
        let quote = request.quote_order_qty.ok_or_else(|| ApiError::mandatory("quantity"))?;
        let plan = self.plan(
            &request.symbol,
            request.side,
            None,
            Want::Quote(quote),
            &request.account,
        );
        let rules = &self.markets[&request.symbol].rules;
        if plan.qty < rules.min_qty {
            return Err(ApiError::new(
                -2010,
                "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
            ));
        }
        Ok(plan.qty)
    }

    fn check_funds(&self, request: &NewOrder, quantity: Decimal) -> Result<(), ApiError> {
        let rules = &self.markets[&request.symbol].rules;
        let (asset, needed) = match request.side {
            Side::Sell => (&rules.base, quantity),
            Side::Buy => (&rules.quote, self.cost_of(request, quantity)),
        };
        let free = self.balance(&request.account, asset).free;
        if free < needed {
            Err(ApiError::insufficient())
        } else {
            Ok(())
        }
    }

    fn cost_of(&self, request: &NewOrder, quantity: Decimal) -> Decimal {
        match request.price.or(request.stop_price) {
            Some(price) => times(price, quantity),
            None => {
                self.plan(
                    &request.symbol,
                    request.side,
                    None,
                    Want::Base(quantity),
                    &request.account,
                )
                .cost
            }
        }
    }

    fn accept(&mut self, request: NewOrder, quantity: Decimal, at: Moment) -> u64 {
        let waits = request.kind.has_stop();
        let client_order_id = request.client_order_id.unwrap_or_else(|| self.made_up_id(3));
        let order = Order {
            order_id: self.next_order_id,
            account: request.account,
            symbol: request.symbol,
            client_order_id,
            side: request.side,
            kind: request.kind,
            time_in_force: request.time_in_force,
            price: request.price.unwrap_or_default(),
            stop_price: request.stop_price.unwrap_or_default(),
            iceberg_qty: request.iceberg_qty.unwrap_or_default(),
            orig_qty: quantity,
            quote_order_qty: request.quote_order_qty.unwrap_or_default(),
            executed_qty: Decimal::ZERO,
            cum_quote: Decimal::ZERO,
            status: OrderStatus::New,
            accepted_at_ms: at.real_ms,
            time_ms: at.exchange_ms,
            update_time_ms: at.exchange_ms,
            working_time_ms: if waits { -1 } else { at.exchange_ms },
            is_working: !waits,
            priority: self.next_priority(),
            cancel_id: None,
            strategy_id: request.strategy_id,
            strategy_type: request.strategy_type,
            stp_mode: request.stp_mode,
            prevented_qty: Decimal::ZERO,
            signed_timestamp_ms: request.signed_timestamp_ms,
            recv_window_ms: request.recv_window_ms,
            external: request.external,
        };
        let order_id = order.order_id;
        let lock = self.lock_of(&order);
        let account = order.account.clone();
        self.add_order(order);
        if let Some((asset, amount)) = lock {
            self.change_balance(&account, &asset, |balance| balance.lock(amount));
        }
        self.tell_execution(order_id, ExecutionType::New, None);
        order_id
    }

    /// The asset and amount that an open order binds for what it has still to fill.
    pub(super) fn lock_of(&self, order: &Order) -> Option<(String, Decimal)> {
        let price = order.lock_price()?;
        let rules = &self.markets[&order.symbol].rules;
        Some(match order.side {
            Side::Buy => (rules.quote.clone(), times(price, order.remaining())),
            Side::Sell => (rules.base.clone(), order.remaining()),
        })
    }

    /// Matches an accepted order as far as it goes, then rests or ends it.
    pub(super) fn work(&mut self, order_id: u64, at: Moment) -> Vec<Fill> {
        let order = &self.orders[&order_id];
        if !order.is_working {
            let symbol = order.symbol.clone();
            self.market_mut(&symbol).waiting_stops.insert(order_id);
            return Vec::new();
        }
        let limit = order.kind.has_price().then_some(order.price);
        if order.time_in_force == TimeInForce::Fok {
            let want = Want::Base(order.remaining());
            let plan = self.plan(&order.symbol, order.side, limit, want, &order.account);
            if plan.qty < order.remaining() {
                self.end(order_id, OrderStatus::Expired, ExecutionType::Expired, at);
                return Vec::new();
            }
        }
        let fills = self.take(order_id, at);
        let order = &self.orders[&order_id];
        if order.status.is_open() {
            if limit.is_some() && order.time_in_force == TimeInForce::Gtc {
                let order = order.clone();
                self.market_mut(&order.symbol).rest(&order);
            } else {
                self.end(order_id, OrderStatus::Expired, ExecutionType::Expired, at);
            }
        }
        fills
    }

    /// Ends an open order: unlocks what it bound and takes it off the book.
    pub(super) fn end(&mut self, order_id: u64, status: OrderStatus, what: ExecutionType, at: Moment) {
        let order = self.orders[&order_id].clone();
        if let Some((asset, amount)) = self.lock_of(&order) {
            self.change_balance(&order.account, &asset, |balance| balance.unlock(amount));
        }
        self.market_mut(&order.symbol).remove(&order);
        self.open.remove(&order_id);
        let order = self.order_mut(order_id);
        order.status = status;
        order.update_time_ms = at.exchange_ms;
        self.tell_execution(order_id, what, None);
    }

    /// Cancels one open order.
    ///
    /// # Errors
    /// -2011 when there is no such open order, or when the restriction does not fit.
    pub fn cancel(&mut self, account: &str, symbol: &str, target: CancelTarget, at: Moment) -> Result<Order, ApiError> {
        let client_id = target.client_order_id.as_deref();
        let order = self
            .find_order(account, symbol, target.order_id, client_id)
            .filter(|order| order.status.is_open())
            .ok_or_else(ApiError::unknown_order)?;
        let (order_id, status) = (order.order_id, order.status);
        if target.only_status.is_some_and(|only| only != status) {
            return Err(ApiError::new(
                -2011,
                "Order was not canceled due to cancel restrictions.",
            ));
        }
        let cancel_id = target.cancel_id.unwrap_or_else(|| self.made_up_id(4));
        self.order_mut(order_id).cancel_id = Some(cancel_id);
        self.end(order_id, OrderStatus::Canceled, ExecutionType::Canceled, at);
        self.tell_positions(at.exchange_ms);
        Ok(self.orders[&order_id].clone())
    }

    /// Cancels all open orders of an account on a symbol.
    ///
    /// # Errors
    /// -2011 when there is none.
    pub fn cancel_all(&mut self, account: &str, symbol: &str, at: Moment) -> Result<Vec<Order>, ApiError> {
        let ids: Vec<u64> = self
            .open_orders(account, Some(symbol))
            .map(|order| order.order_id)
            .collect();
        if ids.is_empty() {
            return Err(ApiError::unknown_order());
        }
        let cancel_id = self.made_up_id(4);
        ids.into_iter()
            .map(|id| {
                let cancel_id = Some(cancel_id.clone());
                let target = CancelTarget {
                    order_id: Some(id),
                    cancel_id,
                    ..CancelTarget::default()
                };
                self.cancel(account, symbol, target, at)
            })
            .collect()
    }
}
