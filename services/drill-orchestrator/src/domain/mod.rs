//! The decisions of a drill: pure and synchronous, the time is passed in.

mod audit_trail;
mod book;
mod data_loss;
mod definition;
mod ledger;
mod runbook;
mod verdict;

pub use audit_trail::{AuditLine, AuditTrail};
pub use book::{BookDifference, FoldError, Holding, fold_fills};
pub use data_loss::{DataLoss, DataLossFacts};
pub use definition::{CatalogError, CriterionDefinition, DrillDefinition, DrillFileError, StepDefinition};
pub use ledger::{LedgerBalance, LedgerFill, LedgerOrder, SimLedger};
pub use runbook::{Block, Runbook};
pub use verdict::{
    Evidence, EvidenceKind, Judgement, Measured, RollbackOutcome, Value, Verdict, combine, drill_verdict, run_verdict,
};
