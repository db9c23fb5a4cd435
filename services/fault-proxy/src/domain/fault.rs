use serde_json::Value;

/// The longest delay.
pub const DELAY_MS_MAX: u32 = 60_000;
/// Characters of a wrong value that an answer repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is ended with RST, new ones too.
    Cut,
    /// Nothing passes and nobody is told; what arrives is held.
    BlackHole,
    /// A connection lives until the first byte on it; then both sides get RST.
    Reset,
    /// Everything passes so much later.
    Delay { ms: u32 },
}

impl Fault {
    /// As the admin API names it.
    pub const fn kind(self) -> &'static str {
        match self {
            Fault::Cut => "cut",
            Fault::BlackHole => "black_hole",
            Fault::Reset => "reset",
            Fault::Delay { .. } => "delay",
        }
    }

    /// Only a delay has one.
    pub const fn ms(self) -> Option<u32> {
        match self {
            Fault::Delay { ms } => Some(ms),
            Fault::Cut | Fault::BlackHole | Fault::Reset => None,
        }
    }

    /// From the fields `kind` and `ms` of a request.
    ///
    /// # Errors
    /// The field, its value and the rule, in words.
    pub fn of_fields(kind: Option<&Value>, ms: Option<&Value>) -> Result<Self, String> {
        let plain = match kind.and_then(Value::as_str) {
            Some("cut") => Fault::Cut,
            Some("black_hole") => Fault::BlackHole,
            Some("reset") => Fault::Reset,
            Some("delay") => return delay(ms),
            _ => {
                return Err(format!(
                    "kind = {}: must be cut, black_hole, reset or delay",
                    shown(kind)
                ));
            }
        };
        match ms {
            None => Ok(plain),
            Some(_) => Err(format!(
                "ms = {}: goes only with the kind delay, not with {}",
                shown(ms),
                plain.kind()
            )),
        }
    }
}

fn delay(ms: Option<&Value>) -> Result<Fault, String> {
    let whole = ms.and_then(Value::as_u64).and_then(|ms| u32::try_from(ms).ok());
    match whole {
        Some(ms) if (1..=DELAY_MS_MAX).contains(&ms) => Ok(Fault::Delay { ms }),
        _ => Err(format!(
            "ms = {}: a delay needs whole milliseconds from 1 to {DELAY_MS_MAX}",
            shown(ms)
        )),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| shortened(&value.to_string()))
}

/// The beginning of a text that somebody else chose.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: &Value) -> Result<Fault, String> {
        Fault::of_fields(body.get("kind"), body.get("ms"))
    }

    #[test]
    fn faults_are_what_they_are_called_and_ms_goes_only_with_a_delay() {
        assert_eq!(of(&json!({"kind": "cut"})), Ok(Fault::Cut));
        assert_eq!(of(&json!({"kind": "black_hole"})), Ok(Fault::BlackHole));
        assert_eq!(of(&json!({"kind": "reset"})), Ok(Fault::Reset));
        assert_eq!(of(&json!({"kind": "delay", "ms": 1})), Ok(Fault::Delay { ms: 1 }));
        assert_eq!(
            of(&json!({"kind": "delay", "ms": 60_000})),
            Ok(Fault::Delay { ms: 60_000 })
        );
        for (bad, part) in [
            (json!({}), "kind = absent"),
            (json!({"kind": null}), "kind = null"),
            (json!({"kind": "Cut"}), "kind = \"Cut\""),
            (json!({"kind": 1}), "kind = 1"),
            (json!({"kind": "delay"}), "ms = absent"),
            (json!({"kind": "delay", "ms": 0}), "ms = 0"),
            (json!({"kind": "delay", "ms": 60_001}), "ms = 60001"),
            (json!({"kind": "delay", "ms": 4_294_967_297_u64}), "ms = 4294967297"),
            (json!({"kind": "delay", "ms": -1}), "ms = -1"),
            (json!({"kind": "delay", "ms": 1.5}), "ms = 1.5"),
            (json!({"kind": "delay", "ms": "5"}), "ms = \"5\""),
            (json!({"kind": "cut", "ms": 5}), "ms = 5"),
            (json!({"kind": "cut", "ms": null}), "ms = null"),
        ] {
            let rule = of(&bad).expect_err("refused");
            assert!(rule.starts_with(part), "{bad}: {rule}");
        }
    }
}
