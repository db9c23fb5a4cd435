use serde::Serialize;

/// Findings that are spelled out; the counts have all of them.
const EXAMPLES_MAX: usize = 40;

/// What the oracle counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Acknowledged to a client or at the exchange, but not in the journal or the book, or not as it was told.
    pub missing: u64,
    /// Acknowledged, in the journal as accepted or in the book, but not at the exchange.
    pub phantom: u64,
    /// An id with more than one order at the exchange, or a trade that the book counts twice.
    pub doubled: u64,
    /// Positions that are not the fold of the exchange's fills.
    pub positions_wrong: u64,
    /// Still in doubt at the end.
    pub in_doubt_open: u64,
    /// Were in doubt, and the exchange had them.
    pub in_doubt_found: u64,
    /// Were in doubt, and never arrived.
    pub in_doubt_never_arrived: u64,
    /// Opening orders that the exchange accepted between an activation's answer and the request to deactivate.
    pub fence_violations: u64,
    /// Changes without their event.
    pub audit_missing: u64,
    /// Events that stand twice, or that tell of nothing that happened.
    pub audit_doubled: u64,
    /// 1 when the chain does not verify.
    pub audit_broken: u64,
    pub orders_compared: u64,
    pub fills_compared: u64,
    pub events_compared: u64,
}

/// What was found, and what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    #[serde(flatten)]
    pub counts: Counts,
    /// The first findings, in words.
    pub findings: Vec<String>,
}

impl Counts {
    /// Nothing is lost, invented, doubled, open or unfenced.
    pub fn is_clean(&self) -> bool {
        let wrong = [
            self.missing,
            self.phantom,
            self.doubled,
            self.positions_wrong,
            self.in_doubt_open,
            self.fence_violations,
            self.audit_missing,
            self.audit_doubled,
            self.audit_broken,
        ];
        wrong.iter().all(|count| *count == 0)
    }
}

impl Verdict {
    /// Whether the system kept its word.
    pub fn is_clean(&self) -> bool {
        self.counts.is_clean()
    }

    /// Counts one finding and keeps its words.
    pub(super) fn count(&mut self, which: impl Fn(&mut Counts) -> &mut u64, words: impl FnOnce() -> String) {
        *which(&mut self.counts) += 1;
        if self.findings.len() < EXAMPLES_MAX {
            self.findings.push(words());
        }
    }
}
