//! A soak from its beginning to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thunes_supervisor::embedded::Environment;
use tokio_util::sync::CancellationToken;

use crate::oracle::Evidence;
use crate::{
    Calls, Killers, Load, Operator, SimAdmin, SoakError, SoakReport, Windows, collect, crash_plan, judge_when_settled,
};

/// A debug build on a busy machine is slow to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// "No such order" counts 11 s after the order was signed, and a restart counts anew.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// The `thunes` binary.
    pub program: PathBuf,
    pub seed: u64,
    pub kills: u64,
    pub clients: usize,
    /// The folder stays although nothing was found.
    pub keep: bool,
}

/// A soak.
#[derive(Debug)]
pub struct Soak {
    options: SoakOptions,
    folder: PathBuf,
}

impl Soak {
    /// In a new folder of its own under the system's temporary folder.
    ///
    /// # Errors
    /// When that cannot be made.
    pub fn new(options: SoakOptions) -> Result<Self, SoakError> {
        let name = format!("thunes-soak-{}-{}", options.seed, std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).map_err(|source| SoakError::Folder {
            path: folder.clone(),
            source,
        })?;
        Ok(Self { options, folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs it; `tell` hears how far it is.
    ///
    /// # Errors
    /// When it could not be carried out; the folder stays then. What was found is in the report.
    pub async fn run(self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<SoakReport, SoakError> {
        let begun = Instant::now();
        let (options, windows) = (&self.options, Windows::SHORT);
        let mut plan = crash_plan(&options.program, self.folder.join("data"), options.seed, windows);
        plan.ready_within = READY_WITHIN;
        let environment = Arc::new(Environment::start(plan).await?);
        let calls = Calls::new(&environment)?;
        let sim = SimAdmin::new(&environment.admin_url());
        until_opening(&calls).await?;
        tell(&format!("an environment is ready in {}", self.folder.display()));

        let prices = sim.prices().await?;
        let load = Load::start(&calls, options.clients, options.seed, &prices);
        let operator = Operator::start(&calls, &sim, options.seed);
        let stop = CancellationToken::new();
        let lease_ms = u64::try_from(windows.lease_ms).unwrap_or(0);
        let killers = Killers::start(&environment, options.seed, options.kills, lease_ms, &stop);
        let mut told = Instant::now();
        while !killers.are_done() && !killers.have_failed() {
            tokio::time::sleep(LOOK).await;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let (kills, sent) = (killers.kills(), load.totals().orders_sent);
                let activations = operator.activations();
                tell(&format!(
                    "{kills}/{} kills, {sent} orders sent, {activations} activations",
                    options.kills
                ));
            }
        }
        if killers.have_failed() {
            stop.cancel();
        }
        let lives = killers.finish().await?;
        let (fenced, activations, operator) = operator.stop().await;
        let (words, load) = load.stop().await?;
        tell("no more kills; everything is killed and started once more, and left to come to rest");
        rest(&environment, &sim).await?;
        let so_far = Evidence {
            told: words,
            fenced,
            activations,
            ..Evidence::default()
        };
        let verdict = judge_when_settled(&environment, &calls, &sim, &so_far, SETTLED_WITHIN).await?;
        let evidence = collect(&environment, &calls, &sim, &so_far).await?;
        let reconciliation = match calls.reconcile(false).await {
            Ok(answer) => answer
                .verdict()
                .as_str_name()
                .trim_start_matches("RECONCILE_VERDICT_")
                .to_owned(),
            Err(status) => format!("no answer: {}", status.message()),
        };
        environment.stop_all().await;

        let hits = hits(&self.folder.join("data"));
        let sum = |of: fn(&crate::Life) -> u64| lives.values().map(of).sum::<u64>();
        let mut report = SoakReport {
            seed: options.seed,
            kills: sum(|life| life.killed + life.died_at_failpoint),
            kills_from_outside: sum(|life| life.killed),
            kills_at_failpoints: sum(|life| life.died_at_failpoint),
            stops: sum(|life| life.stopped),
            by_service: lives
                .iter()
                .map(|(service, life)| (service.to_string(), *life))
                .collect(),
            failpoints_available: thunes_failpoint::available(),
            failpoints_not_hit: not_hit(&hits),
            failpoint_hits: hits,
            load,
            operator,
            orders_accepted: evidence.exchange.len() as u64,
            fills: evidence.exchange_fills.len() as u64,
            counts: crate::oracle::Counts::default(),
            reconciliation,
            findings: Vec::new(),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            kept_folder: None,
        };
        report.verdict(verdict);
        if options.keep || !report.is_clean() {
            report.kept_folder = Some(self.folder.clone());
        } else {
            // A folder that stays is no reason to fail.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        Ok(report)
    }
}

async fn until_opening(calls: &Calls) -> Result<(), SoakError> {
    let begun = Instant::now();
    loop {
        let status = calls.gateway_status().await;
        if status.as_ref().is_ok_and(|s| s.opening_allowed && s.stream_connected) {
            return Ok(());
        }
        if begun.elapsed() >= READY_WITHIN {
            return Err(SoakError::NotReady(format!("opening is never allowed: {status:?}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ends every fault, kills and starts everything without failpoints.
///
/// # Errors
/// When something does not come back.
pub async fn rest(environment: &Environment, sim: &SimAdmin) -> Result<(), SoakError> {
    let services = environment.services();
    for service in &services {
        environment.set_failpoints(*service, "")?;
    }
    environment.kill_all().await;
    environment.restart_many(&services).await?;
    sim.clear_faults().await
}

/// Place and action to how often it acted, as the processes of a data folder noted it.
pub fn hits(folder: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(folder.join(thunes_failpoint::HITS_FILE)).unwrap_or_default();
    let mut hits = BTreeMap::new();
    for line in text.lines() {
        if let Some((what, _pid)) = line.rsplit_once(' ') {
            *hits.entry(what.to_owned()).or_default() += 1;
        }
    }
    hits
}

fn not_hit(hits: &BTreeMap<String, u64>) -> Vec<String> {
    let boundaries = thunes_failpoint::ALL
        .iter()
        .filter(|point| point.kind == thunes_failpoint::Kind::Boundary);
    let missing = boundaries.filter(|point| !hits.keys().any(|hit| hit.split(' ').next() == Some(point.name)));
    missing.map(|point| point.name.to_owned()).collect()
}
