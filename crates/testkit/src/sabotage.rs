use thunes_supervisor::embedded::{Plan, Service};

/// `SERVICE:failpoint=action,…`: what every cluster of a test run gets on top, to see its tests fail.
const FAILPOINTS_ENV: &str = "THUNES_TEST_FAILPOINTS";
/// `SERVICE:key=value,…`, likewise.
const SETTINGS_ENV: &str = "THUNES_TEST_SETTINGS";

fn entries(variable: &str) -> Vec<(Service, String)> {
    let text = std::env::var(variable).unwrap_or_default();
    let entry = |entry: &str| {
        let (service, rest) = entry
            .split_once(':')
            .unwrap_or_else(|| panic!("{variable}: {entry:?} names no service"));
        let known = Service::parse(service).unwrap_or_else(|| panic!("{variable}: there is no service {service:?}"));
        (known, rest.to_owned())
    };
    text.split(',').filter(|part| !part.is_empty()).map(entry).collect()
}

/// Breaks a system on purpose, as the environment asks: a test of a promise must fail then, or it tests nothing.
///
/// # Panics
/// When the environment asks for something that there is not.
pub(crate) fn sabotaged(mut plan: Plan) -> Plan {
    for (service, failpoint) in entries(FAILPOINTS_ENV) {
        println!("broken on purpose: {service} {failpoint}");
        plan = plan.failpoints(service, failpoint);
    }
    for (service, setting) in entries(SETTINGS_ENV) {
        println!("broken on purpose: {service} {setting}");
        let (key, value) = setting
            .split_once('=')
            .unwrap_or_else(|| panic!("{SETTINGS_ENV}: {setting:?} has no value"));
        plan = plan.setting(service, key, value);
    }
    plan
}
