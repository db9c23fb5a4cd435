use std::fmt;

/// What is wrong with one field of a request or a setting: its name, the value as given, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldError {
    pub field: String,
    /// As given, cut to [`FieldError::VALUE_SHOWN_MAX`] characters.
    pub value: String,
    pub rule: String,
}

impl FieldError {
    /// A hostile value must not flood a log or an answer.
    pub const VALUE_SHOWN_MAX: usize = 64;

    pub fn new(field: impl Into<String>, value: &str, rule: impl Into<String>) -> Self {
        let mut shown: String = value
            .chars()
            .take(Self::VALUE_SHOWN_MAX)
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        let length = value.chars().count();
        if length > Self::VALUE_SHOWN_MAX {
            shown.push_str(&format!("… ({length} characters)"));
        }
        Self {
            field: field.into(),
            value: shown,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} is not accepted: {}", self.field, self.value, self.rule)
    }
}
