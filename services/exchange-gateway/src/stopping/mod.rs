//! Carrying out halts that cancel or flatten. Risk repeats every halt with each answer to a renewal, and the journal
//! holds what was begun: so the work goes on after either of them was killed. It ends when the halt ends.

mod cancel;
mod flatten;
mod run;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use thunes_proto::risk::v1 as pb;
use thunes_proto::risk::v1::{Stop, StopState};
use thunes_types::{FieldError, HaltLevel, Scope};
use tokio_util::sync::CancellationToken;

use crate::domain::stop_plan::Net;
use crate::engine::Engine;

pub(crate) use run::run_stops;

/// Most names in one list of a report.
const NAMED_MAX: usize = 500;

/// A halt as risk tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HaltOrder {
    pub scope: Scope,
    pub level: HaltLevel,
    pub epoch: i64,
}

impl HaltOrder {
    /// Reads one from the wire.
    ///
    /// # Errors
    /// When it names no scope or level.
    pub(crate) fn read(order: &pb::HaltOrder) -> Result<Self, FieldError> {
        Ok(Self {
            scope: thunes_proto::scope_from_wire(order.scope.as_ref())?,
            level: thunes_proto::level_from_wire(order.level)?,
            epoch: order.epoch,
        })
    }
}

/// One halt that is being carried out; what is not in the journal is learnt again after a restart.
#[derive(Debug)]
struct Job {
    halt: HaltOrder,
    /// Canceled when the halt holds no more: nothing is to be sent for it then.
    over: CancellationToken,
    rounds: u32,
    ledger: Ledger,
    /// By symbol: sales that failed one after the other.
    failures: HashMap<String, Failures>,
    /// When the exchange's rules were read for a symbol that does not trade.
    rules_read_at: Option<Instant>,
}

/// Sales of a symbol that failed since one went well.
#[derive(Debug)]
struct Failures {
    count: u32,
    reason: String,
    /// The exchange's filters refuse so little.
    dust: bool,
    try_again_at: Instant,
}

/// What all fills up to one left, by symbol.
#[derive(Debug, Default)]
struct Ledger {
    last_id: i64,
    nets: BTreeMap<String, (String, Net)>,
}

/// What one round found.
#[derive(Debug, Default)]
struct Round {
    open_orders: Vec<pb::StopOrder>,
    rest: Vec<pb::StopRest>,
    /// Something is on its way, or will be tried again soon.
    going_on: bool,
    /// Something is left that is not dust.
    left: bool,
}

impl Round {
    fn state(&self) -> StopState {
        if self.going_on || !self.open_orders.is_empty() {
            StopState::Running
        } else if self.left {
            StopState::Incomplete
        } else {
            StopState::Done
        }
    }
}

impl Engine {
    /// What risk gets with each renewal.
    pub(crate) fn stops_for_risk(&self) -> Vec<pb::StopReport> {
        let report = |(halt_epoch, stop): (&i64, &Stop)| pb::StopReport {
            halt_epoch: *halt_epoch,
            stop: Some(stop.clone()),
        };
        self.with_stops(|stops| stops.iter().map(report).collect())
    }

    /// Keeps a report and lets risk know, if it is news.
    fn tell_stop(&self, halt_epoch: i64, stop: Option<Stop>) {
        let news = self.with_stops(|stops| match stop {
            Some(stop) if stops.get(&halt_epoch) == Some(&stop) => false,
            Some(stop) => {
                stops.insert(halt_epoch, stop);
                true
            }
            None => stops.remove(&halt_epoch).is_some(),
        });
        if news {
            self.stop_news.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // Wakes the stream to risk.
            self.with_gate(|_| ());
        }
    }
}
