//! Faults on demand. Each one counts what it hit, so that a drill can prove that it happened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::{AccountEvent, SymbolStatus};

/// Faults that can be active together.
const MAX_ACTIVE: usize = 100;
/// Where a fault strikes that names no path.
const ORDER_PATH: &str = "/api/v3/order";
/// Faults that are over and still shown.
const MAX_SPENT: usize = 100;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Waits between the arrival checks and matching.
    Latency,
    /// Waits after execution, before the answer.
    LatencyAfter,
    /// HTTP 503, nothing executed.
    #[serde(rename = "error_503_before")]
    Error503Before,
    /// Executed, then HTTP 503.
    #[serde(rename = "error_503_after")]
    Error503After,
    /// HTTP 500 with -1006, nothing executed.
    #[serde(rename = "error_1006_before")]
    Error1006Before,
    /// Executed, then HTTP 500 with -1006.
    #[serde(rename = "error_1006_after")]
    Error1006After,
    /// HTTP 503 with -1008: overloaded, nothing executed.
    #[serde(rename = "error_1008")]
    Error1008,
    /// HTTP 403 without a JSON body: the firewall in front of the exchange.
    #[serde(rename = "http_403")]
    Http403,
    /// Hangs, then closes the connection; nothing executed.
    TimeoutBefore,
    /// Executed, then hangs and closes the connection.
    TimeoutAfter,
    /// A user data event is lost.
    DropStreamEvent,
    /// A user data event comes twice.
    DuplicateStreamEvent,
    /// A user data event comes after the next one.
    ReorderStreamEvent,
    /// All streams are closed, once and now.
    DisconnectStreams,
    /// The streams are told `serverShutdown`, once and now; they stay open until they are cut.
    ServerShutdown,
    /// Every subscription to a user data stream ends with `eventStreamTerminated`, once and now.
    TerminateUserStreams,
    /// HTTP 429 with Retry-After.
    #[serde(rename = "http_429")]
    Http429,
    /// HTTP 418 with Retry-After.
    #[serde(rename = "http_418")]
    Http418,
    /// The exchange's clock is off by `ms` until removed.
    ClockSkew,
    /// A symbol takes no orders until removed.
    HaltSymbol,
    /// An order is refused for want of funds.
    InsufficientBalance,
    /// A query says that there is no such order, although there is: an early -2013 is no proof.
    HideOrder,
}

impl FaultKind {
    /// Whether it lasts until removed instead of counting down.
    pub fn lasts(self) -> bool {
        matches!(self, Self::ClockSkew | Self::HaltSymbol)
    }

    /// Whether it strikes once at the moment of its order and is over then.
    pub fn strikes_at_once(self) -> bool {
        matches!(
            self,
            Self::DisconnectStreams | Self::ServerShutdown | Self::TerminateUserStreams
        )
    }

    fn is_about_any_request(self) -> bool {
        matches!(self, Self::Http429 | Self::Http418 | Self::Http403)
    }
}

/// A fault as ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often; 1 when absent, 0 until removed.
    #[serde(default)]
    pub count: Option<u64>,
    /// Milliseconds: of a delay or hang (default 1000), or of the skew (may be negative).
    #[serde(default)]
    pub ms: Option<i64>,
    /// Request path; `*` is any. When absent: `POST /api/v3/order`, `GET` of it for `hide_order`, any request for 429,
    /// 418 and 403.
    #[serde(default)]
    pub path: Option<String>,
    /// HTTP method; any when absent and a path is given.
    #[serde(default)]
    pub method: Option<String>,
    /// Symbol; any when absent.
    #[serde(default)]
    pub symbol: Option<String>,
    /// For stream faults: event name (`executionReport`) or execution type (`TRADE`); any when absent.
    #[serde(default)]
    pub event: Option<String>,
    /// Seconds of Retry-After for 429 and 418 (default 1 and 120).
    #[serde(default)]
    pub retry_after_s: Option<u64>,
    /// For `halt_symbol`: which status the symbol shows (default HALT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<HaltStatus>,
}

/// The statuses in which a symbol takes no orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HaltStatus {
    /// Halted.
    Halt,
    /// Between two sessions.
    Break,
    /// Only cancels.
    CancelOnly,
}

impl HaltStatus {
    /// The same in the exchange's own terms.
    pub fn symbol_status(self) -> SymbolStatus {
        match self {
            Self::Halt => SymbolStatus::Halt,
            Self::Break => SymbolStatus::Break,
            Self::CancelOnly => SymbolStatus::CancelOnly,
        }
    }
}

/// A fault with its counters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Rising.
    pub id: u64,
    /// As ordered.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// How often it will still hit; absent when it lasts.
    pub remaining: Option<u64>,
    /// How often it has hit.
    pub hits: u64,
}

impl Fault {
    /// Milliseconds of a delay or hang.
    pub fn delay_ms(&self) -> u64 {
        u64::try_from(self.spec.ms.unwrap_or(1_000)).unwrap_or(0)
    }
}

