use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thunes_proto::gateway::v1::{Order, ReconcileResponse, ReconcileVerdict};
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_supervisor::{LogMark, Target, Targets};

use crate::domain::{AuditTrail, Evidence, Holding, SimLedger, Value, fold_fills};
use crate::environment::{Clients, Drilled, LinkState, SimAdmin};
use crate::error::ActionError;
use crate::journal::Found;
use crate::report::{BalanceRow, DiscrepancyRow, Measurement, PositionRow, Reconciliation, ReconciliationRun};

/// What the steps of a run share: the environment, and what earlier steps learned.
#[derive(Debug)]
pub struct Context {
    pub environment: Drilled,
    pub run_id: String,
    pub found: Found,
    /// Which drill and step are running; for what is recorded on the way.
    pub drill_id: String,
    pub step_name: String,
    pub measurements: Vec<Measurement>,
    pub reconciliation: Reconciliation,
    /// Size of the audit trail before the run's first event.
    pub trail_from: u64,
    /// Audit events that were acknowledged to the drill: sequence number and leaf hash.
    pub audit_acks: Vec<(i64, String)>,
    pub switched_on: Option<SwitchedOn>,
    pub trade_loop: Option<TradeLoop>,
    pub crash: CrashState,
    pub external_trades: Vec<ExternalTrade>,
    pub cut: CutState,
    /// Commands that were run for their exit codes: expected, got, evidence.
    pub commands: Vec<(i32, Option<i32>, Evidence)>,
}

/// The drill's own activation of the switch.
#[derive(Debug, Clone)]
pub struct SwitchedOn {
    pub reason: String,
    /// Wall clock, before it was asked for.
    pub begun_at_ms: i64,
    /// Wall clock, when the answer was here: from now on nothing may open.
    pub answered_at_ms: i64,
}

/// `thunes trade loop`, with orders in flight.
#[derive(Debug)]
pub struct TradeLoop {
    pub target: Target,
    pub acks_file: PathBuf,
}

/// A trade that was made at the exchange, past the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalTrade {
    pub symbol: String,
    pub trade_id: i64,
}

/// What the crash steps gather and the verdict steps judge.
#[derive(Debug, Default)]
pub struct CrashState {
    /// Fills that position had acknowledged before some kill.
    pub acknowledged_fills: std::collections::BTreeSet<(String, i64)>,
    pub kills: Vec<Kill>,
    /// For each kill: the milliseconds until every order was known again, measured beside the steps.
    pub resolutions: Vec<(String, tokio::task::JoinHandle<Result<i64, ActionError>>)>,
    /// The end of each log before the first kill; what comes later is judged.
    pub log_starts: BTreeMap<Service, LogMark>,
}

/// What the network steps gather and the verdict steps judge.
#[derive(Debug, Default)]
pub struct CutState {
    /// When the present fault took hold, by the wall clock.
    pub since_ms: i64,
    /// Just before it was ended, and when it was.
    pub mend_begun_ms: i64,
    pub mended_at_ms: i64,
    /// The links that were made faulty.
    pub links: Vec<String>,
    /// The links before it, to count what it hit.
    pub before: Vec<LinkState>,
    /// The service that was cut off from everything.
    pub isolated: Option<Service>,
    /// When the first BUY was denied under it.
    pub denied_since_ms: Option<i64>,
    /// Orders that were sent while it lasted.
    pub orders: Vec<Order>,
    /// The client order id of the order that was in flight when the link was cut.
    pub in_flight: Option<String>,
}

/// One `kill -9` and how its target came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    pub target: String,
    pub killed_at_ms: i64,
    pub exit: String,
    /// None when it did not come back.
    pub recovery_ms: Option<i64>,
    pub trouble: String,
}

impl Context {
    pub fn new(environment: Drilled, run_id: &str, found: Found) -> Self {
        let trail_from = std::fs::metadata(environment.place.audit_file()).map_or(0, |file| file.len());
        Self {
            environment,
            trail_from,
            run_id: run_id.to_owned(),
            found,
            drill_id: String::new(),
            step_name: String::new(),
            measurements: Vec::new(),
            reconciliation: Reconciliation::default(),
            audit_acks: Vec::new(),
            switched_on: None,
            trade_loop: None,
            crash: CrashState::default(),
            external_trades: Vec::new(),
            cut: CutState::default(),
            commands: Vec::new(),
        }
    }

    /// What an earlier drill did must not be judged in this one.
    pub fn begin_drill(&mut self, id: &str) {
        id.clone_into(&mut self.drill_id);
        self.switched_on = None;
        self.cut = CutState::default();
        self.crash = CrashState::default();
        self.external_trades.clear();
        self.commands.clear();
        self.trade_loop = self.trade_loop.take().filter(|trader| trader.target.is_running());
    }

