//! Who turns the switch, and who makes the exchange lie.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::{Value, json};
use thunes_proto::risk::v1::KillSwitchLevel;
use thunes_runtime::clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::oracle::{Activation, FencedSpan};
use crate::schedule::mix;
use crate::{Calls, SimAdmin};

/// Risk may be down for a while; a person asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What the operator did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OperatorTotals {
    pub activations_answered: u64,
    /// The longest that an activation took from the first request to the answer, repeated requests to a risk that died
    /// included.
    pub slowest_activation_ms: u64,
    pub faults_ordered: u64,
}

#[derive(Debug, Default)]
struct Notes {
    fenced: Vec<FencedSpan>,
    activations: Vec<Activation>,
    totals: OperatorTotals,
}

/// The operator and the liar while they are at work.
#[derive(Debug)]
pub struct Operator {
    notes: Arc<Mutex<Notes>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Operator {
    /// Begins to turn the switch on and off, and to order faults, by chances drawn from the seed.
    pub fn start(calls: &Calls, sim: &SimAdmin, seed: u64) -> Self {
        let (notes, stop) = (Arc::new(Mutex::new(Notes::default())), CancellationToken::new());
        let switching = switch(calls.clone(), sim.clone(), Arc::clone(&notes), seed, stop.clone());
        let keeping = keep_house(calls.clone(), seed, stop.clone());
        let lying = lie(sim.clone(), Arc::clone(&notes), seed, stop.clone());
        Self {
            tasks: vec![tokio::spawn(switching), tokio::spawn(lying), tokio::spawn(keeping)],
            notes,
            stop,
        }
    }

    pub fn activations(&self) -> u64 {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .totals
            .activations_answered
    }

    /// Ends with the switch off, and tells what was done.
    pub async fn stop(self) -> (Vec<FencedSpan>, Vec<Activation>, OperatorTotals) {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked has told what it saw until then.
            let _ = task.await;
        }
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        (notes.fenced, notes.activations, notes.totals)
    }
}

async fn pause(millis: u64, stop: &CancellationToken) {
    let sleep = tokio::time::sleep(Duration::from_millis(millis));
    stop.run_until_cancelled(sleep).await;
}

async fn switch(calls: Calls, sim: SimAdmin, notes: Arc<Mutex<Notes>>, seed: u64, stop: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(mix(seed, 500));
    let note = |change: &mut dyn FnMut(&mut Notes)| change(&mut notes.lock().unwrap_or_else(PoisonError::into_inner));
    for round in 0u64.. {
        pause(rng.random_range(1500..5000), &stop).await;
        if stop.is_cancelled() {
            return;
        }
        // Orders that are on their way in this moment, some of them past their receive window.
        let (on_the_way, ms, ahead_ms) = (
            rng.random_bool(0.7),
            rng.random_range(150..900u64),
            rng.random_range(20..200),
        );
        if on_the_way {
            let latency = json!({ "kind": "latency", "count": 4, "ms": ms });
            // An exchange that is down holds nothing.
            let _ = sim.fault(&latency).await;
            pause(ahead_ms, &stop).await;
        }
        let (begun, reason) = (Instant::now(), "the soak closes the fence");
        // Mostly the fence alone; now and then the gateway has to cancel and to sell while it is killed.
        let level = match rng.random_range(0..6) {
            0 => KillSwitchLevel::CancelOrders,
            1 => KillSwitchLevel::Flatten,
            _ => KillSwitchLevel::HaltNew,
        };
        let request_id = format!("soak-on-{round}");
        let answer = loop {
            match calls.activate(reason, &request_id, level).await {
                Ok(answer) => break Some(answer),
                Err(_) if begun.elapsed() < ANSWER_WITHIN => tokio::time::sleep(ASK_AGAIN).await,
                Err(_) => break None,
            }
        };
        let answered_at_ms = clock::now_ms();
        let Some(answer) = answer else { return };
        note(&mut |notes| {
            notes.totals.activations_answered += 1;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            notes.totals.slowest_activation_ms = notes.totals.slowest_activation_ms.max(took);
            notes.fenced.push(FencedSpan {
                answered_at_ms,
                deactivation_asked_at_ms: None,
            });
            notes.activations.push(Activation {
                epoch: answer.epoch,
                durable: answer.durable,
            });
        });
        pause(rng.random_range(200..1800), &stop).await;
        let asked_at_ms = clock::now_ms();
        note(&mut |notes| {
            if let Some(last) = notes.fenced.last_mut() {
                last.deactivation_asked_at_ms = Some(asked_at_ms);
            }
        });
        let (begun, request_id) = (Instant::now(), format!("soak-off-{round}"));
        while calls.deactivate("the soak opens the fence", &request_id).await.is_err() {
            if begun.elapsed() >= ANSWER_WITHIN {
                return;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

/// What is done in passing: limits are changed, books are compared.
async fn keep_house(calls: Calls, seed: u64, stop: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(mix(seed, 700));
    while !stop.is_cancelled() {
        pause(rng.random_range(300..2500), &stop).await;
        let limit = rng.random_range(90_000..100_000);
        // Whoever is down now is asked again later.
        let _ = if rng.random_bool(0.6) {
            calls.change_limit(limit).await
        } else {
            calls.reconcile(false).await.map(|_| ())
        };
    }
}

/// What the exchange can be made to do.
fn fault(rng: &mut StdRng) -> Value {
    let (count, ms) = (rng.random_range(1..4u64), rng.random_range(50..1200u64));
    let kinds = [
        json!({ "kind": "error_503_after", "count": count }),
        json!({ "kind": "error_503_before", "count": count }),
        json!({ "kind": "timeout_after", "count": 1, "ms": ms }),
        json!({ "kind": "timeout_before", "count": 1, "ms": ms }),
        json!({ "kind": "latency", "count": count, "ms": ms }),
        json!({ "kind": "latency_after", "count": count, "ms": ms }),
        json!({ "kind": "drop_stream_event", "count": 3 * count }),
        json!({ "kind": "duplicate_stream_event", "count": 5 * count }),
        json!({ "kind": "reorder_stream_event", "count": 3 * count }),
        json!({ "kind": "disconnect_streams" }),
        json!({ "kind": "hide_order", "count": count, "method": "GET" }),
    ];
    kinds[rng.random_range(0..kinds.len())].clone()
}

/// Together they are what an order's fate hangs on: it was executed, nobody is told, and who asks hears that there is none.
fn hidden_execution() -> [Value; 3] {
    [
        json!({ "kind": "drop_stream_event", "count": 4 }),
        json!({ "kind": "hide_order", "count": 4, "method": "GET" }),
        json!({ "kind": "error_503_after", "count": 1 }),
    ]
}

async fn lie(sim: SimAdmin, notes: Arc<Mutex<Notes>>, seed: u64, stop: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(mix(seed, 600));
    while !stop.is_cancelled() {
        pause(rng.random_range(200..1500), &stop).await;
        let (one, hides) = (fault(&mut rng), rng.random_bool(0.25));
        let faults = if hides { hidden_execution().to_vec() } else { vec![one] };
        for fault in &faults {
            // An exchange that is down takes no orders of this kind either.
            if sim.fault(fault).await.is_ok() {
                notes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .totals
                    .faults_ordered += 1;
            }
        }
    }
}
