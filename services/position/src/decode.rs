//! What comes over the wire, checked field by field; every fault of a request is gathered.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thunes_proto::position::v1 as pb;
use thunes_proto::types::v1 as types;
use thunes_runtime::clock;
use thunes_types::{
    Decimal, FieldError, Reason, RequestId, StrategyId, Symbol, checked_sub, mul_div_half_even, parse_non_negative,
    parse_positive,
};

use crate::baseline::BaselineRequest;
use crate::domain::{Asset, Baseline, Fill, FillSource, HeldBalance, LastPrice, Side, TradingDay};
use crate::store::PageStart;

/// Most fills in one request.
pub(crate) const FILLS_MAX: usize = 500;
/// Most prices in one request.
pub(crate) const PRICES_MAX: usize = 1000;
/// Beyond any market; what is larger is a mistake or an attack.
const PRICE_MAX: i64 = 1_000_000_000_000;
const QUANTITY_MAX: i64 = 1_000_000_000_000_000_000;
const QUOTE_MAX: i64 = 1_000_000_000_000_000;

/// Most balances, and most cursors, of one baseline.
pub(crate) const BASELINE_ROWS_MAX: usize = 5000;
const PAGE_MAX: i32 = 1000;
const PAGE_DEFAULT: i32 = 500;
const ORDER_ID_LENGTH_MAX: usize = 64;
/// The last millisecond of the year 9999, which is as far as calendars are written with four digits.
const TIME_MAX_MS: i64 = 253_402_300_799_999;
/// A price from further ahead than this would keep true prices out for as long.
const PRICE_AHEAD_MAX_MS: i64 = 60 * 60 * 1000;
/// The exchange states quote amounts to this many places.
const QUOTE_PLACES: u32 = 8;

pub(crate) type Faults = Vec<FieldError>;

/// Gathers the faults of one request.
#[derive(Default)]
struct Gathered(Faults);

impl Gathered {
    fn take<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }

    fn refuse(&mut self, field: impl Into<String>, value: &str, rule: impl Into<String>) {
        self.0.push(FieldError::new(field, value, rule));
    }

    fn time(&mut self, field: String, at_ms: i64) -> Option<i64> {
        if (1..=TIME_MAX_MS).contains(&at_ms) {
            return Some(at_ms);
        }
        self.refuse(
            field,
            &at_ms.to_string(),
            "milliseconds since 1970-01-01 UTC, greater than 0 and before the year 10000",
        );
        None
    }

    fn count(&mut self, field: &str, count: usize, max: usize) {
        if !(1..=max).contains(&count) {
            self.refuse(field, &count.to_string(), format!("1 to {max} entries"));
        }
    }

    fn done<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) | None => Err(self.0),
        }
    }
}

/// The fills of a request.
pub(crate) fn fills(request: &pb::RecordFillsRequest) -> Result<Vec<Fill>, Faults> {
    let mut faults = Gathered::default();
    faults.count("fills", request.fills.len(), FILLS_MAX);
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let fills: Vec<_> = request
        .fills
        .iter()
        .enumerate()
        .map(|(index, sent)| fill(&mut faults, &format!("fills[{index}]"), sent))
        .collect();
    faults.done(fills.into_iter().collect())
}

