//! The exchange's clock, rules and prices.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use thunes_binance::{Filter, SymbolInfo, SymbolStatus};
use thunes_proto::position::v1::{Price, RecordPricesRequest};
use thunes_rpc::deadline;
use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::domain::filters::{Lot, PercentBand, SymbolRules};
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
            // A refused timestamp: our idea of the exchange's clock is wrong now, not in five seconds.
            () = engine.exchange.clock_doubted() => {}
        }
        if let Err(error) = engine.read_clock().await {
            tracing::debug!(%error, "the exchange's clock could not be read");
        }
        if let Err(error) = engine.read_averages().await {
            tracing::debug!(%error, "average prices could not be read");
        }
        rounds = rounds.wrapping_add(1);
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
        Ok(())
    }

    /// Reads the average prices that filters measure by.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub(crate) async fn read_averages(&self) -> Result<(), GatewayError> {
        for symbol in &self.config.symbols {
            if self.rules(symbol.as_str()).is_some_and(|rules| rules.uses_average()) {
                let average = self.exchange.average_price(symbol).await.into_result()?;
                self.set_average(symbol.as_str(), average.price.normalize());
            }
        }
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

/// The rules that are applied before sending; what is not known here is left to the exchange.
pub(crate) fn rules_of(info: &SymbolInfo) -> SymbolRules {
    let mut rules = SymbolRules {
        symbol: info.symbol.clone(),
        base_asset: info.base_asset.clone(),
        quote_asset: info.quote_asset.clone(),
        status: info.status.as_str(),
        trading: info.status == SymbolStatus::Trading,
        quote_precision: info.quote_asset_precision,
        ..SymbolRules::default()
    };
    for filter in &info.filters {
        take_filter(&mut rules, filter);
    }
    rules
}

fn take_filter(rules: &mut SymbolRules, filter: &Filter) {
    match filter {
        Filter::PriceFilter(f) => {
            (rules.price_min, rules.price_max, rules.price_tick) = (f.min_price, f.max_price, f.tick_size);
        }
        Filter::LotSize(f) => rules.lot = lot(f),
        Filter::MarketLotSize(f) => rules.market_lot = lot(f),
        Filter::Notional(f) => {
            (rules.notional_min, rules.notional_min_applies_to_market) = (f.min_notional, f.apply_min_to_market);
            (rules.notional_max, rules.notional_max_applies_to_market) = (f.max_notional, f.apply_max_to_market);
            rules.notional_by_average = f.avg_price_mins > 0;
        }
        // A symbol with both has NOTIONAL as well, which says more.
        Filter::MinNotional(f) if rules.notional_max.is_zero() => {
            (rules.notional_min, rules.notional_min_applies_to_market) = (f.min_notional, f.apply_to_market);
            rules.notional_by_average = f.avg_price_mins > 0;
        }
        Filter::PercentPriceBySide(f) => {
            let by_average = f.avg_price_mins > 0;
            let band = |up, down| {
                Some(PercentBand {
                    filter: "PERCENT_PRICE_BY_SIDE",
                    up,
                    down,
                    by_average,
                })
            };
            rules.buy_band = band(f.bid_multiplier_up, f.bid_multiplier_down);
            rules.sell_band = band(f.ask_multiplier_up, f.ask_multiplier_down);
        }
        Filter::PercentPrice(f) if rules.buy_band.is_none() => {
            let (up, down, by_average) = (f.multiplier_up, f.multiplier_down, f.avg_price_mins > 0);
            let band = PercentBand {
                filter: "PERCENT_PRICE",
                up,
                down,
                by_average,
            };
            (rules.buy_band, rules.sell_band) = (Some(band), Some(band));
        }
        Filter::MaxPosition(f) => rules.position_max = Some(f.max_position),
        Filter::MaxNumOrders(f) => rules.open_orders_max = Some(f.max_num_orders),
        Filter::MinNotional(_) | Filter::PercentPrice(_) | Filter::Other => {}
    }
}

fn lot(filter: &thunes_binance::LotSize) -> Lot {
    Lot {
        min: filter.min_quantity,
        max: filter.max_quantity,
        step: filter.step_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(filters: &str) -> SymbolRules {
        let text = format!(
            r#"{{"symbol":"AB","status":"BREAK","baseAsset":"A","quoteAsset":"B","baseAssetPrecision":8,
            "quoteAssetPrecision":6,"orderTypes":[],"quoteOrderQtyMarketAllowed":true,"filters":[{filters}]}}"#
        );
        rules_of(&serde_json::from_str(&text).expect("a symbol"))
    }

    #[test]
    fn every_filter_of_the_exchange_becomes_its_rule() {
        let all = rules(
            r#"{"filterType":"PRICE_FILTER","minPrice":"1","maxPrice":"2","tickSize":"3"},
            {"filterType":"LOT_SIZE","minQty":"4","maxQty":"5","stepSize":"6"},
            {"filterType":"MARKET_LOT_SIZE","minQty":"7","maxQty":"8","stepSize":"9"},
            {"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"10","bidMultiplierDown":"11",
             "askMultiplierUp":"12","askMultiplierDown":"13","avgPriceMins":5},
            {"filterType":"PERCENT_PRICE","multiplierUp":"99","multiplierDown":"98","avgPriceMins":0},
            {"filterType":"NOTIONAL","minNotional":"14","applyMinToMarket":true,"maxNotional":"15",
             "applyMaxToMarket":false,"avgPriceMins":0},
            {"filterType":"MIN_NOTIONAL","minNotional":"97","applyToMarket":false,"avgPriceMins":5},
            {"filterType":"MAX_POSITION","maxPosition":"16"},{"filterType":"MAX_NUM_ORDERS","maxNumOrders":17},
            {"filterType":"SOMETHING_NEW","x":1}"#,
        );
        let n = |units: i64| thunes_types::Decimal::from(units);
        let band = |up, down| PercentBand {
            filter: "PERCENT_PRICE_BY_SIDE",
            up: n(up),
            down: n(down),
            by_average: true,
        };
        let lot = |min, max, step| Lot {
            min: n(min),
            max: n(max),
            step: n(step),
        };
        let wanted = SymbolRules {
            symbol: "AB".into(),
            base_asset: "A".into(),
            quote_asset: "B".into(),
            status: "BREAK",
            trading: false,
            price_min: n(1),
            price_max: n(2),
            price_tick: n(3),
            lot: lot(4, 5, 6),
            market_lot: lot(7, 8, 9),
            notional_min: n(14),
            notional_min_applies_to_market: true,
            notional_max: n(15),
            notional_max_applies_to_market: false,
            notional_by_average: false,
            buy_band: Some(band(10, 11)),
            sell_band: Some(band(12, 13)),
            position_max: Some(n(16)),
            open_orders_max: Some(17),
            quote_precision: 6,
        };
        assert_eq!(all, wanted);
        assert!(all.uses_average());
    }

    #[test]
    fn the_older_filters_count_where_the_newer_are_not_listed() {
        let older = rules(
            r#"{"filterType":"PERCENT_PRICE","multiplierUp":"5","multiplierDown":"0.2","avgPriceMins":0},
            {"filterType":"MIN_NOTIONAL","minNotional":"10","applyToMarket":true,"avgPriceMins":5}"#,
        );
        assert_eq!(older.buy_band, older.sell_band);
        assert_eq!(older.buy_band.map(|band| band.filter), Some("PERCENT_PRICE"));
        assert_eq!(older.notional_min, thunes_types::Decimal::TEN);
        assert!(older.notional_min_applies_to_market && older.notional_by_average && older.uses_average());
        assert!(!rules("").uses_average());
    }
}
