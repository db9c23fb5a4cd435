//! The exchange's clock, rules and prices.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use thunes_binance::{SymbolInfo, SymbolStatus};
use thunes_proto::position::v1::{Price, RecordPricesRequest};
use thunes_rpc::deadline;
use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::domain::filters::SymbolRules;
use crate::domain::stop_plan::MarketLot;
use crate::engine::Engine;
use crate::error::GatewayError;

const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// The rules change seldom; a symbol that stops trading should be known within a minute.
const ROUNDS_PER_RULES: u32 = 12;
const PRICES_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the exchange's clock, and now and then its rules, until `shutdown`.
pub(crate) async fn follow_clock(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut rounds: u32 = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(CLOCK_INTERVAL) => {}
        }
        if let Err(error) = engine.read_clock().await {
            tracing::debug!(%error, "the exchange's clock could not be read");
        }
        rounds += 1;
        if rounds.is_multiple_of(ROUNDS_PER_RULES)
            && let Err(error) = engine.read_rules().await
        {
            tracing::debug!(%error, "the exchange's rules could not be read again");
        }
    }
}

/// Asks for last prices until `shutdown`, and passes them on to position; risk gets them with the lease.
pub(crate) async fn follow_prices(engine: Arc<Engine>, shutdown: CancellationToken) {
    let interval = Duration::from_millis(u64::try_from(engine.config.price_interval_ms).unwrap_or(500));
    loop {
        if let Err(error) = engine.read_prices().await {
            tracing::debug!(%error, "last prices could not be read or passed on");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

impl Engine {
    /// Takes one reading of the exchange's clock.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub(crate) async fn read_clock(&self) -> Result<(), GatewayError> {
        let reading = self.exchange.server_time().await.into_result()?;
        self.time(|time| time.record(reading.sample()));
        if let Some(estimate) = self.time_estimate() {
            self.health.clock_read(estimate);
        }
        Ok(())
    }

    /// Reads the rules of the symbols that this gateway trades.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub(crate) async fn read_rules(&self) -> Result<(), GatewayError> {
        let info = self.exchange.exchange_info(&self.config.symbols).await.into_result()?;
        let rules: HashMap<String, SymbolRules> = info
            .symbols
            .iter()
            .map(|symbol| (symbol.symbol.clone(), rules_of(symbol)))
            .collect();
        for wanted in &self.config.symbols {
            if !rules.contains_key(wanted.as_str()) {
                tracing::error!(symbol = %wanted, "the exchange does not list this symbol of gateway.symbols");
            }
        }
        self.set_rules(rules);
        let lots = info.symbols.iter().filter_map(|symbol| {
            let lot = symbol.market_lot_size()?;
            let lot = MarketLot {
                quantity_min: lot.min_quantity,
                quantity_max: lot.max_quantity,
                quantity_step: lot.step_size,
            };
            Some((symbol.symbol.clone(), lot))
        });
        self.set_market_lots(lots.collect());
        Ok(())
    }

    /// Reads last prices and passes them on.
    ///
    /// # Errors
    /// When the exchange or position does not answer.
    pub(crate) async fn read_prices(&self) -> Result<(), GatewayError> {
        let tickers = self.exchange.ticker_prices(&self.config.symbols).await.into_result()?;
        let at_ms = clock::now_ms();
        let mut prices = Vec::new();
        for ticker in tickers {
            let price = ticker.price.normalize();
            if price.is_zero() {
                continue;
            }
            self.set_price(&ticker.symbol, price, at_ms);
            prices.push(Price {
                symbol: ticker.symbol,
                price: price.to_string(),
                at_ms,
            });
        }
        let request = deadline(RecordPricesRequest { prices }, PRICES_TIMEOUT);
        let passed = self.position.clone().record_prices(request).await;
        passed
            .map(|_| ())
            .map_err(|status| GatewayError::Dependency("position", status.message().to_owned()))
    }
}

fn rules_of(info: &SymbolInfo) -> SymbolRules {
    let mut rules = SymbolRules {
        symbol: info.symbol.clone(),
        base_asset: info.base_asset.clone(),
        quote_asset: info.quote_asset.clone(),
        trading: info.status == SymbolStatus::Trading,
        quote_precision: info.quote_asset_precision,
        ..SymbolRules::default()
    };
    if let Some(filter) = info.price_filter() {
        (rules.price_min, rules.price_max, rules.price_tick) = (filter.min_price, filter.max_price, filter.tick_size);
    }
    if let Some(filter) = info.lot_size() {
        (rules.quantity_min, rules.quantity_max, rules.quantity_step) =
            (filter.min_quantity, filter.max_quantity, filter.step_size);
    }
    if let Some(filter) = info.notional() {
        (rules.notional_min, rules.notional_min_applies_to_market) = (filter.min_notional, filter.apply_min_to_market);
    } else if let Some(filter) = info.min_notional() {
        (rules.notional_min, rules.notional_min_applies_to_market) = (filter.min_notional, filter.apply_to_market);
    }
    rules
}
