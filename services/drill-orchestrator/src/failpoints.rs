use std::collections::BTreeMap;

use thunes_supervisor::embedded::Service;

use crate::error::DrillError;

/// Names the damage for a run: `position:position.record.lose_fill=break,risk:risk.restore.forget=break`.
pub const FAILPOINTS_ENV: &str = "THUNES_DRILL_FAILPOINTS";

/// What [`FAILPOINTS_ENV`] of this process asks for.
///
/// # Errors
/// When it names a service that there is not.
pub fn failpoints_from_env() -> Result<BTreeMap<String, String>, DrillError> {
    parse_failpoints(&std::env::var(FAILPOINTS_ENV).unwrap_or_default())
}

/// Reads `service:place=action,…`; several places of one service are joined.
///
/// # Errors
/// When it names a service that there is not, or this build has no failpoints.
pub fn parse_failpoints(text: &str) -> Result<BTreeMap<String, String>, DrillError> {
    let mut plan = BTreeMap::<String, String>::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, place) = entry.split_once(':').unwrap_or((entry, ""));
        if Service::parse(name).is_none() || place.is_empty() {
            let known = Service::ALL.map(Service::name).join(", ");
            return Err(DrillError::FailpointService {
                name: entry.to_owned(),
                known,
            });
        }
        let places = plan.entry(name.to_owned()).or_default();
        if !places.is_empty() {
            places.push(';');
        }
        places.push_str(place);
    }
    if !plan.is_empty() && !thunes_store::failpoint::available() {
        return Err(DrillError::NoFailpoints);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_places_of_a_service_are_joined_and_strangers_are_named() {
        let plan = parse_failpoints("risk:a=break, risk:b=kill@3,audit:c=break,").expect("good");
        assert_eq!(plan["risk"], "a=break;b=kill@3");
        assert_eq!(plan["audit"], "c=break");
        assert!(parse_failpoints("").expect("empty").is_empty());
        for bad in ["nobody:a=break", "risk", "risk:"] {
            let error = parse_failpoints(bad).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.contains("exchange-gateway"), "{error}");
        }
    }
}
