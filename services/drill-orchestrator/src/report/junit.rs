use std::fmt::Write;

use super::Report;
use crate::domain::Verdict;

/// JUnit XML: a suite per drill, a case per criterion. What was not measured is an error, not a pass.
pub fn render_junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let of = |verdict| {
        report
            .drills
            .iter()
            .flat_map(|d| &d.criteria)
            .filter(|c| c.verdict() == verdict)
            .count()
    };
    let all: usize = report.drills.iter().map(|drill| drill.criteria.len()).sum();
    let errors = of(Verdict::Inconclusive) + of(Verdict::Aborted);
    let _ = writeln!(
        out,
        "<testsuites name=\"thunes drill {}\" tests=\"{all}\" failures=\"{}\" errors=\"{errors}\" time=\"{}\">",
        escape(&report.run_id),
        of(Verdict::Fail),
        seconds(report.duration_ms)
    );
    for drill in &report.drills {
        let count = |verdict| {
            drill
                .criteria
                .iter()
                .filter(|criterion| criterion.verdict() == verdict)
                .count()
        };
        let _ = writeln!(
            out,
            "  <testsuite name=\"{} {}\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{}\">",
            escape(&drill.id),
            escape(&drill.title),
            drill.started_at,
            drill.criteria.len(),
            count(Verdict::Fail),
            count(Verdict::Inconclusive) + count(Verdict::Aborted),
            seconds(drill.duration_ms)
        );
        for criterion in &drill.criteria {
            let (id, why) = (escape(criterion.id()), escape(criterion.why()));
            let measured = escape(&criterion.measured_with_unit());
            let _ = write!(out, "    <testcase classname=\"{}\" name=\"{id}\">", escape(&drill.id));
            let _ = match criterion.verdict() {
                Verdict::Pass => write!(out, "<system-out>measured: {measured}</system-out>"),
                Verdict::Fail => write!(out, "<failure message=\"{why}\">measured: {measured}</failure>"),
                verdict @ (Verdict::Inconclusive | Verdict::Aborted) => {
                    write!(out, "<error type=\"{verdict}\" message=\"{why}\"/>")
                }
            };
            out.push_str("</testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no other control characters.
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
