//! Public endpoints.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::params::Params;
use crate::domain::{ApiError, Candle, Exchange, Interval, Level, Market, Side, ZERO, fixed8};

const DAY_MS: i64 = 86_400_000;

/// A market by the `symbol` parameter.
pub fn market_of<'a>(exchange: &'a Exchange, params: &Params) -> Result<&'a Market, ApiError> {
    let symbol = params.required_symbol()?;
    exchange
        .markets
        .get(symbol)
        .ok_or_else(|| ApiError::new(-1121, "Invalid symbol."))
}

/// One market for `symbol`, several for `symbols`, else all; with one, the answer is an object.
fn for_markets(exchange: &Exchange, params: &Params, show: impl Fn(&Market) -> Value) -> Result<Value, ApiError> {
    match (params.symbol()?, params.text("symbols")?) {
        (Some(_), Some(_)) => Err(ApiError::new(-1128, "Combination of optional parameters invalid.")),
        (Some(_), None) => Ok(show(market_of(exchange, params)?)),
        (None, Some(list)) => Ok(Value::Array(listed(exchange, list)?.into_iter().map(show).collect())),
        (None, None) => Ok(Value::Array(exchange.markets.values().map(show).collect())),
    }
}

fn listed<'a>(exchange: &'a Exchange, list: &str) -> Result<Vec<&'a Market>, ApiError> {
    const RANGE: &str = "^\\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\\]$";
    let names: Vec<String> = serde_json::from_str(list).map_err(|_| ApiError::illegal("symbols", RANGE))?;
    let find = |name: &String| {
        exchange
            .markets
            .get(name)
            .ok_or_else(|| ApiError::new(-1121, "Invalid symbol."))
    };
    names.iter().map(find).collect()
}

/// `exchangeInfo`.
pub fn exchange_info(exchange: &Exchange, params: &Params, now_ms: i64, rate_limits: Value) -> Result<Value, ApiError> {
    let symbols = match for_markets(exchange, params, symbol_info)? {
        Value::Array(symbols) => symbols,
        one => vec![one],
    };
    Ok(json!({
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": rate_limits,
        "exchangeFilters": [],
        "symbols": symbols,
    }))
}

fn symbol_info(market: &Market) -> Value {
    let rules = &market.rules;
    json!({
        "symbol": rules.symbol,
        "status": market.status.as_str(),
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": true,
        "ocoAllowed": false,
        "otoAllowed": false,
        "opoAllowed": false,
        "quoteOrderQtyMarketAllowed": true,
        "allowTrailingStop": false,
        "cancelReplaceAllowed": true,
        "amendAllowed": false,
        "pegInstructionsAllowed": false,
        "isSpotTradingAllowed": true,
        "isMarginTradingAllowed": false,
        "filters": rules.to_json(),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    })
}

/// Price levels of one side: synthetic levels and resting orders, summed by price.
pub fn levels(exchange: &Exchange, market: &Market, side: Side) -> Vec<Level> {
    let (synthetic, resting) = match side {
        Side::Buy => (&market.bids, &market.resting_bids),
        Side::Sell => (&market.asks, &market.resting_asks),
    };
    let own = resting.iter().filter_map(|key| exchange.orders.get(&key.2));
    let mut all: Vec<Level> = own
        .map(|o| Level {
            price: o.price,
            qty: o.remaining(),
        })
        .chain(synthetic.iter().copied())
        .collect();
    all.sort_by(|a, b| match side {
        Side::Buy => b.price.cmp(&a.price),
        Side::Sell => a.price.cmp(&b.price),
    });
    let mut summed: Vec<Level> = Vec::with_capacity(all.len());
    for level in all {
        match summed.last_mut() {
            Some(last) if last.price == level.price => last.qty += level.qty,
            _ => summed.push(level),
        }
    }
    summed
}

/// `depth`.
pub fn depth(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let limit = params.limit(100, 5_000)?;
    Ok(depth_body(exchange, market, limit))
}