    /// The lines of the audit trail that were written since the run began; an old environment's trail is long.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn trail_of_run(&self) -> Result<AuditTrail, ActionError> {
        let path = self.environment.place.audit_file();
        AuditTrail::read(&path, self.trail_from).map_err(ActionError::io(format!("{} cannot be read", path.display())))
    }

    pub fn clients(&self) -> &Clients {
        &self.environment.clients
    }

    pub fn sim(&self) -> &SimAdmin {
        &self.environment.sim
    }

    pub fn targets(&self) -> &dyn Targets {
        &*self.environment.targets
    }

    /// A folder for what the run itself writes.
    pub fn scratch(&self) -> &Path {
        self.environment.place.scratch()
    }

    /// Keeps a number for the report; a later one of the same name replaces it.
    pub fn measure(&mut self, name: impl Into<String>, value: Value, unit: &str, detail: impl Into<String>) {
        let measurement = Measurement {
            name: name.into(),
            value,
            unit: unit.to_owned(),
            detail: detail.into(),
        };
        self.measurements.retain(|known| known.name != measurement.name);
        self.measurements.push(measurement);
    }

    /// A `client_order_id` that names the run and is used once.
    pub fn new_order_id(&self) -> String {
        let id = uuid::Uuid::new_v4().simple().to_string();
        format!("drill-{}", &id[..24])
    }

    /// The exchange's fold of its own fills since the recorded baseline.
    ///
    /// # Errors
    /// When the baseline cannot be asked for or the fills make no sense.
    pub async fn exchange_holding(&self, ledger: &SimLedger) -> Result<Holding, ActionError> {
        let account = self.clients().gateway_status().await?.account;
        let baseline = self.clients().baseline(&account).await?;
        if !baseline.found {
            return Err(ActionError::NotMet(format!(
                "position has no baseline of account {account}"
            )));
        }
        let cursors = baseline
            .cursors
            .into_iter()
            .map(|cursor| (cursor.symbol, cursor.last_trade_id))
            .collect();
        Ok(fold_fills(&ledger.fills, &cursors)?)
    }

    /// Appends an audit event of the drill's own and keeps audit's acknowledgement.
    ///
    /// # Errors
    /// When audit does not take it.
    pub async fn note_in_audit(
        &mut self,
        event_type: &str,
        reason: &str,
        payload: &serde_json::Value,
    ) -> Result<i64, ActionError> {
        let appended = self
            .environment
            .clients
            .append_event(event_type, reason, payload)
            .await?;
        self.audit_acks.push((appended.seq, appended.leaf_hash));
        Ok(appended.seq)
    }

    /// Keeps a reconciliation for the report.
    pub fn keep_reconciliation(&mut self, answer: &ReconcileResponse, repairing: bool) {
        let text = |text: &String| text.clone();
        let discrepancy = |d: &thunes_proto::gateway::v1::Discrepancy| DiscrepancyRow {
            class: short(d.class().as_str_name(), "DISCREPANCY_CLASS_"),
            symbol: text(&d.symbol),
            asset: text(&d.asset),
            local: text(&d.local_json),
            exchange: text(&d.exchange_json),
            difference: text(&d.difference),
            cause: text(&d.cause),
            proposed_repair: text(&d.proposed_repair),
            repaired: d.repaired,
            repair_result: text(&d.repair_result),
        };
        let balance = |b: &thunes_proto::gateway::v1::BalanceComparison| BalanceRow {
            asset: text(&b.asset),
            baseline: text(&b.baseline),
            fills: text(&b.fills),
            expected: text(&b.expected),
            exchange: text(&b.exchange),
            difference: text(&b.difference),
        };
        let position = |p: &thunes_proto::gateway::v1::PositionComparison| PositionRow {
            symbol: text(&p.symbol),
            book: text(&p.book),
            exchange: text(&p.exchange),
            difference: text(&p.difference),
        };
        self.reconciliation.add(ReconciliationRun {
            drill: self.drill_id.clone(),
            step: self.step_name.clone(),
            at: clock::iso_utc(answer.started_at_ms),
            duration_ms: answer.duration_ms,
            repairing,
            verdict: verdict_name(answer.verdict()),
            undetermined_reason: answer.undetermined_reason.clone(),
            fills_compared: answer.fills_compared,
            open_orders_compared: answer.open_orders_compared,
            book_revision: answer.book_revision,
            discrepancies: answer.discrepancies.iter().map(discrepancy).collect(),
            balances: answer.balances.iter().map(balance).collect(),
            positions: answer.positions.iter().map(position).collect(),
        });
    }
}

/// CLEAN, DISCREPANCIES or UNDETERMINED.
pub fn verdict_name(verdict: ReconcileVerdict) -> String {
    short(verdict.as_str_name(), "RECONCILE_VERDICT_")
}

/// An enum value's name without the prefix that gRPC wants.
pub fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}
