use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thunes_types::{
    Decimal, MoneyError, ReasonCode, Scope, TEXT_SELL_ALLOWED, TEXT_TRADE_PASSED, checked_add, checked_mul_exact,
    checked_sub, text_opening_halted,
};

use super::limits::Limits;

/// Buying opens or enlarges a position on Spot; selling closes or shrinks one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Buy,
    Sell,
}

/// A trade to be judged.
#[derive(Debug, Clone)]
pub struct Trade {
    pub symbol: String,
    pub side: Side,
    /// Quote.
    pub notional: Decimal,
    pub limit_price: Option<Decimal>,
    pub strategy_id: String,
}

/// The book as risk sees it.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub revision: i64,
    /// Open positions: symbol to notional (quote, positive).
    pub open: BTreeMap<String, Decimal>,
    /// Unknown until position has said it once.
    pub daily_pnl: Option<Decimal>,
    /// By the boot clock; None until position has spoken.
    pub heard_at_boot_ms: Option<i64>,
}

impl Book {
    pub fn fresh(&self, now_boot_ms: i64, stale_ms: i64) -> bool {
        self.heard_at_boot_ms.is_some_and(|at| now_boot_ms - at <= stale_ms)
    }
}

/// Times of recent orders, for the rate and for duplicates.
#[derive(Debug, Default)]
pub struct Recent {
    orders: VecDeque<(i64, Fingerprint)>,
}

/// What makes two orders look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    symbol: String,
    side: Side,
    notional: Decimal,
    limit_price: Option<Decimal>,
    strategy_id: String,
}

impl Fingerprint {
    fn of(trade: &Trade) -> Self {
        Self {
            symbol: trade.symbol.clone(),
            side: trade.side,
            notional: trade.notional,
            limit_price: trade.limit_price,
            strategy_id: trade.strategy_id.clone(),
        }
    }
}

impl Recent {
    const MINUTE_MS: i64 = 60_000;

    /// Notes an approved order.
    pub fn record(&mut self, trade: &Trade, now_boot_ms: i64, limits: &Limits) {
        let keep_ms = Self::MINUTE_MS.max(limits.duplicate_window_ms);
        while self.orders.front().is_some_and(|(at, _)| now_boot_ms - at >= keep_ms) {
            self.orders.pop_front();
        }
        self.orders.push_back((now_boot_ms, Fingerprint::of(trade)));
    }

    /// An order that was approved before is judged again: it must not stand in its own way.
    pub fn forget(&mut self, trade: &Trade) {
        let fingerprint = Fingerprint::of(trade);
        if let Some(index) = self.orders.iter().rposition(|(_, other)| *other == fingerprint) {
            self.orders.remove(index);
        }
    }

    fn in_last_minute(&self, now_boot_ms: i64) -> i64 {
        let recent = self
            .orders
            .iter()
            .rev()
            .take_while(|(at, _)| now_boot_ms - at < Self::MINUTE_MS);
        i64::try_from(recent.count()).unwrap_or(i64::MAX)
    }

    fn has_like(&self, trade: &Trade, now_boot_ms: i64, window_ms: i64) -> bool {
        let fingerprint = Fingerprint::of(trade);
        let recent = self
            .orders
            .iter()
            .rev()
            .take_while(|(at, _)| now_boot_ms - at < window_ms);
        recent.into_iter().any(|(_, other)| *other == fingerprint)
    }
}

/// Everything that a decision looks at.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What is halted, if that stops this trade.
    pub halted: Option<&'a Scope>,
    pub limits: &'a Limits,
    pub book: &'a Book,
    pub positions_stale_ms: i64,
    pub reserved_in_symbol: Decimal,
    pub reserved_symbols: BTreeSet<&'a str>,
    /// The last price, if it is known.
    pub last_price: Option<Decimal>,
    pub recent: &'a Recent,
    pub now_boot_ms: i64,
}

/// One check with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub passed: bool,
    pub value: String,
    pub bound: String,
}

/// The gate's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub approved: bool,
    pub code: ReasonCode,
    pub reason: String,
    pub checks: Vec<Check>,
}

struct Verdicts {
    checks: Vec<Check>,
    failed: Option<(ReasonCode, String)>,
}

