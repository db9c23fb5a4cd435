use futures_util::future::BoxFuture;

use super::Context;
use crate::domain::{Evidence, EvidenceKind, Judgement};
use crate::error::ActionError;

/// What a step did and found out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In a sentence, for people.
    pub detail: String,
    pub findings: Vec<Finding>,
    /// Evidence that belongs to no single finding.
    pub evidence: Vec<Evidence>,
}

/// An answer to one of the questions that an action settles.
#[derive(Debug)]
pub struct Finding {
    pub name: &'static str,
    pub judgement: Judgement,
    pub evidence: Vec<Evidence>,
}

pub type ActionResult = Result<Outcome, ActionError>;

/// One action or probe, with its parameters.
pub trait Action: Send + Sync {
    fn run<'a>(&'a self, context: &'a mut Context) -> BoxFuture<'a, ActionResult>;
}

impl Outcome {
    pub fn did(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn finding(mut self, name: &'static str, judgement: Judgement, evidence: Vec<Evidence>) -> Self {
        self.findings.push(Finding {
            name,
            judgement,
            evidence,
        });
        self
    }

    #[must_use]
    pub fn evidence(mut self, kind: EvidenceKind, title: impl Into<String>, content: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(kind, title, content));
        self
    }
}

/// An answer of one of our services, as readable JSON.
pub fn answer(title: impl Into<String>, value: &impl serde::Serialize) -> Evidence {
    let content = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("(cannot be shown: {error})"));
    Evidence::new(EvidenceKind::Answer, title, content)
}

/// Implements [`Action`] for a type with an `execute` method, and makes its registry entry.
#[macro_export]
#[doc(hidden)]
macro_rules! action {
    ($type:ident, $name:literal, [$($finding:literal),*], $about:literal) => {
        impl $crate::engine::Action for $type {
            fn run<'a>(
                &'a self,
                context: &'a mut $crate::engine::Context,
            ) -> futures_util::future::BoxFuture<'a, $crate::engine::ActionResult> {
                Box::pin(self.execute(context))
            }
        }

        impl $type {
            /// As drill files name it.
            pub(crate) const ENTRY: $crate::engine::Entry = $crate::engine::entry::<$type>($name, &[$($finding),*], $about);
        }
    };
}
