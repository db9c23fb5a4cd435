//! The report: `report.json` is the source, everything else is rendered from it and from nothing else.

mod document;
mod files;
mod html;
mod html_style;
mod junit;
mod links;
mod markdown;
mod markdown_tests;
mod step;
#[cfg(test)]
mod tests;
mod timeline;

pub use document::{
    BalanceRow, Contact, Criterion, DiscrepancyRow, DrillReport, EnvironmentInfo, Form, Measurement, PositionRow,
    Reconciliation, ReconciliationRun, Report, RollbackReport, SCHEMA_VERSION,
};
pub use files::{ReportFileError, ReportFiles, read_report, write_report};
pub use html::render_html;
pub use junit::render_junit;
pub(crate) use links::link;
pub use markdown::render_markdown;
pub use step::{StepEvent, StepRecord};