impl Verdicts {
    fn add(&mut self, name: &'static str, passed: bool, value: String, bound: String, code: ReasonCode, text: &str) {
        self.checks.push(Check {
            name,
            passed,
            value: value.clone(),
            bound: bound.clone(),
        });
        if !passed && self.failed.is_none() {
            self.failed = Some((code, format!("❌ {text}: {value}, allowed is {bound}")));
        }
    }

    fn decide(self, passed: (ReasonCode, &str)) -> Decision {
        let approved = self.failed.is_none();
        let (code, reason) = self.failed.unwrap_or((passed.0, passed.1.to_owned()));
        Decision {
            approved,
            code,
            reason,
            checks: self.checks,
        }
    }
}

/// Judges a trade. Every check is made and shown; the first that fails gives the reason.
///
/// # Errors
/// When a sum of money does not fit; the caller must deny.
pub fn decide(trade: &Trade, facts: &Facts<'_>) -> Result<Decision, MoneyError> {
    match trade.side {
        Side::Buy => decide_opening(trade, facts),
        Side::Sell => decide_closing(trade, facts),
    }
}

fn decide_opening(trade: &Trade, facts: &Facts<'_>) -> Result<Decision, MoneyError> {
    let mut verdicts = Verdicts {
        checks: Vec::new(),
        failed: None,
    };
    check_switch(&mut verdicts, facts);
    check_freshness(&mut verdicts, facts);
    check_symbol(&mut verdicts, trade, facts, false);
    check_sizes(&mut verdicts, trade, facts)?;
    check_loss(&mut verdicts, facts);
    check_pace(&mut verdicts, trade, facts);
    check_collar(&mut verdicts, trade, facts)?;
    Ok(verdicts.decide((ReasonCode::TradePassed, TEXT_TRADE_PASSED)))
}

/// Closing is never held up by the switch, by limits of size, or by a stale book; how much may be sold is the
/// gateway's decision, which knows the holdings.
fn decide_closing(trade: &Trade, facts: &Facts<'_>) -> Result<Decision, MoneyError> {
    let mut verdicts = Verdicts {
        checks: Vec::new(),
        failed: None,
    };
    let fresh = facts.book.fresh(facts.now_boot_ms, facts.positions_stale_ms);
    let held = facts.book.open.contains_key(&trade.symbol) || !fresh;
    check_symbol(&mut verdicts, trade, facts, held);
    // Without a last price there is nothing to hold a closing order against.
    if facts.last_price.is_some() {
        check_collar(&mut verdicts, trade, facts)?;
    }
    let passed = if facts.halted.is_some() {
        (ReasonCode::SellAllowedDuringKillSwitch, TEXT_SELL_ALLOWED)
    } else {
        check_pace(&mut verdicts, trade, facts);
        (ReasonCode::TradePassed, TEXT_TRADE_PASSED)
    };
    Ok(verdicts.decide(passed))
}

fn check_switch(verdicts: &mut Verdicts, facts: &Facts<'_>) {
    let shown = match facts.halted {
        None => "not active".to_owned(),
        Some(Scope::All) => "active".to_owned(),
        Some(scope) => format!("active for {scope}"),
    };
    verdicts.checks.push(Check {
        name: "kill_switch",
        passed: facts.halted.is_none(),
        value: shown,
        bound: "not active".into(),
    });
    if let Some(scope) = facts.halted {
        verdicts.failed = Some((ReasonCode::KillSwitchActive, text_opening_halted(scope)));
    }
}

fn check_freshness(verdicts: &mut Verdicts, facts: &Facts<'_>) {
    let age = facts.book.heard_at_boot_ms.map(|at| facts.now_boot_ms - at);
    verdicts.add(
        "positions_fresh",
        facts.book.fresh(facts.now_boot_ms, facts.positions_stale_ms),
        age.map_or_else(|| "never heard from position".into(), |ms| format!("{ms} ms old")),
        format!("<= {} ms", facts.positions_stale_ms),
        ReasonCode::PositionsStale,
        "The positions that the decision would stand on are stale",
    );
}

fn check_symbol(verdicts: &mut Verdicts, trade: &Trade, facts: &Facts<'_>, held: bool) {
    verdicts.add(
        "symbol_allowed",
        held || facts.limits.allows_symbol(&trade.symbol),
        trade.symbol.clone(),
        format!("one of {}", facts.limits.allowed_symbols.join(", ")),
        ReasonCode::SymbolNotAllowed,
        "Symbol not allowed",
    );
}

