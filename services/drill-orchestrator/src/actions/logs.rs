use serde::Deserialize;

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured};
use crate::engine::{ActionResult, Context, Outcome};
use crate::error::ActionError;

/// What the services logged since the trader was started: no panic, no error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeLogs {
    /// Lines that hold one of these are expected.
    #[serde(default)]
    expected: Vec<String>,
}

action!(
    JudgeLogs,
    "judge_logs",
    ["clean"],
    "Reads every service's log for panics and errors."
);

impl JudgeLogs {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        if context.crash.log_starts.is_empty() {
            return Err(ActionError::NotMet(
                "no trader was started, so no log has a beginning".to_owned(),
            ));
        }
        let (mut bad, mut lines, mut recovered) = (Vec::new(), 0, Vec::new());
        for (&service, &mark) in &context.crash.log_starts {
            let text = context.targets().logs_since(service, mark).await?;
            lines += text.lines().count();
            bad.extend(
                text.lines()
                    .filter(|line| self.is_bad(line))
                    .map(|line| format!("{service}: {line}")),
            );
            recovered.extend(
                text.lines()
                    .filter(|line| tells_of_recovery(line))
                    .map(|line| format!("{service}: {line}")),
            );
        }
        let count = i64::try_from(bad.len()).unwrap_or(i64::MAX);
        let first = bad.first().cloned().unwrap_or_default();
        let evidence = vec![
            Evidence::new(
                EvidenceKind::Log,
                "errors and panics",
                if bad.is_empty() {
                    "none".to_owned()
                } else {
                    bad.join("\n")
                },
            ),
            Evidence::new(
                EvidenceKind::Log,
                "what the services said of their recovery",
                recovered.join("\n"),
            ),
        ];
        let judgement = Judgement::of(Measured::count(count), count == 0, format!("the first: {first}"));
        Ok(Outcome::did(format!("{lines} lines, {count} of them errors")).finding("clean", judgement, evidence))
    }

    fn is_bad(&self, line: &str) -> bool {
        let expected = self.expected.iter().any(|part| line.contains(part.as_str()));
        (is_error(line) || line.contains("panicked at")) && !expected
    }
}

/// By its level, in text (`TIME LEVEL message`) and in JSON.
fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR") || line.contains("\"level\":\"ERROR\"")
}

fn tells_of_recovery(line: &str) -> bool {
    let lower = line.to_lowercase();
    ["recover", "restor", "resum", "in doubt", "resolved", "quarantin"]
        .iter()
        .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_known_by_their_level_and_not_by_their_words() {
        let judge = JudgeLogs {
            expected: vec!["KILL SWITCH ACTIVATED".into()],
        };
        let bad = [
            "2026-11-24T06:11:34.123Z ERROR disk is full",
            "{\"timestamp\":\"x\",\"level\":\"ERROR\",\"message\":\"y\"}",
            "thread 'main' panicked at src/main.rs:1:1:",
        ];
        let good = [
            "2026-11-24T06:11:34.123Z  INFO no ERROR here",
            "2026-11-24T06:11:34.123Z ERROR 🚨 KILL SWITCH ACTIVATED: daily loss",
            "2026-11-24T06:11:34.123Z  WARN audit events wait in the outbox",
        ];
        assert!(bad.iter().all(|line| judge.is_bad(line)));
        assert!(!good.iter().any(|line| judge.is_bad(line)));
    }
}
