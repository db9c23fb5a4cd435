//! The single writer. Requests that wait at the same moment are matched one after the other, committed together with
//! one fsync, and only then answered and told to the streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, broadcast, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::{AccountEvent, Exchange, MarketEvent, Moment};
use crate::error::SimError;
use crate::faults::{Faults, StreamFate};
use crate::ledger::Ledger;

/// Requests that may wait for the engine.
const QUEUE: usize = 1_024;
/// Requests committed together at most.
const BATCH: usize = 128;
/// Events a slow stream may lag behind before it is cut off.
const EVENTS: usize = 8_192;
/// Ticks between two writes of the prices when nothing trades.
const KEEP_PRICES_EVERY: u64 = 20;

type Job = Box<dyn FnOnce(&mut Exchange, Moment) -> Answer + Send>;
type Answer = Box<dyn FnOnce() + Send>;

/// The engine has stopped; what was asked may or may not have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineGone;

/// What everybody holds to talk to the engine.
#[derive(Clone)]
pub struct Engine {
    jobs: mpsc::Sender<Job>,
    state: Arc<RwLock<Exchange>>,
    account_events: broadcast::Sender<Arc<AccountEvent>>,
    market_events: broadcast::Sender<Arc<MarketEvent>>,
}

/// The task behind it.
pub struct EngineTask {
    jobs: mpsc::Receiver<Job>,
    state: Arc<RwLock<Exchange>>,
    ledger: Ledger,
    faults: Arc<Faults>,
    account_events: broadcast::Sender<Arc<AccountEvent>>,
    market_events: broadcast::Sender<Arc<MarketEvent>>,
    held_back: Option<Arc<AccountEvent>>,
    tick_ms: u64,
    ticks: u64,
}

/// Joins an exchange and its ledger; run the task to bring it to life.
pub fn build(exchange: Exchange, ledger: Ledger, faults: Arc<Faults>, tick_ms: u64) -> (Engine, EngineTask) {
    let (job_tx, job_rx) = mpsc::channel(QUEUE);
    let (account_events, _) = broadcast::channel(EVENTS);
    let (market_events, _) = broadcast::channel(EVENTS);
    let state = Arc::new(RwLock::new(exchange));
    let engine = Engine {
        jobs: job_tx,
        state: state.clone(),
        account_events: account_events.clone(),
        market_events: market_events.clone(),
    };
    let task = EngineTask {
        jobs: job_rx,
        state,
        ledger,
        faults,
        account_events,
        market_events,
        held_back: None,
        tick_ms,
        ticks: 0,
    };
    (engine, task)
}

impl Engine {
    /// Runs a step in its turn; the answer comes after the commit.
    ///
    /// # Errors
    /// The engine stopped before the commit was certain.
    pub async fn run<T, F>(&self, step: F) -> Result<T, EngineGone>
    where
        T: Send + 'static,
        F: FnOnce(&mut Exchange, Moment) -> T + Send + 'static,
    {
        let (tx, rx) = oneshot::channel();
        let job: Job = Box::new(move |exchange, at| {
            let result = step(exchange, at);
            Box::new(move || {
                // The caller may have hung up; the step is committed all the same.
                let _ = tx.send(result);
            })
        });
        self.jobs.send(job).await.map_err(|_| EngineGone)?;
        rx.await.map_err(|_| EngineGone)
    }

    /// The committed state.
    pub async fn read(&self) -> RwLockReadGuard<'_, Exchange> {
        self.state.read().await
    }

    /// Events of all accounts from now on.
    pub fn account_events(&self) -> broadcast::Receiver<Arc<AccountEvent>> {
        self.account_events.subscribe()
    }

    /// Market events from now on.
    pub fn market_events(&self) -> broadcast::Receiver<Arc<MarketEvent>> {
        self.market_events.subscribe()
    }
}

impl EngineTask {
    /// Works until told to stop or until the ledger fails.
    ///
    /// # Errors
    /// The ledger cannot be written. State in memory would then be ahead of the disk, so the exchange must not go on.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), SimError> {
        let mut ticker = ticker(self.tick_ms);
        // What the restart itself changed (grants of new accounts) is kept before anybody is served.
        self.batch(Vec::new()).await?;
        loop {
            let mut jobs: Vec<Job> = Vec::new();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = next_tick(&mut ticker) => jobs.push(self.tick_job()),
                job = self.jobs.recv() => match job {
                    Some(job) => jobs.push(job),
                    None => break,
                },
            }
            while jobs.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                jobs.push(job);
            }
            self.batch(jobs).await?;
        }
        self.ledger.close().await;
        Ok(())
    }

    fn tick_job(&mut self) -> Job {
        self.ticks += 1;
        let keep = self.ticks.is_multiple_of(KEEP_PRICES_EVERY);
        if let Some(late) = self.held_back.take() {
            // An event held back to swap places with the next one must not wait for ever.
            self.send(late);
        }
        Box::new(move |exchange, at| {
            exchange.tick(at);
            if keep {
                exchange.keep_prices();
            }
            Box::new(|| ())
        })
    }

    async fn batch(&mut self, jobs: Vec<Job>) -> Result<(), SimError> {
        let state = self.state.clone();
        let mut exchange = state.write().await;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let real_ms = thunes_runtime::clock::now_ms();
            let at = Moment {
                real_ms,
                exchange_ms: real_ms + self.faults.clock_skew_ms(),
            };
            answers.push(job(&mut exchange, at));
        }
        let changes = exchange.take_changes();
        if changes.needs_commit() {
            thunes_failpoint::pass("sim.ledger.before_commit");
            self.ledger.commit(&exchange, &changes).await?;
            thunes_failpoint::pass("sim.ledger.after_commit");
        }
        drop(exchange);
        for event in changes.events {
            self.publish(Arc::new(event));
        }
        if self.market_events.receiver_count() > 0 {
            for event in changes.market_events {
                let _ = self.market_events.send(Arc::new(event));
            }
        }
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }

    fn publish(&mut self, event: Arc<AccountEvent>) {
        match self.faults.stream_fate(&event) {
            StreamFate::Deliver => self.send(event),
            StreamFate::Drop => return,
            StreamFate::Duplicate => {
                self.send(event.clone());
                self.send(event);
            }
            StreamFate::HoldBack => {
                if let Some(earlier) = self.held_back.replace(event) {
                    self.send(earlier);
                }
                return;
            }
        }
        if let Some(late) = self.held_back.take() {
            self.send(late);
        }
    }

    fn send(&self, event: Arc<AccountEvent>) {
        // Nobody listening is normal: there is no replay on this exchange.
        let _ = self.account_events.send(event);
    }
}

fn ticker(tick_ms: u64) -> Option<Interval> {
    if tick_ms == 0 {
        return None;
    }
    let mut ticker = interval(Duration::from_millis(tick_ms));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(ticker)
}

async fn next_tick(ticker: &mut Option<Interval>) {
    match ticker {
        Some(ticker) => {
            ticker.tick().await;
        }
        None => std::future::pending().await,
    }
}
