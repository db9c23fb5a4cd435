use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use thunes_proto::gateway::v1::{Order, OrderState};

use crate::output::Facts;
use crate::show;

/// Microseconds; slower answers count as this slow.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Different refusals that are told apart, and how much of each.
const ERRORS_MAX: usize = 10;
const ERROR_CHARS_MAX: usize = 160;

/// What happened so far.
#[derive(Debug)]
pub struct Totals {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    submitted: u64,
    accepted: u64,
    states: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    retries: u64,
    in_doubt: u64,
    unknown: u64,
    latency_us: Histogram<u64>,
}

/// The totals of a run.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub run_id: String,
    pub seed: u64,
    pub duration_ms: u64,
    /// Orders, each counted once however often it was sent.
    pub submitted: u64,
    pub accepted: u64,
    pub states: BTreeMap<String, u64>,
    /// Why orders were denied or rejected.
    pub reasons: BTreeMap<String, u64>,
    /// Refused requests: gRPC code and message.
    pub errors: BTreeMap<String, u64>,
    /// Questions and repetitions after an answer that did not come.
    pub retries: u64,
    /// Orders that were in doubt for a while.
    pub in_doubt: u64,
    /// Orders whose fate is not known at the end.
    pub unknown: u64,
    /// Of orders that were answered at the first asking.
    pub latency_p50_us: u64,
    pub latency_p99_us: u64,
    pub latency_max_us: u64,
}

impl Totals {
    pub fn new() -> Self {
        let latency_us = Histogram::new_with_max(LATENCY_MAX_US, 3).expect("the bounds are constant and valid");
        let counts = Counts {
            submitted: 0,
            accepted: 0,
            states: BTreeMap::new(),
            reasons: BTreeMap::new(),
            errors: BTreeMap::new(),
            retries: 0,
            in_doubt: 0,
            unknown: 0,
            latency_us,
        };
        Self {
            counts: Mutex::new(counts),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begun(&self) {
        self.counts().submitted += 1;
    }

    pub fn retried(&self) {
        self.counts().retries += 1;
    }

    pub fn doubted(&self) {
        self.counts().in_doubt += 1;
    }

    pub fn unknown(&self) {
        self.counts().unknown += 1;
    }

    /// The gateway would not take a request, which is worth reading, not only counting.
    pub fn refused(&self, status: &tonic::Status) {
        let message: String = status.message().chars().take(ERROR_CHARS_MAX).collect();
        let mut counts = self.counts();
        let known = counts.errors.len();
        let error = format!("{:?}: {message}", status.code());
        let error = if known < ERRORS_MAX || counts.errors.contains_key(&error) {
            error
        } else {
            "others".to_owned()
        };
        *counts.errors.entry(error).or_default() += 1;
    }

    /// The last word on one order; `latency` when the first asking was answered.
    pub fn known(&self, order: &Order, accepted: bool, latency: Option<Duration>) {
        let mut counts = self.counts();
        counts.accepted += u64::from(accepted);
        *counts.states.entry(show::state(order.state()).to_owned()).or_default() += 1;
        let refused = match order.state() {
            OrderState::Denied | OrderState::Rejected | OrderState::NeverArrived => true,
            OrderState::Unspecified
            | OrderState::Intent
            | OrderState::InDoubt
            | OrderState::New
            | OrderState::PartiallyFilled
            | OrderState::Filled
            | OrderState::Canceled
            | OrderState::Expired => false,
        };
        if refused {
            *counts.reasons.entry(order.reason_code.clone()).or_default() += 1;
        }
        if let Some(latency) = latency {
            counts
                .latency_us
                .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US));
        }
    }

    /// The totals so far, in one line.
    pub fn line(&self, elapsed: Duration) -> String {
        let counts = self.counts();
        format!(
            "{:>4} s: {} orders, {} accepted, {} denied or rejected, {} refused, {} retries, p50 {}",
            elapsed.as_secs(),
            counts.submitted,
            counts.accepted,
            counts.reasons.values().sum::<u64>(),
            counts.errors.values().sum::<u64>(),
            counts.retries,
            micros(counts.latency_us.value_at_quantile(0.5))
        )
    }

    pub fn summary(&self, run_id: &str, seed: u64, elapsed: Duration) -> Summary {
        let counts = self.counts();
        let at = |quantile| counts.latency_us.value_at_quantile(quantile);
        Summary {
            run_id: run_id.to_owned(),
            seed,
            duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            submitted: counts.submitted,
            accepted: counts.accepted,
            states: counts.states.clone(),
            reasons: counts.reasons.clone(),
            errors: counts.errors.clone(),
            retries: counts.retries,
            in_doubt: counts.in_doubt,
            unknown: counts.unknown,
            latency_p50_us: at(0.5),
            latency_p99_us: at(0.99),
            latency_max_us: counts.latency_us.max(),
        }
    }
}

impl Summary {
    pub fn lines(&self) -> String {
        let list = |map: &BTreeMap<String, u64>| {
            let items: Vec<String> = map.iter().map(|(name, count)| format!("{name} {count}")).collect();
            if items.is_empty() {
                "none".to_owned()
            } else {
                items.join(", ")
            }
        };
        let mut facts = Facts::default();
        facts.add(
            "Run",
            format!("{}, seed {}, {} ms", self.run_id, self.seed, self.duration_ms),
        );
        facts.add("Orders", format!("{}, accepted {}", self.submitted, self.accepted));
        facts.add("States", list(&self.states));
        facts.add("Denied or rejected", list(&self.reasons));
        facts.add("Refused requests", list(&self.errors));
        facts.add("Retries", self.retries.to_string());
        facts.add("In doubt for a while", self.in_doubt.to_string());
        facts.add("Fate unknown", self.unknown.to_string());
        let (p50, p99, max) = (
            micros(self.latency_p50_us),
            micros(self.latency_p99_us),
            micros(self.latency_max_us),
        );
        facts.add("Round trip", format!("p50 {p50}, p99 {p99}, max {max}"));
        facts.render()
    }
}

fn micros(us: u64) -> String {
    show::micros(i64::try_from(us).unwrap_or(i64::MAX))
}
