use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use thunes_supervisor::Target;
use thunes_supervisor::embedded::{Environment, Plan, Service};

use crate::sabotage::sabotaged;
use crate::{Calls, Sim, Trail, until_ok};

const READY_WITHIN: Duration = Duration::from_secs(20);
/// Lines of each log that a failed test shows.
const LOG_LINES_SHOWN: usize = 12;

/// Every service as a real process, in a folder of its own, on free ports. Dropping it kills them.
#[derive(Debug)]
pub struct Cluster {
    pub env: Environment,
    pub calls: Calls,
    pub sim: Sim,
    // After `env`: the processes end before their folder goes.
    folder: TempDir,
}

/// Limits that no test meets by accident, and prices that move only when a test moves them.
pub fn roomy(plan: Plan) -> Plan {
    plan.setting(Service::Risk, "risk.limits.order_notional_max", "1000000")
        .setting(Service::Risk, "risk.limits.position_notional_max", "100000000")
        .setting(Service::Risk, "risk.limits.daily_loss_max", "100000000")
        .setting(Service::Risk, "risk.limits.orders_per_minute_max", "100000")
        .setting(Service::Risk, "risk.triggers.drawdown_max", "0")
        .setting(Service::Risk, "risk.triggers.order_rate_max", "0")
        .setting(Service::Risk, "risk.triggers.reject_rate_max", "0")
        .setting(Service::ExchangeSim, "sim.price_tick_ms", "0")
        .setting(Service::ExchangeSim, "sim.request_weight_per_minute", "10000000")
        .setting(Service::ExchangeSim, "sim.orders_per_10s", "1000000")
        .setting(Service::ExchangeSim, "sim.orders_per_day", "10000000")
}

impl Cluster {
    /// Starts every service of `program` (the `thunes` binary), with roomy limits, and waits until orders would pass.
    ///
    /// # Panics
    /// When a service does not become ready.
    pub async fn start(program: &str, seed: u64) -> Self {
        Self::start_with(program, seed, |plan| plan).await
    }

    /// Like [`Cluster::start`], with changes to the plan.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub async fn start_with(program: &str, seed: u64, change: impl FnOnce(Plan) -> Plan) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = sabotaged(change(roomy(Plan::isolated(program, folder.path().join("data"), seed))));
        let env = Environment::start(plan)
            .await
            .unwrap_or_else(|error| panic!("no environment: {error}"));
        let url = |service| env.url(service);
        let calls = Calls::new(
            &url(Service::Risk),
            &url(Service::Position),
            &url(Service::Audit),
            &url(Service::ExchangeGateway),
        );
        let sim = Sim::new(&env.admin_url());
        let cluster = Self {
            env,
            calls,
            sim,
            folder,
        };
        cluster.until_opening().await;
        cluster
    }

    /// Waits until an opening order would pass the fence and the gateway hears the exchange's stream.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn until_opening(&self) {
        until_ok("opening is allowed", READY_WITHIN, async || {
            let status = self.calls.gateway_status().await.map_err(|s| s.to_string())?;
            if status.opening_allowed && status.stream_connected {
                return Ok(());
            }
            Err(format!("{status:?}; {:?}", self.calls.risk_status().await))
        })
        .await;
        // The gate judges by the book, which risk must have heard of.
        until_ok("risk follows the book and the prices", READY_WITHIN, async || {
            let status = self.calls.risk_status().await.map_err(|s| s.to_string())?;
            // Limit orders are held against a last price.
            let knows = status.positions_fresh && !status.prices.is_empty();
            if knows { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
    }

    pub fn data_dir(&self) -> &Path {
        self.env.data_dir()
    }

    /// Beside the data folder, for a test's own files.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn target(&self, service: Service) -> &Target {
        self.env.target(service).expect("this environment has every service")
    }

    /// SIGKILL, confirmed by the wait status.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&self, service: Service) {
        self.env
            .kill(service)
            .await
            .unwrap_or_else(|error| panic!("{service}: {error}"));
    }

    /// # Panics
    /// When it does not become ready.
    pub async fn restart(&self, service: Service) {
        self.env
            .restart(service)
            .await
            .unwrap_or_else(|error| panic!("{service}: {error}"));
    }

    /// Kills whatever runs and starts all services again.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn restart_all(&self) {
        self.env.kill_all().await;
        let all = self.env.services();
        self.env
            .restart_many(&all)
            .await
            .unwrap_or_else(|error| panic!("restart: {error}"));
    }

    /// Starts it again with failpoints; it must be down.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_with(&self, service: Service, failpoints: &str) {
        self.env
            .set_failpoints(service, failpoints)
            .expect("this environment has every service");
        self.restart(service).await;
    }

    /// Waits until a failpoint has killed it.
    ///
    /// # Panics
    /// When it runs on, or ends otherwise than by SIGKILL.
    pub async fn until_killed_by_itself(&self, service: Service) {
        let target = self.target(service);
        let exit = tokio::time::timeout(Duration::from_secs(15), target.wait_exit()).await;
        let exit = exit.unwrap_or_else(|_| panic!("{service} has not reached its failpoint"));
        let exit = exit.unwrap_or_else(|error| panic!("{service}: {error}"));
        assert!(exit.is_sigkill(), "{service} was to die at its failpoint, but: {exit}");
    }

    /// The audit trail as it stands on disk.
    pub fn trail(&self) -> Trail {
        Trail::read(&self.data_dir().join("logs/audit_trail.jsonl"))
    }

    /// Runs `thunes ARGS` against this environment, as an operator does.
    pub async fn thunes(&self, args: &[&str]) -> crate::Said {
        let program = self.target(Service::Risk).spec().program;
        let mut all = vec!["--data-dir", self.data_dir().to_str().expect("a path of text")];
        all.extend(args);
        crate::thunes(&program, self.folder.path(), &all).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for service in self.env.services() {
            let text = std::fs::read_to_string(self.env.log_file(service)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            println!("--- {service}: the end of its log\n{}", shown.join("\n"));
        }
    }
}
