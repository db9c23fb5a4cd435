//! A symbol's trading rules and the filters that an order must pass before matching sees it.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::money::{fixed8, times};
use super::order::{NewOrder, OrderKind, Side};
use super::refusal::ApiError;

/// Open stop orders an account may have on one symbol.
pub const MAX_NUM_ALGO_ORDERS: usize = 5;
/// Parts an iceberg order may have.
const ICEBERG_PARTS: u32 = 10;

/// What the exchange demands of orders on one symbol. All amounts have at most eight decimals.
#[derive(Debug, Clone, PartialEq)]
pub struct SymbolRules {
    /// Name, base and quote asset.
    pub symbol: String,
    /// See `symbol`.
    pub base: String,
    /// See `symbol`.
    pub quote: String,
    /// PRICE_FILTER.
    pub min_price: Decimal,
    /// PRICE_FILTER.
    pub max_price: Decimal,
    /// PRICE_FILTER.
    pub tick_size: Decimal,
    /// LOT_SIZE.
    pub min_qty: Decimal,
    /// LOT_SIZE.
    pub max_qty: Decimal,
    /// LOT_SIZE.
    pub step_size: Decimal,
    /// MARKET_LOT_SIZE.
    pub market_max_qty: Decimal,
    /// NOTIONAL.
    pub min_notional: Decimal,
    /// NOTIONAL.
    pub max_notional: Decimal,
    /// MAX_NUM_ORDERS.
    pub max_num_orders: usize,
    /// MAX_POSITION; absent when the symbol has none.
    pub max_position: Option<Decimal>,
    /// PERCENT_PRICE_BY_SIDE.
    pub percent_up: Decimal,
    /// PERCENT_PRICE_BY_SIDE.
    pub percent_down: Decimal,
}

/// What the filters need to know about the account at that moment.
#[derive(Debug, Clone, Copy)]
pub struct FilterContext {
    /// Last trade's price.
    pub last_price: Decimal,
    /// Open orders of the account on the symbol.
    pub open_orders: usize,
    /// Those of them that wait for a stop price.
    pub open_algo_orders: usize,
    /// Base balance plus open buys.
    pub position: Decimal,
}

impl SymbolRules {
    /// Checks an order; the first filter that fails names itself.
    pub fn check(&self, order: &NewOrder, at: FilterContext) -> Result<(), ApiError> {
        for price in [order.price, order.stop_price].into_iter().flatten() {
            self.check_price(price)?;
        }
        if let Some(price) = order.price {
            let (low, high) = (
                times(at.last_price, self.percent_down),
                times(at.last_price, self.percent_up),
            );
            if price < low || price > high {
                return Err(ApiError::filter("PERCENT_PRICE_BY_SIDE"));
            }
        }
        if let Some(quantity) = order.quantity {
            self.check_quantity(order.kind, quantity)?;
            let price = order.price.or(order.stop_price).unwrap_or(at.last_price);
            self.check_notional(times(price, quantity))?;
        }
        if let Some(quote) = order.quote_order_qty {
            self.check_notional(quote)?;
        }
        self.check_iceberg(order)?;
        if at.open_orders >= self.max_num_orders {
            return Err(ApiError::filter("MAX_NUM_ORDERS"));
        }
        if order.kind.has_stop() && at.open_algo_orders >= MAX_NUM_ALGO_ORDERS {
            return Err(ApiError::filter("MAX_NUM_ALGO_ORDERS"));
        }
        self.check_position(order, at.position)
    }

    fn check_price(&self, price: Decimal) -> Result<(), ApiError> {
        let too_low = !self.min_price.is_zero() && price < self.min_price;
        let too_high = !self.max_price.is_zero() && price > self.max_price;
        let off_tick = !self.tick_size.is_zero() && !(price % self.tick_size).is_zero();
        if too_low || too_high || off_tick {
            Err(ApiError::filter("PRICE_FILTER"))
        } else {
            Ok(())
        }
    }

    fn check_quantity(&self, kind: OrderKind, quantity: Decimal) -> Result<(), ApiError> {
        let off_step = !self.step_size.is_zero() && !(quantity % self.step_size).is_zero();
        if quantity < self.min_qty || quantity > self.max_qty || off_step {
            return Err(ApiError::filter("LOT_SIZE"));
        }
        if !kind.has_price() && quantity > self.market_max_qty {
            return Err(ApiError::filter("MARKET_LOT_SIZE"));
        }
        Ok(())
    }

    fn check_notional(&self, notional: Decimal) -> Result<(), ApiError> {
        let ok = notional >= self.min_notional && notional <= self.max_notional;
        if ok { Ok(()) } else { Err(ApiError::filter("NOTIONAL")) }
    }

    fn check_iceberg(&self, order: &NewOrder) -> Result<(), ApiError> {
        let (Some(visible), Some(quantity)) = (order.iceberg_qty, order.quantity) else {
            return Ok(());
        };
        if visible.is_zero() {
            return Ok(());
        }
        if visible > quantity {
            return Err(ApiError::new(-1013, "IcebergQty exceeds QTY."));
        }
        self.check_quantity(order.kind, visible)?;
        let parts = (quantity / visible).ceil();
        if parts > Decimal::from(ICEBERG_PARTS) {
            Err(ApiError::filter("ICEBERG_PARTS"))
        } else {
            Ok(())
        }
    }

    fn check_position(&self, order: &NewOrder, position: Decimal) -> Result<(), ApiError> {
        let adds = match order.side {
            Side::Buy => order.quantity.unwrap_or_default(),
            Side::Sell => return Ok(()),
        };
        match self.max_position {
            Some(max) if position + adds > max => Err(ApiError::filter("MAX_POSITION")),
            Some(_) | None => Ok(()),
        }
    }

    /// The `filters` array of exchangeInfo.
    pub fn to_json(&self) -> Value {
        let mut filters = vec![
            json!({ "filterType": "PRICE_FILTER", "minPrice": fixed8(self.min_price),
                    "maxPrice": fixed8(self.max_price), "tickSize": fixed8(self.tick_size) }),
            json!({ "filterType": "LOT_SIZE", "minQty": fixed8(self.min_qty), "maxQty": fixed8(self.max_qty),
                    "stepSize": fixed8(self.step_size) }),
            json!({ "filterType": "ICEBERG_PARTS", "limit": ICEBERG_PARTS }),
            json!({ "filterType": "MARKET_LOT_SIZE", "minQty": fixed8(Decimal::ZERO),
                    "maxQty": fixed8(self.market_max_qty), "stepSize": fixed8(Decimal::ZERO) }),
            json!({ "filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": self.percent_up.to_string(),
                    "bidMultiplierDown": self.percent_down.to_string(), "askMultiplierUp": self.percent_up.to_string(),
                    "askMultiplierDown": self.percent_down.to_string(), "avgPriceMins": 0 }),
            json!({ "filterType": "NOTIONAL", "minNotional": fixed8(self.min_notional), "applyMinToMarket": true,
                    "maxNotional": fixed8(self.max_notional), "applyMaxToMarket": true, "avgPriceMins": 0 }),
            json!({ "filterType": "MAX_NUM_ORDERS", "maxNumOrders": self.max_num_orders }),
            json!({ "filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_NUM_ALGO_ORDERS }),
        ];
        if let Some(max) = self.max_position {
            filters.push(json!({ "filterType": "MAX_POSITION", "maxPosition": fixed8(max) }));
        }
        Value::Array(filters)
    }
}