/// The request that a fault may hit.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path.
    pub path: &'a str,
    /// Symbol, if the request names one.
    pub symbol: Option<&'a str>,
}

/// What becomes of a user data event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFate {
    /// Sent.
    Deliver,
    /// Lost.
    Drop,
    /// Sent twice.
    Duplicate,
    /// Sent after the next one.
    HoldBack,
}

#[derive(Debug, Default)]
struct Book {
    next_id: u64,
    active: Vec<Fault>,
    spent: VecDeque<Fault>,
    hits: BTreeMap<FaultKind, u64>,
}

/// All faults, with what they hit.
#[derive(Debug, Default)]
pub struct Faults {
    book: Mutex<Book>,
}

/// Everything there is to show.
#[derive(Debug, Clone, Serialize)]
pub struct FaultReport {
    /// Still active.
    pub active: Vec<Fault>,
    /// Over, newest last.
    pub spent: Vec<Fault>,
    /// Hits by kind since the start, whatever was removed in between.
    pub hits: BTreeMap<FaultKind, u64>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Book> {
        // No panic can leave the book half changed, so a poisoned lock is as good as a sound one.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// Names the field and the rule that it breaks.
    pub fn add(&self, spec: FaultSpec) -> Result<Fault, String> {
        check(&spec)?;
        let mut book = self.lock();
        if book.active.len() >= MAX_ACTIVE {
            return Err(format!(
                "{MAX_ACTIVE} faults are active, which is the most; DELETE /admin/faults first"
            ));
        }
        book.next_id += 1;
        let count = if spec.kind.lasts() { 0 } else { spec.count.unwrap_or(1) };
        let remaining = (count > 0).then_some(count);
        let fault = Fault {
            id: book.next_id,
            spec,
            remaining,
            hits: 0,
        };
        if fault.spec.kind.strikes_at_once() {
            push_spent(&mut book.spent, fault.clone());
        } else {
            book.active.push(fault.clone());
        }
        Ok(fault)
    }

    /// Counts the hits of a fault that struck at once.
    pub fn record_hits(&self, id: u64, hits: u64) -> Option<Fault> {
        let mut book = self.lock();
        let fault = book.spent.iter_mut().find(|fault| fault.id == id)?;
        fault.hits += hits;
        let fault = fault.clone();
        *book.hits.entry(fault.spec.kind).or_default() += hits;
        Some(fault)
    }

    /// The fault of a kind that hits this request, counted as hit.
    pub fn strike(&self, kind: FaultKind, target: Target<'_>) -> Option<Fault> {
        self.strike_where(|fault| fault.spec.kind == kind && hits_request(&fault.spec, target))
    }

    fn strike_where(&self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut book = self.lock();
        let at = book.active.iter().position(fits)?;
        let fault = &mut book.active[at];
        fault.hits += 1;
        if let Some(remaining) = &mut fault.remaining {
            *remaining -= 1;
        }
        let fault = fault.clone();
        *book.hits.entry(fault.spec.kind).or_default() += 1;
        if fault.remaining == Some(0) {
            book.active.remove(at);
            push_spent(&mut book.spent, fault.clone());
        }
        Some(fault)
    }

    /// How far the exchange's clock is off, ms.
    pub fn clock_skew_ms(&self) -> i64 {
        let book = self.lock();
        let skews = book
            .active
            .iter()
            .filter(|fault| fault.spec.kind == FaultKind::ClockSkew);
        skews.map(|fault| fault.spec.ms.unwrap_or(0)).sum()
    }

    /// What becomes of an event.
    pub fn stream_fate(&self, event: &AccountEvent) -> StreamFate {
        let struck = self.strike_where(|fault| {
            let stream = matches!(
                fault.spec.kind,
                FaultKind::DropStreamEvent | FaultKind::DuplicateStreamEvent | FaultKind::ReorderStreamEvent
            );
            stream && hits_event(&fault.spec, event)
        });
        match struck.map(|fault| fault.spec.kind) {
            Some(FaultKind::DropStreamEvent) => StreamFate::Drop,
            Some(FaultKind::DuplicateStreamEvent) => StreamFate::Duplicate,
            Some(FaultKind::ReorderStreamEvent) => StreamFate::HoldBack,
            Some(_) | None => StreamFate::Deliver,
        }
    }

    /// Removes the active faults (of one kind, or all) and gives them.
    pub fn clear(&self, kind: Option<FaultKind>) -> Vec<Fault> {
        let mut book = self.lock();
        let gone = |fault: &Fault| kind.is_none_or(|kind| fault.spec.kind == kind);
        let (removed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut book.active).into_iter().partition(gone);
        book.active = kept;
        for fault in &removed {
            push_spent(&mut book.spent, fault.clone());
        }
        removed
    }

    /// All faults with their counters.
    pub fn report(&self) -> FaultReport {
        let book = self.lock();
        FaultReport {
            active: book.active.clone(),
            spent: book.spent.iter().cloned().collect(),
            hits: book.hits.clone(),
        }
    }
}

fn push_spent(spent: &mut VecDeque<Fault>, fault: Fault) {
    if spent.len() == MAX_SPENT {
        spent.pop_front();
    }
    spent.push_back(fault);
}

fn check(spec: &FaultSpec) -> Result<(), String> {
    let kind = spec.kind;
    if kind.lasts() && spec.count.is_some_and(|count| count > 0) {
        return Err("count: this kind lasts until it is removed; leave count out".to_owned());
    }
    if kind == FaultKind::HaltSymbol && spec.symbol.is_none() {
        return Err("symbol: halt_symbol needs one".to_owned());
    }
    if kind != FaultKind::HaltSymbol && spec.status.is_some() {
        return Err("status: only halt_symbol takes one".to_owned());
    }
    let ms = spec.ms.unwrap_or(0);
    if kind == FaultKind::ClockSkew && (ms == 0 || ms.abs() > 86_400_000) {
        return Err(format!("ms = {ms}: clock_skew needs -86400000 to 86400000 and not 0"));
    }
    if kind != FaultKind::ClockSkew && !(0..=600_000).contains(&ms) {
        return Err(format!("ms = {ms}: must be 0 to 600000"));
    }
    Ok(())
}

fn hits_request(spec: &FaultSpec, target: Target<'_>) -> bool {
    let path_fits = match (&spec.path, spec.kind.is_about_any_request()) {
        (Some(path), _) => path == "*" || path == target.path,
        (None, true) => true,
        (None, false) => {
            let usual = if spec.kind == FaultKind::HideOrder {
                "GET"
            } else {
                "POST"
            };
            spec.kind.lasts() || (target.path == ORDER_PATH && (spec.method.is_some() || target.method == usual))
        }
    };
    let method_fits = spec
        .method
        .as_deref()
        .is_none_or(|method| method.eq_ignore_ascii_case(target.method));
    let symbol_fits = spec
        .symbol
        .as_deref()
        .is_none_or(|symbol| Some(symbol) == target.symbol);
    path_fits && method_fits && symbol_fits
}

fn hits_event(spec: &FaultSpec, event: &AccountEvent) -> bool {
    let (name, execution, symbol) = match event {
        AccountEvent::Execution { order, what, .. } => {
            ("executionReport", Some(what.as_str()), Some(order.symbol.as_str()))
        }
        AccountEvent::Position { .. } => ("outboundAccountPosition", None, None),
        AccountEvent::Transfer { .. } => ("balanceUpdate", None, None),
        AccountEvent::ExternalLock { .. } => ("externalLockUpdate", None, None),
    };
    let event_fits = spec
        .event
        .as_deref()
        .is_none_or(|wanted| wanted == name || Some(wanted) == execution);
    let symbol_fits = spec.symbol.as_deref().is_none_or(|wanted| Some(wanted) == symbol);
    event_fits && symbol_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> FaultSpec {
        serde_json::from_str(json).unwrap()
    }

    const ORDER: Target<'_> = Target {
        method: "POST",
        path: "/api/v3/order",
        symbol: Some("BTCUSDT"),
    };

