use std::collections::BTreeMap;

use thunes_runtime::clock;
use thunes_store::StoreError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Context, Outcome, build};
use crate::domain::{
    CriterionDefinition, DrillDefinition, Evidence, Judgement, StepDefinition, combine, drill_verdict,
};
use crate::error::ActionError;
use crate::journal::Journal;
use crate::progress::{Progress, ProgressEvent};
use crate::report::{Criterion, DrillReport, StepRecord};

/// Runs drills one after the other in one environment.
pub struct DrillRunner<'a> {
    pub context: &'a mut Context,
    pub journal: &'a Journal,
    pub progress: Progress,
    pub cancel: CancellationToken,
    /// When the run began; offsets count from here.
    pub run_started: std::time::Instant,
    /// What the drills' own rollbacks did.
    pub rollback_steps: Vec<StepRecord>,
}

/// The end of every run.
const END: [(&str, &str); 7] = [
    ("Start what is down", "restart_what_is_down"),
    ("Mend the network", "mend_network"),
    ("End the trader", "stop_trade_loop"),
    ("Let everything become known", "become_quiet"),
    ("Put the kill-switch back", "restore_kill_switch"),
    ("Cancel open orders", "cancel_open_orders"),
    ("Trade positions back", "close_leftovers"),
];

type Decided = BTreeMap<String, (Judgement, Vec<Evidence>)>;

impl DrillRunner<'_> {
    /// Runs one drill to its end, its rollback included. Stops after the present step when it is cancelled.
    ///
    /// # Errors
    /// When the journal fails: a step that is not written down is not done.
    pub async fn run(&mut self, drill: &DrillDefinition) -> Result<DrillReport, StoreError> {
        let (started_ms, begun) = (clock::now_ms(), clock::instant());
        self.context.begin_drill(&drill.id);
        let (title, steps) = (drill.title.clone(), drill.steps.len());
        self.tell(ProgressEvent::DrillStarted {
            drill: drill.id.clone(),
            title,
            steps,
        });
        let mut records = Vec::new();
        let mut decided = Decided::new();
        let ready = self.prepare(drill, &mut records).await?;
        for (step, number) in drill.steps.iter().zip(1..) {
            if ready.is_err() || self.cancel.is_cancelled() {
                break;
            }
            let (id, name, of) = (drill.id.clone(), step.name.clone(), drill.steps.len());
            self.tell(ProgressEvent::StepStarted {
                drill: id,
                step: name,
                number,
                of,
            });
            let (record, outcome) = self.step(&drill.id, step).await?;
            records.push(record);
            note_findings(step, outcome, &mut decided);
        }
        let stopped = self.cancel.is_cancelled();
        let why_open = match &ready {
            Err(why) => why.clone(),
            Ok(()) => "no step came to it".to_owned(),
        };
        let criteria = self.judge(drill, decided, stopped, &why_open);
        self.roll_back(drill).await?;
        let verdict = drill_verdict(&criteria.iter().map(Criterion::verdict).collect::<Vec<_>>(), stopped);
        let duration_ms = clock::elapsed_ms(begun);
        self.tell(ProgressEvent::DrillEnded {
            drill: drill.id.clone(),
            verdict,
            duration_ms,
        });
        Ok(DrillReport {
            id: drill.id.clone(),
            title: drill.title.clone(),
            short_title: drill.short_title.clone(),
            objective: drill.objective.clone(),
            verdict,
            started_at: clock::iso_utc(started_ms),
            ended_at: clock::iso_utc(clock::now_ms()),
            duration_ms,
            steps: records,
            criteria,
        })
    }

    /// Preconditions and steady state; the first that does not hold keeps every step from running.
    async fn prepare(
        &mut self,
        drill: &DrillDefinition,
        records: &mut Vec<StepRecord>,
    ) -> Result<Result<(), String>, StoreError> {
        for step in drill.preconditions.iter().chain(&drill.steady_state) {
            if self.cancel.is_cancelled() {
                break;
            }
            let (record, outcome) = self.step(&drill.id, step).await?;
            records.push(record);
            if let Err(error) = outcome {
                return Ok(Err(format!("the precondition \"{}\" is not met: {error}", step.name)));
            }
        }
        Ok(Ok(()))
    }

    /// Does one step, written down before and after.
    async fn step(
        &mut self,
        drill: &str,
        step: &StepDefinition,
    ) -> Result<(StepRecord, Result<Outcome, ActionError>), StoreError> {
        self.context.step_name.clone_from(&step.name);
        let run_id = self.context.run_id.clone();
        let ordinal = self
            .journal
            .step_begins(&run_id, drill, &step.name, &step.action)
            .await?;
        let (start_offset_ms, begun) = (clock::elapsed_ms(self.run_started), clock::instant());
        // A trace of its own, by which the report finds what came of the step.
        let span = tracing::info_span!(parent: None, "drill_step", drill, step = %step.name);
        let trace_id = span.in_scope(thunes_runtime::current_trace_id);
        let mut result = match build(&step.action, &step.with) {
            Ok(action) => action.run(self.context).instrument(span).await,
            Err(error) => Err(ActionError::NotMet(format!(
                "{} cannot be built: {error:?}",
                step.action
            ))),
        };
        let evidence = result
            .as_mut()
            .map(|outcome| std::mem::take(&mut outcome.evidence))
            .unwrap_or_default();
        let (outcome, detail) = match &result {
            Ok(done) => ("done", done.detail.clone()),
            Err(error) => ("failed", error.to_string()),
        };
        let duration_ms = clock::elapsed_ms(begun);
        self.journal.step_ends(&run_id, ordinal, outcome, &detail).await?;
        self.tell(ProgressEvent::StepEnded {
            drill: drill.to_owned(),
            step: step.name.clone(),
            outcome: outcome.to_owned(),
            detail: detail.clone(),
            duration_ms,
        });
        let record = StepRecord {
            name: step.name.clone(),
            action: step.action.clone(),
            start_offset_ms,
            duration_ms,
            outcome: outcome.to_owned(),
            detail,
            trace_id,
            trace_url: String::new(),
            audit_events: Vec::new(),
            audit_events_more: 0,
            evidence,
        };
        Ok((record, result))
    }

    fn judge(&self, drill: &DrillDefinition, mut decided: Decided, stopped: bool, why_open: &str) -> Vec<Criterion> {
        let criterion = |definition: &CriterionDefinition| match decided.remove(&definition.id) {
            Some((judgement, evidence)) => Criterion::judged(definition, &judgement, evidence),
            None if stopped => Criterion::aborted(definition, "the run was stopped before it"),
            None => Criterion::judged(definition, &Judgement::inconclusive(why_open), Vec::new()),
        };
        let criteria: Vec<_> = drill.criteria.iter().map(criterion).collect();
        for criterion in &criteria {
            let criterion = Box::new(criterion.clone());
            self.tell(ProgressEvent::CriterionDecided {
                drill: drill.id.clone(),
                criterion,
            });
        }
        criteria
    }

    /// The drill's own rollback: every step is tried, whatever became of the others. Then its steady state again.
    async fn roll_back(&mut self, drill: &DrillDefinition) -> Result<(), StoreError> {
        for step in drill.rollback.iter().chain(&drill.steady_state) {
            self.tell(ProgressEvent::RollingBack {
                what: step.name.clone(),
            });
            let (record, _) = self.step(&drill.id, step).await?;
            self.rollback_steps.push(record);
        }
        Ok(())
    }

    /// What every run ends with, whatever its drills did: everything runs, and is as it was found.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn roll_back_run(&mut self) -> Result<(), StoreError> {
        self.context.drill_id = "end".to_owned();
        for (name, action) in END {
            let step = StepDefinition {
                name: name.to_owned(),
                action: action.to_owned(),
                with: toml::Table::new(),
                decides: BTreeMap::new(),
            };
            self.tell(ProgressEvent::RollingBack { what: name.to_owned() });
            let (record, _) = self.step("end", &step).await?;
            self.rollback_steps.push(record);
        }
        Ok(())
    }

    fn tell(&self, event: ProgressEvent) {
        (self.progress)(&event);
    }
}

