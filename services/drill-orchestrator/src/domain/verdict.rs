use serde::{Deserialize, Serialize};

/// What a criterion, a drill or a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    /// Something was not measured: the form's PARTIAL.
    Inconclusive,
    /// Stopped before its end, by a person or by a crash.
    Aborted,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Aborted => "ABORTED",
        }
    }

    /// The exit code of `thunes drill run`; 2 is kept for wrong usage.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 3,
            Self::Aborted => 4,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was measured: a number, a truth or a word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Flag(bool),
    Number(serde_json::Number),
    Text(String),
}

impl Value {
    /// Milliseconds as a number of seconds.
    pub fn seconds(ms: i64) -> Self {
        Self::seconds_us(ms.saturating_mul(1000))
    }

    /// Microseconds as a number of seconds.
    pub fn seconds_us(us: i64) -> Self {
        let sign = if us < 0 { "-" } else { "" };
        let text = format!(
            "{sign}{}.{:06}",
            us.unsigned_abs() / 1_000_000,
            us.unsigned_abs() % 1_000_000
        );
        text.parse().map_or(Self::Text(text), Self::Number)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A value that was really measured; only the constructors make one, and none makes it from nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured(Value);

impl Measured {
    pub fn count(value: i64) -> Self {
        Self(Value::Number(value.into()))
    }

    /// Milliseconds, kept as seconds.
    pub fn seconds(ms: i64) -> Self {
        Self::seconds_us(ms.saturating_mul(1000))
    }

    /// Microseconds, kept as seconds.
    pub fn seconds_us(us: i64) -> Self {
        Self(Value::seconds_us(us))
    }

    pub fn flag(value: bool) -> Self {
        Self(Value::Flag(value))
    }

    /// Text; empty text is no measurement.
    pub fn text(value: impl Into<String>) -> Option<Self> {
        let value = value.into();
        if value.trim().is_empty() {
            None
        } else {
            Some(Self(Value::Text(value)))
        }
    }

    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// A decision on one criterion. PASS and FAIL cannot be had without the measurement that decided them.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    Pass(Measured),
    Fail(Measured, String),
    Inconclusive(String),
}

impl Judgement {
    /// PASS when `holds`, FAIL with `why_not` otherwise.
    pub fn of(measured: Measured, holds: bool, why_not: impl Into<String>) -> Self {
        if holds {
            Self::Pass(measured)
        } else {
            Self::Fail(measured, why_not.into())
        }
    }

    /// The same for text, where there may turn out to be nothing to judge.
    pub fn of_text(measured: impl Into<String>, holds: bool, why_not: impl Into<String>) -> Self {
        match Measured::text(measured) {
            Some(measured) => Self::of(measured, holds, why_not),
            None => Self::Inconclusive("the probe gave no value".to_owned()),
        }
    }

    pub fn inconclusive(why: impl Into<String>) -> Self {
        Self::Inconclusive(why.into())
    }

    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Pass(_) => Verdict::Pass,
            Self::Fail(..) => Verdict::Fail,
            Self::Inconclusive(_) => Verdict::Inconclusive,
        }
    }

    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Pass(measured) | Self::Fail(measured, _) => Some(measured),
            Self::Inconclusive(_) => None,
        }
    }

    /// Why it is not PASS; empty when it is.
    pub fn why(&self) -> &str {
        match self {
            Self::Pass(_) => "",
            Self::Fail(_, why) | Self::Inconclusive(why) => why,
        }
    }
}

/// What kind of thing a piece of evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// An answer of one of our services, as JSON.
    Answer,
    /// The exchange's own ledger.
    Ledger,
    /// Lines of the audit trail as they stand in the file.
    AuditLine,
    Log,
    /// A command, its output and exit code.
    Command,
    Timing,
    Note,
}

/// Something that a reader can check a verdict against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub kind: EvidenceKind,
    pub title: String,
    pub content: String,
}

impl Evidence {
    /// Longest content that is kept.
    pub const CONTENT_MAX: usize = 16_000;

    pub fn new(kind: EvidenceKind, title: impl Into<String>, content: impl Into<String>) -> Self {
        let mut content = content.into();
        if content.len() > Self::CONTENT_MAX {
            let mut cut = Self::CONTENT_MAX;
            while !content.is_char_boundary(cut) {
                cut -= 1;
            }
            let rest = content.len() - cut;
            content.truncate(cut);
            content.push_str(&format!("\n… ({rest} more bytes were left out)"));
        }
        Self {
            kind,
            title: title.into(),
            content,
        }
    }
}

