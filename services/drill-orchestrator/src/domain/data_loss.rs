use serde::{Deserialize, Serialize};

/// How much a crash cost, in the form's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataLoss {
    /// What was acknowledged is there, and the book is the fold of the exchange's own ledger.
    None,
    /// That holds after a reconciliation repaired it inside the drill.
    Minor,
    /// Anything else.
    Significant,
}

impl DataLoss {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minor => "minor",
            Self::Significant => "significant",
        }
    }
}

/// What the classification stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLossFacts {
    /// Every order and fill that was acknowledged before is there after, and after equals the exchange's fold.
    pub book_holds: bool,
    /// The same, asked again after a repairing reconciliation; None when none was needed or it could not run.
    pub book_holds_after_repair: Option<bool>,
    /// Every acknowledged audit event is in the trail, unchanged.
    pub audit_holds: bool,
    /// `PRAGMA integrity_check` says ok of every database.
    pub databases_intact: bool,
}

impl DataLossFacts {
    pub fn class(self) -> DataLoss {
        if !self.audit_holds || !self.databases_intact {
            return DataLoss::Significant;
        }
        match (self.book_holds, self.book_holds_after_repair) {
            (true, _) => DataLoss::None,
            (false, Some(true)) => DataLoss::Minor,
            (false, Some(false) | None) => DataLoss::Significant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repaired_book_is_a_minor_loss() {
        let facts = |book, repaired, audit, db| {
            DataLossFacts {
                book_holds: book,
                book_holds_after_repair: repaired,
                audit_holds: audit,
                databases_intact: db,
            }
            .class()
        };
        assert_eq!(facts(true, None, true, true), DataLoss::None);
        assert_eq!(facts(false, Some(true), true, true), DataLoss::Minor);
        assert_eq!(facts(false, Some(false), true, true), DataLoss::Significant);
        assert_eq!(facts(false, None, true, true), DataLoss::Significant);
        assert_eq!(facts(true, Some(true), false, true), DataLoss::Significant);
        assert_eq!(facts(true, None, true, false), DataLoss::Significant);
    }
}