/// Ties what a step found out to its criteria; what a failed step should have found out stays unmeasured.
fn note_findings(step: &StepDefinition, outcome: Result<Outcome, ActionError>, decided: &mut Decided) {
    let (mut findings, failed) = match outcome {
        Ok(outcome) => (outcome.findings, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    for (finding, criterion) in &step.decides {
        let at = findings.iter().position(|found| found.name == finding);
        let (judgement, evidence) = match (at, &failed) {
            (Some(at), _) => {
                let found = findings.swap_remove(at);
                (found.judgement, found.evidence)
            }
            (None, Some(why)) => (
                Judgement::inconclusive(format!("the step \"{}\" failed: {why}", step.name)),
                Vec::new(),
            ),
            (None, None) => (
                Judgement::inconclusive(format!("the step \"{}\" did not find it out", step.name)),
                Vec::new(),
            ),
        };
        let combined = match decided.remove(criterion) {
            None => (judgement, evidence),
            Some((before, mut known)) => {
                known.extend(evidence);
                (combine(before, judgement), known)
            }
        };
        decided.insert(criterion.clone(), combined);
    }
}

/// Whether every step of a rollback was done.
pub fn all_done(steps: &[StepRecord]) -> bool {
    steps.iter().all(|step| step.outcome == "done")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Measured, Verdict};

    fn step(decides: &[(&str, &str)]) -> StepDefinition {
        let pairs = decides
            .iter()
            .map(|(finding, criterion)| ((*finding).to_owned(), (*criterion).to_owned()));
        StepDefinition {
            name: "s".into(),
            action: "a".into(),
            with: toml::Table::new(),
            decides: pairs.collect(),
        }
    }

    #[test]
    fn p11_what_a_failed_step_should_decide_is_inconclusive_with_why() {
        let mut decided = Decided::new();
        note_findings(
            &step(&[("held", "c")]),
            Err(ActionError::NotMet("no bash".into())),
            &mut decided,
        );
        assert_eq!(decided["c"].0.verdict(), Verdict::Inconclusive);
        assert!(decided["c"].0.why().contains("no bash"));
    }

    #[test]
    fn p11_a_pass_does_not_heal_what_another_step_could_not_measure() {
        let mut decided = Decided::new();
        note_findings(&step(&[("held", "c")]), Ok(Outcome::did("nothing")), &mut decided);
        let passed = Outcome::did("x").finding("held", Judgement::Pass(Measured::flag(true)), Vec::new());
        note_findings(&step(&[("held", "c")]), Ok(passed), &mut decided);
        assert_eq!(decided["c"].0.verdict(), Verdict::Inconclusive);
    }
}