/// The best levels of a book with the id of its last change.
pub fn depth_body(exchange: &Exchange, market: &Market, limit: usize) -> Value {
    let show = |side| -> Vec<Value> {
        let levels = levels(exchange, market, side);
        levels
            .iter()
            .take(limit)
            .map(|l| json!([fixed8(l.price), fixed8(l.qty)]))
            .collect()
    };
    json!({ "lastUpdateId": market.update_id, "bids": show(Side::Buy), "asks": show(Side::Sell) })
}

/// `trades` and `historicalTrades`.
pub fn trades(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let limit = params.limit(500, 1_000)?;
    let from = params.integer("fromId")?;
    let wanted = market
        .trades
        .iter()
        .filter(|trade| from.is_none_or(|from| trade.id >= from));
    let skip = if from.is_some() {
        0
    } else {
        market.trades.len().saturating_sub(limit)
    };
    let shown = wanted.skip(skip).take(limit).map(|trade| {
        json!({
            "id": trade.id,
            "price": fixed8(trade.price),
            "qty": fixed8(trade.qty),
            "quoteQty": fixed8(crate::domain::times(trade.price, trade.qty)),
            "time": trade.time_ms,
            "isBuyerMaker": trade.buyer_is_maker,
            "isBestMatch": true,
        })
    });
    Ok(Value::Array(shown.collect()))
}

/// `aggTrades`: here every trade is an aggregate of its own.
pub fn agg_trades(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let limit = params.limit(500, 1_000)?;
    let (from, start, end) = (
        params.integer("fromId")?,
        params.time_ms("startTime")?,
        params.time_ms("endTime")?,
    );
    let fits = |trade: &&crate::domain::PublicTrade| {
        from.is_none_or(|from| trade.id >= from)
            && start.is_none_or(|start| trade.time_ms >= start)
            && end.is_none_or(|end| trade.time_ms <= end)
    };
    let wanted: Vec<_> = market.trades.iter().filter(fits).collect();
    let bounded = from.is_some() || start.is_some();
    let skip = if bounded { 0 } else { wanted.len().saturating_sub(limit) };
    let shown = wanted.into_iter().skip(skip).take(limit).map(|trade| {
        json!({ "a": trade.id, "p": fixed8(trade.price), "q": fixed8(trade.qty), "f": trade.id, "l": trade.id,
                "T": trade.time_ms, "m": trade.buyer_is_maker, "M": true })
    });
    Ok(Value::Array(shown.collect()))
}

/// `klines`.
pub fn klines(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let interval = params.required("interval")?;
    let interval = Interval::parse(interval).ok_or_else(|| ApiError::new(-1120, "Invalid interval."))?;
    let limit = params.limit(500, 1_000)?;
    let (start, end) = (params.time_ms("startTime")?, params.time_ms("endTime")?);
    let bars: Vec<Candle> = market
        .candles
        .bars(interval)
        .into_iter()
        .filter(|bar| start.is_none_or(|s| bar.open_time_ms >= s) && end.is_none_or(|e| bar.open_time_ms <= e))
        .collect();
    let skip = if start.is_some() {
        0
    } else {
        bars.len().saturating_sub(limit)
    };
    Ok(Value::Array(bars.iter().skip(skip).take(limit).map(kline).collect()))
}

fn kline(bar: &Candle) -> Value {
    json!([
        bar.open_time_ms,
        fixed8(bar.open),
        fixed8(bar.high),
        fixed8(bar.low),
        fixed8(bar.close),
        fixed8(bar.volume),
        bar.close_time_ms,
        fixed8(bar.quote_volume),
        bar.count,
        fixed8(bar.taker_base),
        fixed8(bar.taker_quote),
        "0",
    ])
}