fn check_sizes(verdicts: &mut Verdicts, trade: &Trade, facts: &Facts<'_>) -> Result<(), MoneyError> {
    let limits = facts.limits;
    verdicts.add(
        "order_notional",
        trade.notional <= limits.order_notional_max,
        trade.notional.to_string(),
        format!("<= {}", limits.order_notional_max),
        ReasonCode::OrderNotionalAboveLimit,
        "Order notional above the limit",
    );
    let in_book = facts.book.open.get(&trade.symbol).copied().unwrap_or_default();
    let after = checked_add(checked_add(in_book, facts.reserved_in_symbol)?, trade.notional)?;
    verdicts.add(
        "position_notional",
        after <= limits.position_notional_max,
        format!(
            "{after} (book {in_book} + reserved {} + order {})",
            facts.reserved_in_symbol, trade.notional
        ),
        format!("<= {}", limits.position_notional_max),
        ReasonCode::PositionNotionalAboveLimit,
        "Position notional above the limit",
    );
    let mut symbols = facts.reserved_symbols.clone();
    symbols.extend(facts.book.open.keys().map(String::as_str));
    symbols.insert(&trade.symbol);
    let open = i64::try_from(symbols.len()).unwrap_or(i64::MAX);
    verdicts.add(
        "open_positions",
        open <= limits.open_positions_max,
        open.to_string(),
        format!("<= {}", limits.open_positions_max),
        ReasonCode::OpenPositionsAboveLimit,
        "Too many open positions",
    );
    Ok(())
}

fn check_loss(verdicts: &mut Verdicts, facts: &Facts<'_>) {
    let pnl = facts.book.daily_pnl;
    verdicts.add(
        "daily_loss",
        pnl.is_some_and(|pnl| pnl > -facts.limits.daily_loss_max),
        pnl.map_or_else(|| "unknown".into(), |pnl| pnl.to_string()),
        format!("> -{}", facts.limits.daily_loss_max),
        ReasonCode::DailyLossAboveLimit,
        "Daily loss above the limit",
    );
}

fn check_pace(verdicts: &mut Verdicts, trade: &Trade, facts: &Facts<'_>) {
    let limits = facts.limits;
    let paced = facts.recent.in_last_minute(facts.now_boot_ms);
    verdicts.add(
        "order_rate",
        paced < limits.orders_per_minute_max,
        format!("{paced} in the last minute"),
        format!("< {}", limits.orders_per_minute_max),
        ReasonCode::OrderRateAboveLimit,
        "Order rate above the limit",
    );
    if limits.duplicate_window_ms > 0 {
        let like = facts
            .recent
            .has_like(trade, facts.now_boot_ms, limits.duplicate_window_ms);
        verdicts.add(
            "duplicate_order",
            !like,
            if like {
                "one like it".into()
            } else {
                "none like it".into()
            },
            format!("none within {} ms", limits.duplicate_window_ms),
            ReasonCode::DuplicateOrder,
            "Duplicate order",
        );
    }
}

fn check_collar(verdicts: &mut Verdicts, trade: &Trade, facts: &Facts<'_>) -> Result<(), MoneyError> {
    let Some(limit_price) = trade.limit_price else {
        return Ok(());
    };
    let Some(last) = facts.last_price else {
        verdicts.add(
            "price_collar",
            false,
            format!("{limit_price}, no last price"),
            "a last price to hold it against".into(),
            ReasonCode::PriceUnknown,
            "The last price is not known",
        );
        return Ok(());
    };
    // |limit - last| * 10000 <= last * collar, in exact products instead of a quotient that would need rounding.
    let distance = checked_mul_exact(checked_sub(limit_price, last)?.abs(), Decimal::from(10_000))?;
    let allowed = checked_mul_exact(last, Decimal::from(facts.limits.price_collar_bps))?;
    verdicts.add(
        "price_collar",
        distance <= allowed,
        format!("{limit_price} against a last price of {last}"),
        format!("within {} bps", facts.limits.price_collar_bps),
        ReasonCode::PriceOutsideCollar,
        "Limit price too far from the last price",
    );
    Ok(())
}

#[cfg(test)]
mod tests;
