use std::fmt;

use thunes_types::FieldError;

/// Longest name that Docker Compose's own objects have in practice; a longer one is a mistake or an attack.
const NAME_BYTES_MAX: usize = 63;
/// A network's name holds the project's and its own.
const NETWORK_BYTES_MAX: usize = 128;

macro_rules! engine_name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Names the field, the value and the rule.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(FieldError::new($field, text, $rule))
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// No slash and no leading dot: these names become parts of file names.
fn is_name(text: &str, bytes_max: usize) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphanumeric())
        && text.len() <= bytes_max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

engine_name!(
    /// A compose project.
    Project, "project", "1 to 63 characters of a-z, 0-9, - and _, the first a letter or digit",
    |t| is_name(t, NAME_BYTES_MAX) && t.bytes().all(|b| !b.is_ascii_uppercase() && b != b'.')
);
engine_name!(
    /// A compose service; never a container's name or id.
    ServiceName, "service", "the name of a compose service: 1 to 63 characters of a-z, A-Z, 0-9, -, _ and ., the first a letter or digit",
    |t| is_name(t, NAME_BYTES_MAX)
);
engine_name!(
    /// A network of the engine.
    NetworkName, "network", "the name of a network: 1 to 128 characters of a-z, A-Z, 0-9, -, _ and ., the first a letter or digit",
    |t| is_name(t, NETWORK_BYTES_MAX)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_mean_a_path_an_id_of_another_object_or_a_flood_are_refused() {
        for good in ["risk", "exchange-gateway", "a", "svc_1.x", &"a".repeat(63)] {
            assert!(ServiceName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(10_000);
        for bad in [
            "",
            "/risk",
            "a/b",
            "../x",
            ".x",
            "-x",
            "a b",
            "rísk",
            "a\0",
            "a\n",
            "risk?all=1",
            &"a".repeat(64),
            &long,
        ] {
            let error = ServiceName::parse(bad).expect_err("refused");
            assert!(error.to_string().len() < 400, "a hostile value is not echoed whole");
            assert!(NetworkName::parse(bad).is_err() || bad.len() == 64, "{bad:?}");
            assert!(Project::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Project::parse("Upper").is_err() && Project::parse("a.b").is_err());
    }
}
