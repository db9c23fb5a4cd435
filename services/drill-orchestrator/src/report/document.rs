use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::StepRecord;
use crate::domain::{Evidence, Judgement, RollbackOutcome, Value, Verdict};

/// Grows when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema_version: u32,
    pub run_id: String,
    pub verdict: Verdict,
    /// ISO 8601, UTC, milliseconds; so is every time here.
    pub started_at: String,
    pub ended_at: String,
    pub duration_ms: i64,
    /// Why the run was started.
    pub reason: String,
    /// What a reader must know before the verdict: why it was aborted, what was left out.
    pub note: String,
    pub environment: EnvironmentInfo,
    pub drills: Vec<DrillReport>,
    pub reconciliation: Reconciliation,
    pub measurements: Vec<Measurement>,
    pub rollback: RollbackReport,
    pub form: Form,
}

/// What the drills ran against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// `local`: an environment of the run's own.
    pub target: String,
    /// What stood for the exchange, as the gateway names it: sim, testnet or live.
    pub exchange: String,
    pub exchange_base_url: String,
    pub seed: i64,
    /// Service name to version.
    pub service_versions: BTreeMap<String, String>,
    /// Who took the alerts: telegram, standin or none.
    pub receiver: String,
    pub data_dir: String,
    /// False when the folder was removed at the end.
    pub data_dir_kept: bool,
    /// What stood in for the real thing, in sentences.
    pub stand_ins: Vec<String>,
    /// Damage that was asked for, service to failpoints; empty in an honest run.
    pub failpoints: BTreeMap<String, String>,
    /// Hash of the runbook whose commands were executed.
    pub runbook_sha256: String,
}

/// One drill's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    pub id: String,
    pub title: String,
    pub short_title: String,
    pub objective: String,
    pub verdict: Verdict,
    pub started_at: String,
    pub ended_at: String,
    pub duration_ms: i64,
    pub steps: Vec<StepRecord>,
    pub criteria: Vec<Criterion>,
}

/// A criterion and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CriterionWire", into = "CriterionWire")]
pub struct Criterion {
    id: String,
    objective: String,
    unit: String,
    form: String,
    judgement: Judged,
    evidence: Vec<Evidence>,
}