/// Two judgements on the same criterion: both must hold, and what was not measured outweighs what was found good.
pub fn combine(first: Judgement, second: Judgement) -> Judgement {
    match (first, second) {
        (fail @ Judgement::Fail(..), _) | (_, fail @ Judgement::Fail(..)) => fail,
        (open @ Judgement::Inconclusive(_), _) | (_, open @ Judgement::Inconclusive(_)) => open,
        (Judgement::Pass(_), pass @ Judgement::Pass(_)) => pass,
    }
}

/// How the rollback went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RollbackOutcome {
    /// The system is as it was found.
    Done,
    /// It may not be: the steps say what is left.
    Failed,
    /// There was nothing to roll back.
    NotNeeded,
}

/// A drill passes only when every criterion was measured and holds; a drill without criteria has shown nothing.
pub fn drill_verdict(criteria: &[Verdict], stopped: bool) -> Verdict {
    let any = |verdict| criteria.contains(&verdict);
    if stopped || any(Verdict::Aborted) {
        Verdict::Aborted
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if criteria.is_empty() || any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

/// A run is as good as its worst drill; a system that was not left as it was found is a failure of its own.
pub fn run_verdict(drills: &[Verdict], rollback: RollbackOutcome, stopped: bool) -> Verdict {
    let verdict = drill_verdict(drills, stopped);
    match (verdict, rollback) {
        (Verdict::Pass | Verdict::Inconclusive, RollbackOutcome::Failed) => Verdict::Fail,
        (verdict, RollbackOutcome::Done | RollbackOutcome::NotNeeded | RollbackOutcome::Failed) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Pass),
            Just(Verdict::Fail),
            Just(Verdict::Inconclusive),
            Just(Verdict::Aborted)
        ]
    }

    #[test]
    fn p11_nothing_measured_is_never_a_pass() {
        assert_eq!(drill_verdict(&[], false), Verdict::Inconclusive);
        assert_eq!(
            run_verdict(&[], RollbackOutcome::NotNeeded, false),
            Verdict::Inconclusive
        );
        assert_eq!(Judgement::of_text("  ", true, "").verdict(), Verdict::Inconclusive);
    }

    #[test]
    fn p10_a_failed_rollback_is_never_a_pass() {
        assert_eq!(
            run_verdict(&[Verdict::Pass], RollbackOutcome::Failed, false),
            Verdict::Fail
        );
        assert_eq!(
            run_verdict(&[Verdict::Pass], RollbackOutcome::Done, true),
            Verdict::Aborted
        );
    }

    #[test]
    fn p11_a_pass_and_something_unmeasured_is_inconclusive_in_either_order() {
        let pass = || Judgement::Pass(Measured::flag(true));
        let open = || Judgement::inconclusive("no bash");
        let fail = || Judgement::Fail(Measured::count(2), "two".into());
        assert_eq!(combine(pass(), open()).verdict(), Verdict::Inconclusive);
        assert_eq!(combine(open(), pass()).verdict(), Verdict::Inconclusive);
        assert_eq!(combine(open(), fail()).verdict(), Verdict::Fail);
        assert_eq!(combine(fail(), open()).verdict(), Verdict::Fail);
        assert_eq!(combine(pass(), pass()).verdict(), Verdict::Pass);
    }

    #[test]
    fn seconds_keep_their_milliseconds() {
        let shown = |ms| Measured::seconds(ms).value().to_string();
        assert_eq!(
            [shown(0), shown(42), shown(61_005), shown(-1)],
            ["0.0", "0.042", "61.005", "-0.001"]
        );
    }

    #[test]
    fn long_evidence_is_cut_between_characters() {
        let evidence = Evidence::new(EvidenceKind::Log, "log", "ü".repeat(20_000));
        assert!(evidence.content.len() < 17_000 && evidence.content.contains("more bytes"));
    }

    proptest! {
        #[test]
        fn p11_pass_means_that_every_part_passed(parts in proptest::collection::vec(any_verdict(), 0..12), stopped: bool) {
            let verdict = drill_verdict(&parts, stopped);
            let all = !parts.is_empty() && parts.iter().all(|part| *part == Verdict::Pass);
            prop_assert_eq!(verdict == Verdict::Pass, all && !stopped);
            prop_assert_eq!(verdict == Verdict::Aborted, stopped || parts.contains(&Verdict::Aborted));
            if parts.contains(&Verdict::Fail) {
                prop_assert!(matches!(verdict, Verdict::Fail | Verdict::Aborted));
            }
        }
    }
}
