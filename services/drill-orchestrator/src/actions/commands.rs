use std::time::Duration;

use serde::Deserialize;
use thunes_supervisor::embedded::Service;

use super::runbook::RUNBOOK;
use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Runbook};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Command, shown_code};
use crate::error::ActionError;

const WITHIN: Duration = Duration::from_secs(60);

/// `thunes reconcile`, as a script would run it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReconcileCommand {
    /// 0 clean, 1 discrepancies, 2 undetermined.
    expect_exit: i32,
    /// Run it while position is down, so that nothing can be determined.
    #[serde(default)]
    without_position: bool,
    /// Let it repair.
    #[serde(default)]
    repair: bool,
}

action!(
    ReconcileCommand,
    "reconcile_command",
    [],
    "Runs `thunes reconcile` and keeps its exit code."
);

impl ReconcileCommand {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        if self.without_position {
            context.targets().kill(Service::Position).await?;
        }
        let args: &[&str] = if self.repair {
            &["reconcile", "--repair"]
        } else {
            &["reconcile"]
        };
        let terminal = context.environment.place.terminal();
        let outcome = Command::new(&terminal, "thunes", args).run(WITHIN).await;
        if self.without_position {
            context.targets().start(Service::Position).await?;
        }
        let outcome = outcome?;
        let said = format!(
            "`{}` ended with {}, expected {}",
            outcome.shown,
            shown_code(outcome.code),
            self.expect_exit
        );
        let evidence = Evidence::new(EvidenceKind::Command, said.clone(), outcome.describe());
        context.commands.push((self.expect_exit, outcome.code, evidence));
        Ok(Outcome::did(said))
    }
}

/// The reconciliation exists as a command whose exit codes mean what the runbook says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeScript {
    /// The runbook's marker of the procedure.
    blocks: String,
}

action!(
    JudgeScript,
    "judge_script",
    ["exists"],
    "Judges the exit codes of `thunes reconcile` and its documentation."
);

impl JudgeScript {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let runs = std::mem::take(&mut context.commands);
        let tried = |code| runs.iter().any(|(expected, _, _)| *expected == code);
        if ![0, 1, 2].into_iter().all(tried) {
            return Err(ActionError::NotMet("not every exit code was tried".to_owned()));
        }
        let runbook = Runbook::new(RUNBOOK);
        let blocks = runbook.blocks(&self.blocks);
        let mut wrong: Vec<String> = runs
            .iter()
            .filter(|(expected, code, _)| *code != Some(*expected))
            .map(|(expected, code, _)| format!("expected exit code {expected}, got {}", shown_code(*code)))
            .collect();
        if !blocks.iter().any(|block| block.commands.contains("thunes reconcile")) {
            wrong.push("the runbook does not document `thunes reconcile`".to_owned());
        }
        let codes: Vec<_> = runs
            .iter()
            .map(|(_, code, _)| code.map_or("signal".to_owned(), |code| code.to_string()))
            .collect();
        let said = format!(
            "exit codes {} in {} runs; {} documented blocks",
            codes.join(", "),
            runs.len(),
            blocks.len()
        );
        let mut evidence: Vec<_> = runs.into_iter().map(|(_, _, evidence)| evidence).collect();
        let documented: Vec<_> = blocks
            .iter()
            .map(|block| format!("## {}\n{}", block.section, block.commands))
            .collect();
        evidence.push(Evidence::new(
            EvidenceKind::Note,
            "as the runbook has it",
            documented.join("\n"),
        ));
        Ok(Outcome::did(said.clone()).finding(
            "exists",
            Judgement::of_text(said, wrong.is_empty(), wrong.join("; ")),
            evidence,
        ))
    }
}