/// `avgPrice`.
pub fn avg_price(exchange: &Exchange, params: &Params, now_ms: i64) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let window = market.candles.window(now_ms, 300_000);
    let price = window.as_ref().map_or(market.last_price, average);
    let close_time = market.trades.back().map_or(now_ms, |trade| trade.time_ms);
    Ok(json!({ "mins": 5, "price": fixed8(price), "closeTime": close_time }))
}

fn average(bar: &Candle) -> Decimal {
    let exact = bar.quote_volume.checked_div(bar.volume).unwrap_or(bar.close);
    exact.round_dp(8)
}

/// `ticker/price`.
pub fn ticker_price(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    for_markets(
        exchange,
        params,
        |market| json!({ "symbol": market.rules.symbol, "price": fixed8(market.last_price) }),
    )
}

/// `ticker/bookTicker`.
pub fn book_ticker(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    for_markets(exchange, params, |market| {
        let best = |side| {
            levels(exchange, market, side)
                .first()
                .copied()
                .unwrap_or(Level { price: ZERO, qty: ZERO })
        };
        let (bid, ask) = (best(Side::Buy), best(Side::Sell));
        json!({ "symbol": market.rules.symbol, "bidPrice": fixed8(bid.price), "bidQty": fixed8(bid.qty),
                "askPrice": fixed8(ask.price), "askQty": fixed8(ask.qty) })
    })
}

/// `ticker/24hr`.
pub fn ticker_24h(exchange: &Exchange, params: &Params, now_ms: i64) -> Result<Value, ApiError> {
    let mini = match params.text("type")? {
        None | Some("FULL") => false,
        Some("MINI") => true,
        Some(_) => return Err(ApiError::new(-1139, "Invalid ticker type.")),
    };
    for_markets(exchange, params, |market| day_ticker(exchange, market, now_ms, mini))
}

fn day_ticker(exchange: &Exchange, market: &Market, now_ms: i64, mini: bool) -> Value {
    let last = market.last_price;
    let day = market.candles.window(now_ms, DAY_MS).unwrap_or_else(|| Candle {
        open_time_ms: now_ms - DAY_MS,
        close_time_ms: now_ms,
        open: last,
        high: last,
        low: last,
        close: last,
        volume: ZERO,
        quote_volume: ZERO,
        taker_base: ZERO,
        taker_quote: ZERO,
        count: 0,
        first_id: 0,
        last_id: 0,
    });
    let mut body = json!({ "symbol": market.rules.symbol });
    let mut put = |key: &str, value: Value| body[key] = value;
    if !mini {
        let change = last - day.open;
        let percent = change.checked_div(day.open).unwrap_or(ZERO) * Decimal::ONE_HUNDRED;
        put("priceChange", json!(fixed8(change)));
        put("priceChangePercent", json!(format!("{percent:.3}")));
        put("weightedAvgPrice", json!(fixed8(average(&day))));
        put("prevClosePrice", json!(fixed8(day.open)));
        put(
            "lastQty",
            json!(fixed8(market.trades.back().map_or(ZERO, |trade| trade.qty))),
        );
        for (side, price, qty) in [(Side::Buy, "bidPrice", "bidQty"), (Side::Sell, "askPrice", "askQty")] {
            let best = levels(exchange, market, side)
                .first()
                .copied()
                .unwrap_or(Level { price: ZERO, qty: ZERO });
            put(price, json!(fixed8(best.price)));
            put(qty, json!(fixed8(best.qty)));
        }
    }
    put("lastPrice", json!(fixed8(last)));
    put("openPrice", json!(fixed8(day.open)));
    put("highPrice", json!(fixed8(day.high)));
    put("lowPrice", json!(fixed8(day.low)));
    put("volume", json!(fixed8(day.volume)));
    put("quoteVolume", json!(fixed8(day.quote_volume)));
    put("openTime", json!(day.open_time_ms));
    put("closeTime", json!(day.close_time_ms));
    put("firstId", json!(day.first_id));
    put("lastId", json!(day.last_id));
    put("count", json!(day.count));
    body
}
