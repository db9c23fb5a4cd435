//! What happens to an account from outside the order API: deposits, withdrawals, trades by somebody else, price moves, wipes.

use rust_decimal::Decimal;

use super::events::AccountEvent;
use super::exchange::Exchange;
use super::market::SymbolStatus;
use super::money::ZERO;
use super::order::{NewOrder, OrderKind, Side, StpMode, TimeInForce, Transfer};
use super::placing::{Moment, Placed};
use super::refusal::ApiError;

/// The largest balance the exchange keeps; it leaves every product of amounts within range.
pub const MAX_BALANCE: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

impl Exchange {
    /// Pays in (positive) or out (negative).
    ///
    /// # Errors
    /// -1102 for a bad account, asset or amount, -2010 when the account has not enough.
    pub fn transfer(&mut self, account: &str, asset: &str, delta: Decimal, at: Moment) -> Result<Transfer, ApiError> {
        let known = self.balances.get(account).is_some_and(|held| held.contains_key(asset));
        if !known {
            return Err(ApiError::new(
                -1102,
                format!("asset '{asset}' of account '{account}': no such asset or account"),
            ));
        }
        let free = self.balance(account, asset).free;
        if delta.is_zero() || free + delta > MAX_BALANCE {
            return Err(ApiError::new(
                -1102,
                format!("amount: must be above zero and leave at most {MAX_BALANCE}"),
            ));
        }
        if free + delta < ZERO {
            return Err(ApiError::insufficient());
        }
        self.change_balance(account, asset, |balance| balance.credit(delta));
        let id = self.transfers.last().map_or(1, |last| last.id + 1);
        let (account, asset) = (account.to_owned(), asset.to_owned());
        let transfer = Transfer {
            id,
            account,
            asset,
            amount: delta,
            time_ms: at.exchange_ms,
        };
        self.transfers.push(transfer.clone());
        self.changes.transfers.push(transfer.clone());
        self.changes.events.push(AccountEvent::Transfer {
            account: transfer.account.clone(),
            asset: transfer.asset.clone(),
            delta,
            time_ms: at.exchange_ms,
        });
        self.tell_positions(at.exchange_ms);
        Ok(transfer)
    }

    /// Another system of the exchange locks (positive) or frees (negative) a part of an account's balance.
    ///
    /// # Errors
    /// -1102 for a bad account or asset, or to free more than is so locked; -2010 to lock more than is free.
    pub fn lock_externally(
        &mut self,
        account: &str,
        asset: &str,
        delta: Decimal,
        at: Moment,
    ) -> Result<Decimal, ApiError> {
        let known = self.balances.get(account).is_some_and(|held| held.contains_key(asset));
        if !known {
            return Err(ApiError::new(
                -1102,
                format!("asset '{asset}' of account '{account}': no such asset or account"),
            ));
        }
        let locks = self.external_locks.entry(account.to_owned()).or_default();
        let locked = locks.get(asset).copied().unwrap_or_default();
        if delta.is_zero() || locked + delta < ZERO {
            return Err(ApiError::new(
                -1102,
                format!("amount: must be above zero, and at most {locked} is locked from outside"),
            ));
        }
        if self.balance(account, asset).free < delta {
            return Err(ApiError::insufficient());
        }
        let locks = self.external_locks.entry(account.to_owned()).or_default();
        let after = (locked + delta).normalize();
        locks.insert(asset.to_owned(), after);
        self.change_balance(account, asset, |balance| balance.lock(delta));
        let (account, asset) = (account.to_owned(), asset.to_owned());
        self.changes.external_locks.insert((account.clone(), asset.clone()));
        self.changes.events.push(AccountEvent::ExternalLock {
            account,
            asset,
            delta,
            time_ms: at.exchange_ms,
        });
        self.tell_positions(at.exchange_ms);
        Ok(after)
    }

    /// A market order that somebody else sends for the account: a real fill with real events.
    ///
    /// # Errors
    /// As for any order.
    pub fn external_trade(
        &mut self,
        account: &str,
        symbol: &str,
        side: Side,
        quantity: Decimal,
        at: Moment,
    ) -> Result<Placed, ApiError> {
        let client_order_id = Some(format!("web_{}", self.made_up_id(6)));
        let request = NewOrder {
            account: account.to_owned(),
            symbol: symbol.to_owned(),
            side,
            kind: OrderKind::Market,
            time_in_force: TimeInForce::Gtc,
            quantity: Some(quantity),
            quote_order_qty: None,
            price: None,
            stop_price: None,
            iceberg_qty: None,
            client_order_id,
            strategy_id: None,
            strategy_type: None,
            stp_mode: StpMode::Maker,
            signed_timestamp_ms: 0,
            recv_window_ms: ZERO,
            external: true,
        };
        self.place(request, at)
    }

    /// Moves a symbol to a price; the walk goes on from there.
    ///
    /// # Errors
    /// -1121 or -1013 when the symbol is unknown or the price breaks its PRICE_FILTER.
    pub fn set_price(&mut self, symbol: &str, price: Decimal, at: Moment) -> Result<(), ApiError> {
        let seed = self.seed;
        let market = self
            .markets
            .get_mut(symbol)
            .ok_or_else(|| ApiError::new(-1121, "Invalid symbol."))?;
        let rules = &market.rules;
        let off_tick = !(price % rules.tick_size).is_zero();
        if price <= ZERO || off_tick || price < rules.min_price || price > rules.max_price {
            return Err(ApiError::filter("PRICE_FILTER"));
        }
        market.tick += 1;
        market.mid = price;
        market.redraw(seed);
        self.changes.markets.insert(symbol.to_owned());
        self.after_price_change(symbol, at);
        self.tell_positions(at.exchange_ms);
        Ok(())
    }

    /// Opens or halts a symbol; false when it is unknown.
    pub fn set_status(&mut self, symbol: &str, status: SymbolStatus) -> bool {
        self.markets
            .get_mut(symbol)
            .map(|market| market.status = status)
            .is_some()
    }

    /// What the test network does about monthly: orders, trades and balances go, keys stay.
    pub fn wipe(&mut self) {
        let open: Vec<u64> = std::mem::take(&mut self.open).into_iter().collect();
        for order in open.iter().filter_map(|id| self.orders.get(id)) {
            if let Some(market) = self.markets.get_mut(&order.symbol) {
                market.remove(order);
            }
        }
        self.orders.clear();
        self.fills.clear();
        self.transfers.clear();
        self.external_locks.clear();
        self.balances.clear();
        self.forget_client_ids();
        self.changes.wiped = true;
        // Ids go on rising, so the highest must survive the wipe in the ledger.
        self.changes.markets.extend(self.markets.keys().cloned());
        self.grant_missing();
    }
}
