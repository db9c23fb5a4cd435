use std::collections::HashMap;

use thunes_types::{FieldError, ReasonCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "thunes";

/// An error as a caller sees it: a gRPC code, a stable reason, a sentence that says what to do.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: Code,
    pub reason: ReasonCode,
    pub message: String,
    pub metadata: HashMap<String, String>,
}

impl Refusal {
    pub fn new(code: Code, reason: ReasonCode, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::with_error_info(refusal.reason.as_str(), DOMAIN, refusal.metadata);
        details.add_help_link("what this reason means", format!("docs/errors/{}.md", refusal.reason));
        Status::with_error_details(refusal.code, refusal.message, details)
    }
}

/// A status with a stable reason.
pub fn refusal(code: Code, reason: ReasonCode, message: impl Into<String>) -> Status {
    Refusal::new(code, reason, message).into()
}

/// INVALID_ARGUMENT for one field.
pub fn invalid(error: FieldError) -> Status {
    invalid_fields(vec![error])
}

/// Most faults that one answer names: they travel in trailers, and clients bound those.
const FAULTS_SHOWN_MAX: usize = 12;

/// INVALID_ARGUMENT for the fields that are wrong (the first twelve), each with its value and rule.
pub fn invalid_fields(mut errors: Vec<FieldError>) -> Status {
    if errors.len() > FAULTS_SHOWN_MAX {
        let more = errors.len() - FAULTS_SHOWN_MAX;
        errors.truncate(FAULTS_SHOWN_MAX);
        errors.push(FieldError::new("…", "", format!("{more} more faults")));
    }
    let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut details = ErrorDetails::with_error_info(ReasonCode::InvalidArgument.as_str(), DOMAIN, HashMap::new());
    details.set_bad_request(
        errors
            .iter()
            .map(|e| FieldViolation::new(e.field.clone(), format!("{:?}: {}", e.value, e.rule)))
            .collect::<Vec<_>>(),
    );
    details.add_help_link(
        "what this reason means",
        format!("docs/errors/{}.md", ReasonCode::InvalidArgument),
    );
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// UNAVAILABLE because a service that this one needs did not answer.
pub fn unavailable(dependency: &str, source: &Status) -> Status {
    Refusal::new(
        Code::Unavailable,
        ReasonCode::DependencyUnavailable,
        format!("{dependency} did not answer: {}", source.message()),
    )
    .with("dependency", dependency)
    .into()
}

/// The stable reason of an error that one of our services gave.
pub fn reason_of(status: &Status) -> Option<ReasonCode> {
    ReasonCode::parse(&status.get_details_error_info()?.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_field_value_and_rule_as_details() {
        let status = invalid(FieldError::new("quote_amount", "-1", "must be greater than 0"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status
            .get_details_bad_request()
            .expect("bad request details")
            .field_violations;
        assert_eq!(violations[0].field, "quote_amount");
        assert!(violations[0].description.contains("-1") && violations[0].description.contains("greater than 0"));
        assert_eq!(reason_of(&status), Some(ReasonCode::InvalidArgument));
    }
}
