//! Clients that trade without pause and write down what they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use serde::Serialize;
use thunes_proto::gateway::v1::{Order, OrderState, OrderType, SubmitOrderRequest, TimeInForce};
use thunes_proto::types::v1::Side;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::oracle::Told;
use crate::schedule::mix;
use crate::tally::Tally;
use crate::{Calls, SoakError};

/// Between two actions of one client.
const PAUSE_MS: (u64, u64) = (5, 40);
/// After an answer that was none: a service that is down is not to be hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(40);
/// Orders that a client comes back to.
const REMEMBERED_MAX: usize = 64;

/// What the clients did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LoadTotals {
    pub orders_sent: u64,
    pub retries_sent: u64,
    pub cancels_sent: u64,
    pub answered: u64,
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Vec<Told>>,
    sent: Tally,
    retries: Tally,
    cancels: Tally,
    answered: Tally,
    failed: Tally,
}

/// The clients while they run.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    stop: CancellationToken,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients`, each with chances of its own. `prices` are where limit orders are placed about.
    pub fn start(calls: &Calls, clients: usize, seed: u64, prices: &BTreeMap<String, Decimal>) -> Self {
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let client = |number: usize| {
            let client = Client {
                number,
                count: 0,
                calls: calls.clone(),
                shared: Arc::clone(&shared),
                rng: StdRng::seed_from_u64(mix(seed, 1000 + number as u64)),
                prices: prices.clone(),
                past: Vec::new(),
            };
            tokio::spawn(client.run(stop.clone()))
        };
        Self {
            clients: (0..clients).map(client).collect(),
            shared,
            stop,
        }
    }

    pub fn totals(&self) -> LoadTotals {
        let shared = &self.shared;
        LoadTotals {
            orders_sent: shared.sent.get(),
            retries_sent: shared.retries.get(),
            cancels_sent: shared.cancels.get(),
            answered: shared.answered.get(),
            failed: shared.failed.get(),
        }
    }

    /// Sends no more, waits for what is under way, and gives everything that was told.
    ///
    /// # Errors
    /// When a client panicked.
    pub async fn stop(self) -> Result<(Vec<Told>, LoadTotals), SoakError> {
        self.stop.cancel();
        for client in self.clients {
            client
                .await
                .map_err(|error| SoakError::NotReady(format!("a client of the soak ended: {error}")))?;
        }
        let told = std::mem::take(&mut *self.shared.told.lock().unwrap_or_else(PoisonError::into_inner));
        let shared = &self.shared;
        let totals = LoadTotals {
            orders_sent: shared.sent.get(),
            retries_sent: shared.retries.get(),
            cancels_sent: shared.cancels.get(),
            answered: shared.answered.get(),
            failed: shared.failed.get(),
        };
        Ok((told, totals))
    }
}

/// A symbol and how it is traded here: quantity of a limit order, of a sale, decimals of a price.
const SYMBOLS: [(&str, &str, &str); 2] = [("BTCUSDT", "0.0005", "0.0002"), ("ETHUSDT", "0.0100", "0.0050")];

struct Client {
    number: usize,
    count: u64,
    calls: Calls,
    shared: Arc<Shared>,
    rng: StdRng,
    prices: BTreeMap<String, Decimal>,
    past: Vec<SubmitOrderRequest>,
}

impl Client {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.act().await;
            let pause = self.rng.random_range(PAUSE_MS.0..PAUSE_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn act(&mut self) {
        let chance = self.rng.random_range(0..100);
        let earlier = self.rng.random_range(0..self.past.len().max(1));
        match self.past.get(earlier).cloned() {
            Some(order) if chance < 8 => {
                self.shared.cancels.one();
                let answer = self.calls.cancel(&order.client_order_id).await;
                self.heard(answer.map(|answer| answer.order)).await;
            }
            Some(order) if chance < 14 => {
                self.shared.retries.one();
                self.submit(order).await;
            }
            _ => {
                let order = self.new_order();
                self.shared.sent.one();
                if self.past.len() >= REMEMBERED_MAX {
                    self.past.remove(0);
                }
                self.past.push(order.clone());
                let answered = self.submit(order.clone()).await;
                // A caller who was not answered asks again under the same id, or leaves it.
                if !answered && self.rng.random_bool(0.5) {
                    self.shared.retries.one();
                    self.submit(order).await;
                }
            }
        }
    }

    async fn submit(&self, order: SubmitOrderRequest) -> bool {
        let answer = self.calls.submit(order).await;
        self.heard(answer.map(|answer| answer.order)).await
    }

    /// Keeps what was said; false when nothing was.
    async fn heard(&self, answer: Result<Option<Order>, tonic::Status>) -> bool {
        let Ok(Some(order)) = answer else {
            self.shared.failed.one();
            tokio::time::sleep(AFTER_FAILURE).await;
            return false;
        };
        self.shared.answered.one();
        if order.state() == OrderState::Unspecified {
            return true;
        }
        let told = Told {
            state: order.state(),
            executed: order
                .executed_quantity
                .parse::<Decimal>()
                .unwrap_or_default()
                .normalize(),
            client_order_id: order.client_order_id,
        };
        self.shared
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(told);
        true
    }

    fn new_order(&mut self) -> SubmitOrderRequest {
        self.count += 1;
        let (symbol, quantity, sold) = SYMBOLS[self.rng.random_range(0..SYMBOLS.len())];
        let (sells, limit) = (self.rng.random_bool(0.4), self.rng.random_bool(0.3));
        let spent = self.rng.random_range(15..60u32);
        // About the price, on either side: some fill at once, some rest, some never fill.
        let per_mille = Decimal::from(self.rng.random_range(990..1010u32));
        let fleeting = self.rng.random_bool(0.3);
        let mut order = SubmitOrderRequest {
            client_order_id: format!("s{}-{}", self.number, self.count),
            symbol: symbol.to_owned(),
            side: if sells { Side::Sell } else { Side::Buy }.into(),
            ..Default::default()
        };
        if limit {
            let price = self.prices.get(symbol).copied().unwrap_or(Decimal::ONE) * per_mille / Decimal::ONE_THOUSAND;
            order.r#type = OrderType::Limit.into();
            order.quantity = quantity.to_owned();
            order.limit_price = price.round_dp(2).normalize().to_string();
            let time_in_force = if fleeting { TimeInForce::Ioc } else { TimeInForce::Gtc };
            order.time_in_force = time_in_force.into();
        } else if sells {
            order.quantity = sold.to_owned();
        } else {
            order.quote_amount = spent.to_string();
        }
        order
    }
}