fn fill(faults: &mut Gathered, at: &str, sent: &types::Fill) -> Option<Fill> {
    let field = |name: &str| format!("{at}.{name}");
    let symbol = faults.take(Symbol::parse_as(&field("symbol"), &sent.symbol));
    let base_asset = faults.take(Asset::parse_as(&field("base_asset"), &sent.base_asset));
    let quote_asset = faults.take(Asset::parse_as(&field("quote_asset"), &sent.quote_asset));
    if base_asset.is_some() && base_asset == quote_asset {
        faults.refuse(field("quote_asset"), &sent.quote_asset, "must not be the base asset");
    }
    if sent.trade_id < 0 {
        faults.refuse(field("trade_id"), &sent.trade_id.to_string(), "must not be negative");
    }
    let side = faults.take(side(&field("side"), sent.side));
    let price = faults.take(parse_positive(&field("price"), &sent.price));
    let quantity = faults.take(parse_positive(&field("quantity"), &sent.quantity));
    let quote_quantity = faults.take(parse_non_negative(&field("quote_quantity"), &sent.quote_quantity));
    for (name, text, value, most) in [
        ("price", &sent.price, &price, PRICE_MAX),
        ("quantity", &sent.quantity, &quantity, QUANTITY_MAX),
        ("quote_quantity", &sent.quote_quantity, &quote_quantity, QUOTE_MAX),
    ] {
        if value.is_some_and(|value| value > Decimal::from(most)) {
            faults.refuse(
                field(name),
                text,
                format!("at most {most}: one absurd fill must not spoil the sums of all"),
            );
        }
    }
    let commission = faults.take(parse_non_negative(&field("commission"), &sent.commission));
    let commission_asset = commission_asset(faults, &field("commission_asset"), sent, commission);
    let executed_at_ms = faults.time(field("executed_at_ms"), sent.executed_at_ms);
    order_id(faults, field("venue_order_id"), &sent.venue_order_id, 1);
    order_id(faults, field("client_order_id"), &sent.client_order_id, 0);
    let strategy_id = faults.take(StrategyId::parse_as(&field("strategy_id"), &sent.strategy_id));
    let source = faults.take(source(&field("source"), sent.source));
    let fill = Fill {
        symbol: symbol?,
        trade_id: sent.trade_id,
        base_asset: base_asset?,
        quote_asset: quote_asset?,
        side: side?,
        price: price?,
        quantity: quantity?,
        quote_quantity: quote_quantity?,
        commission: commission?,
        commission_asset: commission_asset?,
        executed_at_ms: executed_at_ms?,
        venue_order_id: sent.venue_order_id.clone(),
        client_order_id: sent.client_order_id.clone(),
        strategy_id: strategy_id?,
        is_maker: sent.is_maker,
        source: source?,
    };
    fill_as_a_whole(faults, at, sent, &fill);
    Some(fill)
}

/// Rules that hold between the fields of one fill.
fn fill_as_a_whole(faults: &mut Gathered, at: &str, sent: &types::Fill, fill: &Fill) {
    if fill.side == Side::Buy && fill.commission_in(&fill.base_asset) > fill.quantity {
        let rule = "a fee in the base asset must not exceed the quantity that was bought";
        faults.refuse(format!("{at}.commission"), &sent.commission, rule);
    }
    if !agrees(fill) {
        let rule = "must be price x quantity, to the last place that is stated";
        faults.refuse(format!("{at}.quote_quantity"), &sent.quote_quantity, rule);
    }
}

/// Whether the three amounts of a fill belong together. The exchange cuts or rounds the product to the places that it
/// states; a product too long to compare is left to the fold, which knows what does not fit.
fn agrees(fill: &Fill) -> bool {
    let Ok(product) = mul_div_half_even(fill.price, fill.quantity, Decimal::ONE, QUOTE_PLACES) else {
        return true;
    };
    let Ok(difference) = checked_sub(product, fill.quote_quantity) else {
        return true;
    };
    difference.abs() <= Decimal::new(1, fill.quote_quantity.scale().min(QUOTE_PLACES))
}

fn commission_asset(
    faults: &mut Gathered,
    field: &str,
    sent: &types::Fill,
    commission: Option<Decimal>,
) -> Option<Option<Asset>> {
    if sent.commission_asset.is_empty() && commission.is_none_or(|amount| amount.is_zero()) {
        return Some(None);
    }
    faults.take(Asset::parse_as(field, &sent.commission_asset)).map(Some)
}

fn side(field: &str, number: i32) -> Result<Side, FieldError> {
    match types::Side::try_from(number) {
        Ok(types::Side::Buy) => Ok(Side::Buy),
        Ok(types::Side::Sell) => Ok(Side::Sell),
        Ok(types::Side::Unspecified) | Err(_) => {
            Err(FieldError::new(field, &number.to_string(), "BUY (1) or SELL (2)"))
        }
    }
}