#[derive(Debug, Clone, PartialEq)]
enum Judged {
    Measured {
        verdict: MeasuredVerdict,
        value: Value,
        why: String,
    },
    Unmeasured {
        verdict: UnmeasuredVerdict,
        why: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MeasuredVerdict {
    Pass,
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnmeasuredVerdict {
    Inconclusive,
    Aborted,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CriterionWire {
    id: String,
    verdict: Verdict,
    objective: String,
    measured: Option<Value>,
    unit: String,
    /// Why it is not PASS.
    why: String,
    /// The paper form's line that it belongs to.
    form: String,
    evidence: Vec<Evidence>,
}

impl Criterion {
    /// A criterion that was judged, or for which the run says why not.
    pub fn judged(
        definition: &crate::domain::CriterionDefinition,
        judgement: &Judgement,
        evidence: Vec<Evidence>,
    ) -> Self {
        let why = judgement.why().to_owned();
        let judged = match judgement {
            Judgement::Pass(measured) => Judged::Measured {
                verdict: MeasuredVerdict::Pass,
                value: measured.value().clone(),
                why,
            },
            Judgement::Fail(measured, _) => Judged::Measured {
                verdict: MeasuredVerdict::Fail,
                value: measured.value().clone(),
                why,
            },
            Judgement::Inconclusive(_) => Judged::Unmeasured {
                verdict: UnmeasuredVerdict::Inconclusive,
                why,
            },
        };
        Self::made(definition, judged, evidence)
    }

    /// A criterion that the run did not come to, because it was stopped.
    pub fn aborted(definition: &crate::domain::CriterionDefinition, why: &str) -> Self {
        let judged = Judged::Unmeasured {
            verdict: UnmeasuredVerdict::Aborted,
            why: why.to_owned(),
        };
        Self::made(definition, judged, Vec::new())
    }

    fn made(definition: &crate::domain::CriterionDefinition, judgement: Judged, evidence: Vec<Evidence>) -> Self {
        Self {
            id: definition.id.clone(),
            objective: definition.objective.clone(),
            unit: definition.unit.clone(),
            form: definition.form.clone(),
            judgement,
            evidence,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn objective(&self) -> &str {
        &self.objective
    }

    pub fn unit(&self) -> &str {
        &self.unit
    }

    pub fn form(&self) -> &str {
        &self.form
    }

    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    pub fn verdict(&self) -> Verdict {
        match &self.judgement {
            Judged::Measured {
                verdict: MeasuredVerdict::Pass,
                ..
            } => Verdict::Pass,
            Judged::Measured {
                verdict: MeasuredVerdict::Fail,
                ..
            } => Verdict::Fail,
            Judged::Unmeasured {
                verdict: UnmeasuredVerdict::Inconclusive,
                ..
            } => Verdict::Inconclusive,
            Judged::Unmeasured {
                verdict: UnmeasuredVerdict::Aborted,
                ..
            } => Verdict::Aborted,
        }
    }

    /// The measured value; None exactly when the verdict is INCONCLUSIVE or ABORTED.
    pub fn measured(&self) -> Option<&Value> {
        match &self.judgement {
            Judged::Measured { value, .. } => Some(value),
            Judged::Unmeasured { .. } => None,
        }
    }

    /// The measured value without its unit, or a dash.
    pub fn measured_text(&self) -> String {
        self.measured().map_or_else(|| "—".to_owned(), ToString::to_string)
    }

    /// The measured value with its unit, or a dash.
    pub fn measured_with_unit(&self) -> String {
        let unit = if self.measured().is_some() {
            self.unit.as_str()
        } else {
            ""
        };
        format!("{} {unit}", self.measured_text()).trim_end().to_owned()
    }

    /// Why it is not PASS; empty when it is.
    pub fn why(&self) -> &str {
        match &self.judgement {
            Judged::Measured { why, .. } | Judged::Unmeasured { why, .. } => why,
        }
    }
}

impl From<Criterion> for CriterionWire {
    fn from(criterion: Criterion) -> Self {
        Self {
            verdict: criterion.verdict(),
            measured: criterion.measured().cloned(),
            why: criterion.why().to_owned(),
            id: criterion.id,
            objective: criterion.objective,
            unit: criterion.unit,
            form: criterion.form,
            evidence: criterion.evidence,
        }
    }
}

impl TryFrom<CriterionWire> for Criterion {
    type Error = String;

    fn try_from(wire: CriterionWire) -> Result<Self, String> {
        let CriterionWire { why, .. } = wire.clone();
        let judgement = match (wire.verdict, wire.measured) {
            (Verdict::Pass, Some(value)) => Judged::Measured {
                verdict: MeasuredVerdict::Pass,
                value,
                why,
            },
            (Verdict::Fail, Some(value)) => Judged::Measured {
                verdict: MeasuredVerdict::Fail,
                value,
                why,
            },
            (Verdict::Inconclusive, None) => Judged::Unmeasured {
                verdict: UnmeasuredVerdict::Inconclusive,
                why,
            },
            (Verdict::Aborted, None) => Judged::Unmeasured {
                verdict: UnmeasuredVerdict::Aborted,
                why,
            },
            (Verdict::Pass | Verdict::Fail, None) => {
                return Err(format!(
                    "criterion {} is {} without a measured value",
                    wire.id, wire.verdict
                ));
            }
            (Verdict::Inconclusive | Verdict::Aborted, Some(_)) => {
                return Err(format!(
                    "criterion {} is {} although it was measured",
                    wire.id, wire.verdict
                ));
            }
        };
        let CriterionWire {
            id,
            objective,
            unit,
            form,
            evidence,
            ..
        } = wire;
        Ok(Self {
            id,
            objective,
            unit,
            form,
            judgement,
            evidence,
        })
    }
}

/// Every reconciliation of the run, and their sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    pub runs: Vec<ReconciliationRun>,
    pub discrepancies_found: i64,
    pub discrepancies_repaired: i64,
    /// Verdict of the last one; empty when there was none.
    pub final_verdict: String,
}

/// One reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationRun {
    pub drill: String,
    pub step: String,
    pub at: String,
    pub duration_ms: i64,
    pub repairing: bool,
    /// CLEAN, DISCREPANCIES or UNDETERMINED.
    pub verdict: String,
    pub undetermined_reason: String,
    pub fills_compared: i64,
    pub open_orders_compared: i64,
    pub book_revision: i64,
    pub discrepancies: Vec<DiscrepancyRow>,
    pub balances: Vec<BalanceRow>,
    pub positions: Vec<PositionRow>,
}

/// A difference, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscrepancyRow {
    pub class: String,
    pub symbol: String,
    pub asset: String,
    pub local: String,
    pub exchange: String,
    pub difference: String,
    pub cause: String,
    pub proposed_repair: String,
    pub repaired: bool,
    pub repair_result: String,
}

/// A balance as expected and as it is. Decimals are strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceRow {
    pub asset: String,
    pub baseline: String,
    pub fills: String,
    pub expected: String,
    pub exchange: String,
    pub difference: String,
}

/// A position by the book and by the exchange. Decimals are strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRow {
    pub symbol: String,
    pub book: String,
    pub exchange: String,
    pub difference: String,
}

/// A number of the run beyond the criteria.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Dotted, such as `recovery_time.risk`.
    pub name: String,
    pub value: Value,
    pub unit: String,
    pub detail: String,
}