    #[test]
    fn a_fault_hits_as_often_as_ordered_and_counts_it() {
        let faults = Faults::default();
        faults.add(spec(r#"{"kind":"error_503_after","count":2}"#)).unwrap();
        assert!(
            faults
                .strike(
                    FaultKind::Error503After,
                    Target {
                        path: "/api/v3/time",
                        ..ORDER
                    }
                )
                .is_none()
        );
        assert!(
            faults
                .strike(FaultKind::Error503After, Target { method: "GET", ..ORDER })
                .is_none()
        );
        assert!(faults.strike(FaultKind::Error503Before, ORDER).is_none());
        assert_eq!(
            faults.strike(FaultKind::Error503After, ORDER).unwrap().remaining,
            Some(1)
        );
        assert_eq!(faults.strike(FaultKind::Error503After, ORDER).unwrap().hits, 2);
        assert!(faults.strike(FaultKind::Error503After, ORDER).is_none());
        let report = faults.report();
        assert_eq!(
            (
                report.active.len(),
                report.spent.len(),
                report.hits[&FaultKind::Error503After]
            ),
            (0, 1, 2)
        );
    }

    #[test]
    fn a_bad_fault_names_its_field() {
        let faults = Faults::default();
        assert!(
            faults
                .add(spec(r#"{"kind":"latency","ms":-5}"#))
                .unwrap_err()
                .contains("ms = -5")
        );
        assert!(
            faults
                .add(spec(r#"{"kind":"halt_symbol"}"#))
                .unwrap_err()
                .contains("symbol")
        );
        assert!(
            faults
                .add(spec(r#"{"kind":"clock_skew","ms":5,"count":2}"#))
                .unwrap_err()
                .contains("count")
        );
        assert!(serde_json::from_str::<FaultSpec>(r#"{"kind":"latency","mss":5}"#).is_err());
        assert!(serde_json::from_str::<FaultSpec>(r#"{"kind":"earthquake"}"#).is_err());
    }
}