fn source(field: &str, number: i32) -> Result<FillSource, FieldError> {
    match types::FillSource::try_from(number) {
        Ok(types::FillSource::Unspecified) => Ok(FillSource::Unspecified),
        Ok(types::FillSource::OrderAnswer) => Ok(FillSource::OrderAnswer),
        Ok(types::FillSource::Stream) => Ok(FillSource::Stream),
        Ok(types::FillSource::Query) => Ok(FillSource::Query),
        Ok(types::FillSource::Adopted) => Ok(FillSource::Adopted),
        Err(_) => Err(FieldError::new(field, &number.to_string(), "a known source: 0 to 4")),
    }
}

// Wider than our own order ids: the exchange's web page and its other clients name orders in their own ways.
fn order_id(faults: &mut Gathered, field: String, text: &str, length_min: usize) {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
    if !(length_min..=ORDER_ID_LENGTH_MAX).contains(&text.len()) || !text.bytes().all(known) {
        let rule = format!("{length_min} to {ORDER_ID_LENGTH_MAX} characters of a-z, A-Z, 0-9, -, _, ., : and /");
        faults.refuse(field, text, rule);
    }
}

/// A request to record a baseline.
pub(crate) fn baseline(request: pb::RecordBaselineRequest) -> Result<BaselineRequest, Faults> {
    let mut faults = Gathered::default();
    let account = faults.take(account(&request.account));
    let reason = faults.take(Reason::parse(&request.reason));
    let taken_at_ms = faults.time("taken_at_ms".to_owned(), request.taken_at_ms);
    let request_id = match request.request_id.as_str() {
        "" => None,
        text => faults.take(RequestId::parse(text)),
    };
    for (field, count) in [("balances", request.balances.len()), ("cursors", request.cursors.len())] {
        if count > BASELINE_ROWS_MAX {
            faults.refuse(
                field,
                &count.to_string(),
                format!("at most {BASELINE_ROWS_MAX} entries"),
            );
            return Err(faults.0);
        }
    }
    let balances = balances(&mut faults, &request.balances);
    let cursors = cursors(&mut faults, &request.cursors);
    let replace = request.replace;
    let decoded = account
        .zip(reason)
        .zip(taken_at_ms)
        .map(|((account, reason), taken_at_ms)| BaselineRequest {
            baseline: Baseline {
                account,
                balances,
                cursors,
                taken_at_ms,
            },
            reason,
            request_id,
            replace,
            raw: request,
        });
    faults.done(decoded)
}

fn balances(faults: &mut Gathered, sent: &[types::Balance]) -> BTreeMap<Asset, HeldBalance> {
    let mut balances = BTreeMap::new();
    for (index, balance) in sent.iter().enumerate() {
        let field = |name: &str| format!("balances[{index}].{name}");
        let asset = faults.take(Asset::parse_as(&field("asset"), &balance.asset));
        let free = faults.take(parse_non_negative(&field("free"), &balance.free));
        let locked = faults.take(parse_non_negative(&field("locked"), &balance.locked));
        let (Some(asset), Some(free), Some(locked)) = (asset, free, locked) else {
            continue;
        };
        if balances.insert(asset, HeldBalance { free, locked }).is_some() {
            faults.refuse(field("asset"), &balance.asset, "each asset at most once");
        }
    }
    balances
}

fn cursors(faults: &mut Gathered, sent: &[pb::TradeCursor]) -> BTreeMap<Symbol, i64> {
    let mut cursors = BTreeMap::new();
    for (index, cursor) in sent.iter().enumerate() {
        let field = |name: &str| format!("cursors[{index}].{name}");
        let symbol = faults.take(Symbol::parse_as(&field("symbol"), &cursor.symbol));
        if cursor.last_trade_id < 0 {
            faults.refuse(
                field("last_trade_id"),
                &cursor.last_trade_id.to_string(),
                "must not be negative",
            );
        }
        let Some(symbol) = symbol else { continue };
        if cursors.insert(symbol, cursor.last_trade_id).is_some() {
            faults.refuse(field("symbol"), &cursor.symbol, "each symbol at most once");
        }
    }
    cursors
}

/// The name of an account; it has the grammar of a request id.
pub(crate) fn account(text: &str) -> Result<String, FieldError> {
    RequestId::parse_as("account", text).map(|name| name.as_str().to_owned())
}

