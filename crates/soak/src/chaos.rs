//! Who kills: one task for each service. It starts a life, lets the failpoint or the clock end it, and starts the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use thunes_supervisor::embedded::{Environment, Service};
use thunes_supervisor::{ProcessState, process_state};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::SoakError;
use crate::schedule::{LifePlan, Schedule};
use crate::tally::Budget;

/// How often a life is looked at.
const POLL: Duration = Duration::from_millis(4);
/// Starts of one service, one after the other, that end by themselves and not by a signal of ours.
const FAILED_STARTS_MAX: u32 = 3;

/// The services that are killed.
pub(crate) const KILLED: [Service; 5] = [
    Service::ExchangeSim,
    Service::Audit,
    Service::Position,
    Service::Risk,
    Service::ExchangeGateway,
];

/// What the killers did to one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Life {
    /// SIGKILL from outside.
    pub killed: u64,
    /// SIGKILL at a failpoint.
    pub died_at_failpoint: u64,
    /// SIGSTOP and SIGCONT, from outside or at a failpoint.
    pub stopped: u64,
}

type Tallies = Arc<Mutex<BTreeMap<Service, Life>>>;

/// The killers while they are at work.
#[derive(Debug)]
pub struct Killers {
    tasks: JoinSet<Result<(), SoakError>>,
    tallies: Tallies,
    budget: Arc<Budget>,
    failed: Arc<AtomicBool>,
}

impl Killers {
    /// Sends one for each service; together they kill `kills` times.
    pub fn start(
        environment: &Arc<Environment>,
        seed: u64,
        kills: u64,
        lease_ms: u64,
        stop: &CancellationToken,
    ) -> Self {
        let (tallies, budget) = (Tallies::default(), Arc::new(Budget::of(kills)));
        let failed = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for service in KILLED {
            let killer = Killer {
                environment: Arc::clone(environment),
                service,
                schedule: Schedule::new(seed, service, lease_ms, thunes_failpoint::available()),
                tallies: Arc::clone(&tallies),
                budget: Arc::clone(&budget),
            };
            let (stop, failed) = (stop.clone(), Arc::clone(&failed));
            tasks.spawn(async move {
                let ended = killer.run(stop).await;
                failed.fetch_or(ended.is_err(), Ordering::SeqCst);
                ended
            });
        }
        Self {
            tasks,
            tallies,
            budget,
            failed,
        }
    }

    pub fn tallies(&self) -> BTreeMap<Service, Life> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGKILLs so far.
    pub fn kills(&self) -> u64 {
        self.tallies()
            .values()
            .map(|life| life.killed + life.died_at_failpoint)
            .sum()
    }

    pub fn are_done(&self) -> bool {
        self.budget.is_spent()
    }

    /// Whether one of them gave up: its service does not come back.
    pub fn have_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Waits until all have done their part; a service that did not come back is an error.
    ///
    /// # Errors
    /// When a service could not be started again.
    pub async fn finish(mut self) -> Result<BTreeMap<Service, Life>, SoakError> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| SoakError::NotReady(format!("a killer ended: {error}")))??;
        }
        Ok(self.tallies())
    }
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    AtFailpoint,
    Outlived,
    /// The soak is over; it lives on.
    Over,
}

struct Killer {
    environment: Arc<Environment>,
    service: Service,
    schedule: Schedule,
    tallies: Tallies,
    budget: Arc<Budget>,
}

impl Killer {
    async fn run(mut self, stop: CancellationToken) -> Result<(), SoakError> {
        // The first life was begun by the environment, without failpoints.
        let mut life = self.schedule.next_life();
        loop {
            match self.live(&life, &stop).await? {
                End::Over => return Ok(()),
                End::AtFailpoint => {
                    // A death at a failpoint counts even when the budget is spent: it happened.
                    self.budget.take();
                    self.count(|life| life.died_at_failpoint += 1);
                }
                End::Outlived => {
                    if !self.budget.take() {
                        return Ok(());
                    }
                    self.kill().await?;
                }
            }
            if self.budget.is_spent() {
                return self.begin_quiet_life().await;
            }
            life = self.schedule.next_life();
            self.begin(&life.failpoints()).await?;
        }
    }

    fn count(&self, change: impl FnOnce(&mut Life)) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        change(tallies.entry(self.service).or_default());
    }

    async fn kill(&self) -> Result<(), SoakError> {
        match self.environment.target(self.service)?.kill().await {
            Ok(_) => self.count(|life| life.killed += 1),
            // Its failpoint was faster.
            Err(_) => self.count(|life| life.died_at_failpoint += 1),
        }
        Ok(())
    }

    async fn begin_quiet_life(&self) -> Result<(), SoakError> {
        self.begin("").await
    }

    /// Starts it. It may die at its failpoint before it is ready: then the life is as long as that.
    async fn begin(&self, failpoints: &str) -> Result<(), SoakError> {
        self.environment.set_failpoints(self.service, failpoints)?;
        let mut failed = 0;
        loop {
            let Err(error) = self.environment.restart(self.service).await else {
                return Ok(());
            };
            let exit = self.environment.target(self.service)?.exit();
            if exit.is_some_and(|exit| exit.is_sigkill()) {
                return Ok(());
            }
            failed += 1;
            if failed >= FAILED_STARTS_MAX {
                return Err(SoakError::DoesNotComeBack {
                    service: self.service,
                    why: error.to_string(),
                });
            }
            // Not ready, but alive: the next start needs its place.
            let _ = self.environment.target(self.service)?.kill().await;
        }
    }

    async fn live(&self, life: &LifePlan, stop: &CancellationToken) -> Result<End, SoakError> {
        let target = self.environment.target(self.service)?;
        let begun = Instant::now();
        let patience = Duration::from_millis(life.patience_ms);
        let mut to_stop = life.stopped_after_ms.map(Duration::from_millis);
        loop {
            if !target.is_running() {
                return Ok(End::AtFailpoint);
            }
            if let Some(pid) = target.pid()
                && process_state(pid) == ProcessState::Stopped
            {
                self.hold(life).await;
            }
            if to_stop.is_some_and(|after| begun.elapsed() >= after) {
                to_stop = None;
                // Whoever dies in this moment has no need of it.
                if target.pause().await.is_ok() {
                    self.hold(life).await;
                }
            }
            if begun.elapsed() >= patience {
                return Ok(End::Outlived);
            }
            if self.budget.is_spent() || stop.is_cancelled() {
                return Ok(End::Over);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn hold(&self, life: &LifePlan) {
        self.count(|life| life.stopped += 1);
        tokio::time::sleep(Duration::from_millis(life.held_ms)).await;
        if let Ok(target) = self.environment.target(self.service) {
            // Fails only for a process that is gone, which the next look shows.
            let _ = target.resume().await;
        }
    }
}
