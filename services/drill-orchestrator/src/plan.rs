use std::path::PathBuf;

use thunes_supervisor::embedded::{Plan, Service};

use crate::error::DrillError;
use crate::journal::RunPlan;
use crate::options::RunOptions;

/// A name for a run that sorts by its time.
pub(crate) fn new_run_id(started_ms: i64) -> String {
    let time: String = thunes_runtime::clock::iso_utc(started_ms)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(15)
        .collect();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{time}-{}", &random[..6])
}

/// What is written down of the environment before it is made.
pub(crate) fn run_plan(options: &RunOptions, run_id: &str) -> RunPlan {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let own = std::env::temp_dir().join(format!("thunes-drill-{run_id}"));
    RunPlan {
        program: absolute(&options.program),
        data_dir: if options.compose {
            absolute(&options.config.data_dir.join("drill-runs").join(run_id))
        } else {
            options.data_dir.as_ref().map_or(own, absolute)
        },
        temporary: options.data_dir.is_none() && !options.keep_environment,
        compose: options.compose,
        config_file: options.config_file.as_ref().map(absolute),
        out_dir: options.out_dir.as_ref().map(absolute),
        seed: options.seed,
    }
}

/// The environment of a run: the simulated exchange, a stand-in for Telegram, free ports.
pub(crate) fn environment_plan(plan: &RunPlan) -> Plan {
    let mut environment = Plan::isolated(&plan.program, &plan.data_dir, plan.seed);
    environment.config_file.clone_from(&plan.config_file);
    environment.fault_proxy = true;
    // A drill judges what the services do: nothing may mend a lost fill before it was looked at.
    environment.setting(Service::ExchangeGateway, "gateway.reconcile.auto_adopt", "false")
}

/// Adds the damage that was asked for.
///
/// # Errors
/// When it names a service that there is not.
pub(crate) fn with_failpoints(mut plan: Plan, options: &RunOptions) -> Result<Plan, DrillError> {
    for (name, text) in &options.failpoints {
        let service = Service::parse(name).ok_or_else(|| DrillError::FailpointService {
            name: name.clone(),
            known: Service::ALL.map(Service::name).join(", "),
        })?;
        plan = plan.failpoints(service, text);
    }
    Ok(plan)
}

/// What stands in for the real thing, in sentences.
pub(crate) fn stand_ins(exchange: &str, receiver: &str, seed: u64) -> Vec<String> {
    let mut sentences = Vec::new();
    if exchange == "sim" {
        sentences.push(format!(
            "The exchange is exchange-sim, a simulated Binance Spot in a process of its own, with a ledger of its own and prices \
             from a seeded walk (seed {seed}). It stands for the exchange, which is outside of our system: the crash drill does \
             not kill it."
        ));
    }
    if receiver == "standin" {
        sentences.push(
            "Alerts go to a local stand-in for the Telegram Bot API, not to Telegram (receiver: standin): the delay holds no \
             internet."
                .to_owned(),
        );
    }
    sentences.push(
        "A crash is SIGKILL of processes or containers on one machine. The machine stays up, so what its kernel had taken was not lost: power \
         loss is not rehearsed."
            .to_owned(),
    );
    sentences
}

/// A drill places real orders: anything but a simulated or test exchange needs both words, the caller's and the settings'.
pub(crate) fn is_refused(exchange: &str, caller_allows: bool, settings_allow: bool) -> bool {
    let harmless = ["sim", "testnet"].contains(&exchange);
    let told_twice = caller_allows && settings_allow;
    !(harmless || told_twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_live_account_is_refused_unless_told_twice_and_so_is_what_nobody_knows() {
        for exchange in ["live", "", "LIVE", "somewhere"] {
            assert!(is_refused(exchange, false, false));
            assert!(is_refused(exchange, true, false));
            assert!(is_refused(exchange, false, true));
            assert!(!is_refused(exchange, true, true));
        }
        assert!(!is_refused("sim", false, false) && !is_refused("testnet", false, false));
    }

    #[test]
    fn run_ids_sort_by_their_time_and_differ() {
        let (first, second) = (new_run_id(1_764_000_694_120), new_run_id(1_764_000_695_120));
        assert!(
            first.starts_with("20251124T161134-") && first < second,
            "{first} {second}"
        );
        assert_ne!(new_run_id(0), new_run_id(0));
    }
}