/// The prices of a request.
pub(crate) fn prices(request: &pb::RecordPricesRequest, now_ms: i64) -> Result<Vec<(Symbol, LastPrice)>, Faults> {
    let mut faults = Gathered::default();
    faults.count("prices", request.prices.len(), PRICES_MAX);
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let mut prices = Vec::new();
    for (index, sent) in request.prices.iter().enumerate() {
        let field = |name: &str| format!("prices[{index}].{name}");
        let symbol = faults.take(Symbol::parse_as(&field("symbol"), &sent.symbol));
        let price = faults.take(parse_positive(&field("price"), &sent.price));
        let at_ms = faults.time(field("at_ms"), sent.at_ms);
        if at_ms.is_some_and(|at_ms| at_ms > now_ms.saturating_add(PRICE_AHEAD_MAX_MS)) {
            faults.refuse(
                field("at_ms"),
                &sent.at_ms.to_string(),
                "not more than an hour ahead of this clock",
            );
        }
        if let (Some(symbol), Some(price), Some(at_ms)) = (symbol, price, at_ms) {
            prices.push((symbol, LastPrice { price, at_ms }));
        }
    }
    faults.done(Some(prices))
}

/// The day of a request; empty means `today`.
pub(crate) fn day(text: &str, today: TradingDay) -> Result<TradingDay, FieldError> {
    if text.is_empty() {
        return Ok(today);
    }
    let start_ms = clock::parse_iso_utc(&format!("{text}T00:00:00Z"));
    // Written back it must be the same, or it was no plain date.
    match start_ms.filter(|ms| clock::utc_day(*ms) == text) {
        Some(ms) => Ok(TradingDay::of(ms)),
        None => Err(FieldError::new(
            "day",
            text,
            "a UTC day such as 2026-11-24, or empty for today",
        )),
    }
}

/// Which fills a page shall hold.
#[derive(Debug)]
pub(crate) struct PageRequest {
    pub(crate) symbol: Option<Symbol>,
    pub(crate) size: i32,
    pub(crate) after: PageStart,
}

/// A request for a page of fills.
pub(crate) fn page(request: &pb::ListFillsRequest) -> Result<PageRequest, Faults> {
    let mut faults = Gathered::default();
    let symbol = match request.symbol.as_str() {
        "" => None,
        text => faults.take(Symbol::parse(text)),
    };
    let size = if request.page_size == 0 {
        PAGE_DEFAULT
    } else {
        request.page_size
    };
    if !(1..=PAGE_MAX).contains(&size) {
        faults.refuse(
            "page_size",
            &size.to_string(),
            format!("1 to {PAGE_MAX}, or 0 for {PAGE_DEFAULT}"),
        );
    }
    let after = match request.page_token.as_str() {
        "" => Some(PageStart {
            executed_at_ms: i64::MIN,
            symbol: String::new(),
            trade_id: i64::MIN,
        }),
        text => faults.take(page_start(&request.symbol, text)),
    };
    faults.done(after.map(|after| PageRequest { symbol, size, after }))
}

/// The token for the page after `last`, in a list of `filter`.
pub(crate) fn page_token(filter: Option<&Symbol>, last: &Fill) -> String {
    let filter = filter.map_or("", Symbol::as_str);
    URL_SAFE_NO_PAD.encode(format!(
        "1|{filter}|{}|{}|{}",
        last.executed_at_ms, last.symbol, last.trade_id
    ))
}

fn page_start(filter: &str, token: &str) -> Result<PageStart, FieldError> {
    let refused = || {
        FieldError::new(
            "page_token",
            token,
            "a token from an earlier answer to the same question",
        )
    };
    let text = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(refused)?;
    let parts: Vec<&str> = text.split('|').collect();
    let ["1", of, executed_at_ms, symbol, trade_id] = parts[..] else {
        return Err(refused());
    };
    if of != filter || Symbol::parse(symbol).is_err() {
        return Err(refused());
    }
    let number = |text: &str| text.parse::<i64>().map_err(|_| refused());
    Ok(PageStart {
        executed_at_ms: number(executed_at_ms)?,
        symbol: symbol.to_owned(),
        trade_id: number(trade_id)?,
    })
}
