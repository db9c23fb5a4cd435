use std::time::Duration;

use serde::Deserialize;
use thunes_runtime::clock;

use super::follow::{Followed, follow};
use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Runbook, Value};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::shown_code;
use crate::error::ActionError;

/// The runbook of this build, so that the drill follows it wherever the binary is.
pub const RUNBOOK: &str = include_str!("../../../../docs/OPERATIONAL-RUNBOOK.md");

/// Executes the runbook's marked commands as they are written, and compares their output with what it promises.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowRunbook {
    /// Which marker: `t2` stands for `<!-- drill:t2 -->`.
    blocks: String,
    within_ms: u64,
}

action!(
    FollowRunbook,
    "follow_runbook",
    ["followed", "as_documented", "in_time"],
    "Executes marked blocks of docs/OPERATIONAL-RUNBOOK.md: through bash -eu, or command by command where there is no shell."
);

impl FollowRunbook {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let runbook = Runbook::new(RUNBOOK);
        let blocks = runbook.blocks(&self.blocks);
        if blocks.is_empty() {
            return Err(ActionError::NotMet(format!(
                "the runbook has no block marked `<!-- drill:{} -->`",
                self.blocks
            )));
        }
        let (begun, total, sha256) = (clock::instant(), blocks.len(), runbook.sha256());
        let mut done = Vec::new();
        for (block, number) in blocks.into_iter().zip(1..) {
            let left = Duration::from_millis(self.within_ms).saturating_sub(begun.elapsed());
            let followed = follow(context, block, number, left).await?;
            let failed = followed.outcome.code != Some(0);
            if followed.block.commands.contains("thunes reconcile") {
                // The runbook says that it goes on only when this is clean.
                context
                    .commands
                    .push((0, followed.outcome.code, followed.evidence.clone()));
            }
            done.push(followed);
            if failed {
                break;
            }
        }
        let took_ms = clock::elapsed_ms(begun);
        context.measure(
            "runbook_procedure",
            Value::seconds(took_ms),
            "s",
            format!("{} blocks", done.len()),
        );
        Ok(self.judge(&done, total, took_ms, &sha256))
    }

    fn judge(&self, done: &[Followed], total: usize, took_ms: i64, sha256: &str) -> Outcome {
        let commands: usize = done.iter().map(|followed| followed.commands).sum();
        let failed: Vec<String> = done
            .iter()
            .filter(|followed| followed.outcome.code != Some(0))
            .map(|followed| {
                format!(
                    "\"{}\" ended with {}",
                    followed.block.section,
                    shown_code(followed.outcome.code)
                )
            })
            .collect();
        let mut deviations: Vec<String> = failed.clone();
        if done.len() < total {
            deviations.push(format!("{} of {total} blocks were not executed", total - done.len()));
        }
        for followed in done {
            let missing = followed.block.missing_in(&followed.outcome.stdout);
            deviations.extend(
                missing
                    .iter()
                    .map(|line| format!("\"{}\" does not print {line:?}", followed.block.section)),
            );
        }
        let promised: usize = done.iter().map(|followed| followed.block.expected.len()).sum();
        let said = format!(
            "{} of {total} blocks, {commands} commands, {} failed",
            done.len(),
            failed.len()
        );
        let by = done.first().map_or("nothing was executed", |followed| followed.by);
        let source = format!(
            "docs/OPERATIONAL-RUNBOOK.md, sha256 {sha256}; {by}; {promised} promised lines were looked for in the output"
        );
        let mut evidence = vec![Evidence::new(EvidenceKind::Note, "what was followed", source)];
        evidence.extend(done.iter().map(|followed| followed.evidence.clone()));
        let deviating = i64::try_from(deviations.len()).unwrap_or(i64::MAX);
        let in_time = u64::try_from(took_ms).is_ok_and(|took| took < self.within_ms);
        Outcome::did(said.clone())
            .finding(
                "followed",
                Judgement::of_text(said, failed.is_empty() && done.len() == total, failed.join("; ")),
                evidence,
            )
            .finding(
                "as_documented",
                Judgement::of(Measured::count(deviating), deviating == 0, deviations.join("; ")),
                Vec::new(),
            )
            .finding(
                "in_time",
                Judgement::of(Measured::seconds(took_ms), in_time, "slower than the runbook allows"),
                Vec::new(),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runbook_has_commands_for_the_drills_that_execute_it() {
        let runbook = Runbook::new(RUNBOOK);
        let deactivation = runbook.blocks("t2");
        assert!(!deactivation.is_empty(), "T2 has nothing to follow");
        let text: String = deactivation.iter().map(|block| block.commands.as_str()).collect();
        assert!(
            text.contains("thunes kill-switch deactivate --reason \"DRILL: Manual deactivation test\""),
            "{text}"
        );
        assert!(
            deactivation.iter().any(|block| !block.expected.is_empty()),
            "no output is promised"
        );
        assert!(!runbook.blocks("t4").is_empty(), "the reconciliation is not documented");
    }
}