/// The rollback of the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackReport {
    pub outcome: RollbackOutcome,
    pub steps: Vec<StepRecord>,
    pub detail: String,
}

/// What the paper form asks of people; taken from the configuration where it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    pub frequency: String,
    pub contacts: Vec<Contact>,
}

/// A row of the form's appendix; empty cells are left for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub role: String,
    pub name: String,
    pub contact: String,
    pub notes: String,
}

impl Report {
    /// The drill of that id.
    pub fn drill(&self, id: &str) -> Option<&DrillReport> {
        self.drills.iter().find(|drill| drill.id == id)
    }

    /// The measurement of that name.
    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.name == name)
    }
}

impl DrillReport {
    /// The criterion of that id.
    pub fn criterion(&self, id: &str) -> Option<&Criterion> {
        self.criteria.iter().find(|criterion| criterion.id() == id)
    }
}

impl Reconciliation {
    /// Adds a reconciliation and keeps the sums; a difference that several runs found counts once.
    pub fn add(&mut self, run: ReconciliationRun) {
        self.final_verdict.clone_from(&run.verdict);
        self.runs.push(run);
        let distinct = |repaired_only: bool| {
            let rows = self
                .runs
                .iter()
                .flat_map(|run| &run.discrepancies)
                .filter(|row| row.repaired || !repaired_only);
            let keys: BTreeSet<_> = rows
                .map(|row| (&row.class, &row.symbol, &row.asset, &row.exchange, &row.difference))
                .collect();
            i64::try_from(keys.len()).unwrap_or(i64::MAX)
        };
        (self.discrepancies_found, self.discrepancies_repaired) = (distinct(false), distinct(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CriterionDefinition, Measured};

    fn definition() -> CriterionDefinition {
        let text = |t: &str| t.to_owned();
        CriterionDefinition {
            id: text("t1.x"),
            objective: text("o"),
            unit: text("s"),
            form: String::new(),
        }
    }

    #[test]
    fn p11_a_pass_without_a_measurement_cannot_even_be_read() {
        let open = Criterion::judged(&definition(), &Judgement::inconclusive("no probe"), Vec::new());
        let mut json = serde_json::to_value(&open).expect("json");
        assert_eq!(json["verdict"], "INCONCLUSIVE");
        assert_eq!(json["measured"], serde_json::Value::Null);
        for forged in ["PASS", "FAIL"] {
            json["verdict"] = forged.into();
            let error = serde_json::from_value::<Criterion>(json.clone()).expect_err("forged");
            assert!(error.to_string().contains("without a measured value"), "{error}");
        }
    }

    #[test]
    fn a_criterion_survives_the_way_through_json() {
        let passed = Criterion::judged(&definition(), &Judgement::Pass(Measured::seconds(4321)), Vec::new());
        let text = serde_json::to_string(&passed).expect("json");
        assert!(text.contains("\"measured\":4.321"), "{text}");
        let back: Criterion = serde_json::from_str(&text).expect("reads");
        assert_eq!(back, passed);
        assert_eq!(back.measured_with_unit(), "4.321 s");
        assert_eq!(Criterion::aborted(&definition(), "stopped").verdict(), Verdict::Aborted);
    }
}
