//! The decisions of a drill: pure and synchronous, the time is passed in.

mod audit_trail;
mod book;
mod data_loss;
mod definition;
mod ledger;
mod runbook;
mod verdict;

pub use audit_trail::{leaf_hash, AuditLine, AuditTrail};
pub use book::{fold_fills, BookDifference, FoldError, Holding};
pub use data_loss::{DataLoss, DataLossFacts};
pub use definition::{CatalogError, CriterionDefinition, DrillDefinition, DrillFileError, StepDefinition};
pub use ledger::{LedgerBalance, LedgerFill, LedgerOrder, SimLedger};
pub use runbook::{Block, Runbook};
pub use verdict::{combine, drill_verdict, run_verdict, Evidence, EvidenceKind, Judgement, Measured, RollbackOutcome, Value, Verdict};
