//! The report: `report.json` is the source, everything else is rendered from it and from nothing else.

mod document;
mod files;
mod html;
mod html_style;
mod junit;
mod markdown;
mod markdown_tests;
#[cfg(test)]
mod tests;
mod timeline;

pub use document::{
    BalanceRow, Contact, Criterion, DiscrepancyRow, DrillReport, EnvironmentInfo, Form, Measurement, PositionRow,
    Reconciliation, ReconciliationRun, Report, RollbackReport, SCHEMA_VERSION, StepRecord,
};
pub use files::{ReportFileError, ReportFiles, read_report, write_report};
pub use html::render_html;
pub use junit::render_junit;
pub use markdown::render_markdown;
