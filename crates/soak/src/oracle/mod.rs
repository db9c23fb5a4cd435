//! The judge. It compares, as multisets, what clients were told, the gateway's journal, the exchange's own ledger, the
//! book and the audit trail, and counts what does not fit. It knows nothing of how the services work: it reads what they
//! say in the end, and believes the exchange.

mod audit;
mod evidence;
mod fence;
mod fills;
mod orders;
#[cfg(test)]
mod tests;
mod verdict;

pub use evidence::{
    Activation, AuditEvent, AuditEvidence, Evidence, ExchangeOrder, Execution, FencedSpan, JournalOrder, Net, Told,
};
pub use verdict::{Counts, Verdict};

/// Judges the evidence of a system that has come to rest.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    orders::judge(evidence, &mut verdict);
    fills::judge(evidence, &mut verdict);
    fence::judge(evidence, &mut verdict);
    audit::judge(evidence, &mut verdict);
    verdict
}
