use maud::{Markup, html};

use super::Report;

const WIDTH: i64 = 1000;
const LABEL: i64 = 270;
const ROW: i64 = 20;
const TOP: i64 = 26;
/// So that a step of a millisecond can be seen.
const BAR_MIN: i64 = 2;

/// Every step of the run on one axis.
pub(super) fn timeline(report: &Report) -> Markup {
    let mut rows: Vec<_> = report
        .drills
        .iter()
        .flat_map(|drill| drill.steps.iter().map(|step| (drill.id.as_str(), step)))
        .chain(report.rollback.steps.iter().map(|step| ("rollback", step)))
        .collect();
    rows.sort_by_key(|(_, step)| step.start_offset_ms);
    let ends = rows.iter().map(|(_, step)| step.start_offset_ms + step.duration_ms);
    let span = ends.max().unwrap_or(0).max(report.duration_ms).max(1);
    let height = TOP + ROW * i64::try_from(rows.len()).unwrap_or(0) + 6;
    let x = |ms: i64| LABEL + ms * (WIDTH - LABEL - 60) / span;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="Timeline of every step" {
            @for tick in 0..=5 {
                @let at = x(span * tick / 5);
                line class="grid" x1=(at) y1=(TOP - 6) x2=(at) y2=(height) {}
                text class="dim" x=(at) y="14" text-anchor="middle" { (tenths(span * tick / 5)) " s" }
            }
            @for ((drill, step), row) in rows.iter().zip(0i64..) {
                @let y = TOP + row * ROW;
                @let width = (x(step.start_offset_ms + step.duration_ms) - x(step.start_offset_ms)).max(BAR_MIN);
                text x="0" y=(y + 14) { (drill) " · " (shortened(&step.name)) }
                rect class=(step.outcome) x=(x(step.start_offset_ms)) y=(y + 4) width=(width) height=(ROW - 8) rx="2" {
                    title { (step.name) ": " (step.outcome) ", " (step.duration_ms) " ms" }
                }
                text class="dim" x=(x(step.start_offset_ms) + width + 4) y=(y + 14) { (took(step.duration_ms)) }
            }
        }
    }
}

fn took(ms: i64) -> String {
    if ms < 100 {
        format!("{ms} ms")
    } else {
        format!("{} s", tenths(ms))
    }
}

fn tenths(ms: i64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

fn shortened(name: &str) -> String {
    const MAX: usize = 40;
    if name.chars().count() <= MAX {
        name.to_owned()
    } else {
        name.chars().take(MAX - 1).chain(['…']).collect()
    }
}
