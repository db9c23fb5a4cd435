//! The gateway's lease: asked for again and again, and given up the moment that risk says halt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_proto::risk::v1::{HoldLeaseRequest, HoldLeaseResponse, LiveOrder, MarketPrice};
use thunes_proto::types::v1 as types;
use thunes_runtime::clock;
use thunes_store::{begin_write, failpoint};
use thunes_types::{ReasonCode, Scope};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::domain::fence::Lease;
use crate::domain::order::Side;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::stopping::HaltOrder;
use crate::store;

/// Three renewals to a lease of a second: two may get lost.
const RENEWAL: Duration = Duration::from_millis(300);
const PERSIST_PAUSE: Duration = Duration::from_secs(1);
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Risk answers each renewal; silence for this long means that the stream is dead.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const QUEUE_MAX: usize = 16;
/// Renewals whose answer is still waited for.
const ASKED_MAX: usize = 64;

/// The fact that holds the highest halted epoch.
pub(crate) const FACT_HALTED_EPOCH: &str = "highest_halted_epoch";

/// Holds a lease until `shutdown`, connecting again after every loss.
pub(crate) async fn hold_lease(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut lost = false;
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = hold_once(&engine) => result,
        };
        engine.with_gate(|gate| gate.connected(false));
        if let Err(status) = result
            && !lost
        {
            tracing::warn!(
                message = status.message(),
                "no lease stream to risk; opening is refused once the lease has run out"
            );
            lost = true;
        } else {
            lost = false;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
}

/// What one stream knows.
struct Session {
    engine: Arc<Engine>,
    out: mpsc::Sender<HoldLeaseRequest>,
    renew_seq: i64,
    /// Renewal to the boot time before it was sent: the lease counts from there.
    asked: HashMap<i64, i64>,
    /// What was said last.
    said: Word,
    /// The epoch that is being written.
    persisting: i64,
    next_ask: tokio::time::Instant,
}

/// What risk must hear at once when it changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    /// The epoch whose halt of everything can be confirmed; 0 when none can.
    confirmed_epoch: i64,
    /// Those of halts of one symbol or strategy.
    confirmed_halts: Vec<i64>,
    /// The highest halted epoch that is on disk.
    persisted_epoch: i64,
    /// How often a stop has made news.
    stop_news: u64,
}

impl Engine {
    fn word(&self) -> Word {
        let now = clock::boot_ms();
        let (confirmed_epoch, confirmed_halts) =
            self.gate(|gate| (gate.confirmable(now).unwrap_or(0), gate.confirmable_scoped(now)));
        Word {
            confirmed_epoch,
            confirmed_halts,
            persisted_epoch: self.persisted_epoch.load(Ordering::SeqCst),
            stop_news: self.stop_news.load(Ordering::SeqCst),
        }
    }
}

async fn hold_once(engine: &Arc<Engine>) -> Result<(), Status> {
    let (out, requests) = mpsc::channel(QUEUE_MAX);
    let mut session = Session {
        engine: Arc::clone(engine),
        out,
        renew_seq: 0,
        asked: HashMap::new(),
        said: Word::default(),
        persisting: 0,
        next_ask: tokio::time::Instant::now(),
    };
    session.ask().await?;
    let mut risk = engine.risk.clone();
    let open = risk.hold_lease(ReceiverStream::new(requests));
    let mut answers = tokio::time::timeout(SILENCE_MAX, open)
        .await
        .map_err(|_| Status::deadline_exceeded("risk did not open the stream"))??
        .into_inner();
    engine.with_gate(|gate| gate.connected(true));
    let mut gate_changes = engine.watch_gate();
    let mut heard = clock::instant();
    loop {
        let quiet_at = engine.gate(|gate| gate.quiet_at_boot_ms());
        let until_quiet = quiet_at.map_or(RENEWAL, |at| {
            Duration::from_millis(u64::try_from(at - clock::boot_ms()).unwrap_or(0).max(1))
        });
        // A fixed moment: orders that keep this loop busy must not push the renewal out.
        let next = session.next_ask.min(tokio::time::Instant::now() + until_quiet);
        tokio::select! {
            answer = answers.message() => {
                let Some(answer) = answer? else { return Ok(()) };
                heard = clock::instant();
                session.take_over(answer).await?;
            }
            () = tokio::time::sleep_until(next) => session.ask().await?,
            changed = gate_changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                session.confirm().await?;
            }
        }
        if heard.elapsed() > SILENCE_MAX {
            return Err(Status::deadline_exceeded("risk is silent"));
        }
    }
}

impl Session {
    /// Sends a renewal, and with it whatever risk should know.
    async fn ask(&mut self) -> Result<(), Status> {
        let now = clock::boot_ms();
        self.renew_seq += 1;
        self.next_ask = tokio::time::Instant::now() + RENEWAL;
        if self.asked.len() >= ASKED_MAX {
            self.asked.clear();
        }
        // Read before anything is sent: risk can only grant later than this.
        self.asked.insert(self.renew_seq, now);
        self.engine.with_gate(|gate| gate.forget_dead(now));
        self.said = self.engine.word();
        let confirmed_epoch = self.said.confirmed_epoch;
        let request = HoldLeaseRequest {
            gateway_id: self.engine.config.id.clone(),
            account: self.engine.config.account.clone(),
            incarnation: self.engine.incarnation.clone(),
            renew_seq: self.renew_seq,
            highest_halted_epoch: self.engine.gate(|gate| gate.highest_halted_epoch()),
            confirmed_epoch,
            confirmed_persisted: confirmed_epoch > 0 && self.said.persisted_epoch >= confirmed_epoch,
            confirmed_halts: self.said.confirmed_halts.clone(),
            persisted_epoch: self.said.persisted_epoch,
            stops: self.engine.stops_for_risk(),
            health: Some(self.engine.health_for_risk()),
            live_orders: self.engine.live_orders_for_risk(),
            prices: self.engine.prices_for_risk(),
            live_orders_complete: true,
            grace_ms: self.engine.config.fence.recv_window_ms + self.engine.config.fence.uncertainty_ms,
        };
        self.out
            .send(request)
            .await
            .map_err(|_| Status::cancelled("the stream ended"))
    }

    /// Says at once that the gate is closed and quiet, or how far a stop is, if that was not said.
    async fn confirm(&mut self) -> Result<(), Status> {
        if self.engine.word() == self.said {
            Ok(())
        } else {
            self.ask().await
        }
    }

    /// Takes over which halts hold: the gate closes before anything else happens.
    fn take_over_halts(&mut self, answer: &HoldLeaseResponse) -> Result<(), Status> {
        let read = answer.halts.iter().map(HaltOrder::read).collect::<Result<Vec<_>, _>>();
        // Unknown means no: without a lease nothing opens until risk is understood again.
        let halts =
            read.map_err(|error| Status::internal(format!("risk names a halt that cannot be read: {error}")))?;
        let scoped = halts.iter().filter(|halt| halt.scope != Scope::All);
        let scoped: Vec<_> = scoped.map(|halt| (halt.scope.clone(), halt.epoch)).collect();
        let news = self.engine.with_gate(|gate| gate.told(answer.epoch, scoped));
        if news {
            let scopes: Vec<_> = halts.iter().map(|halt| halt.scope.to_string()).collect();
            tracing::warn!(
                epoch = answer.epoch,
                halted = scopes.join(", "),
                "the halts of symbols and strategies changed"
            );
        }
        if answer.kill_switch_active || !halts.is_empty() {
            // The disk is asked on the side: a hung one does not delay the word.
            self.persist(answer.epoch);
        }
        // Who does not hold the account carries nothing out. A push does not say who holds it; the next answer does.
        match (answer.renew_seq, answer.refused_reason_code.is_empty()) {
            (0, _) => {}
            (_, true) => self.engine.set_halts(Some(halts)),
            (_, false) => self.engine.set_halts(None),
        }
        Ok(())
    }

    async fn take_over(&mut self, answer: HoldLeaseResponse) -> Result<(), Status> {
        let asked_boot_ms = self.asked.remove(&answer.renew_seq);
        self.take_over_halts(&answer)?;
        if answer.kill_switch_active {
            let news = self.engine.with_gate(|gate| gate.halt(answer.epoch));
            if news {
                tracing::warn!(epoch = answer.epoch, "kill-switch active: the gate is closed");
            }
            return self.confirm().await;
        }
        if let Some(code) = ReasonCode::parse(&answer.refused_reason_code) {
            self.engine.with_gate(|gate| gate.refuse(code));
            return Ok(());
        }
        match asked_boot_ms {
            Some(asked_boot_ms) if answer.lease_ms > 0 => {
                let lease = Lease {
                    end_boot_ms: asked_boot_ms + answer.lease_ms,
                    epoch: answer.epoch,
                    risk_incarnation: answer.incarnation,
                };
                self.engine.with_gate(|gate| gate.granted(lease));
                Ok(())
            }
            // A push: the switch was turned off; ask at once instead of at the next renewal.
            _ => {
                self.engine.with_gate(|gate| gate.lifted(answer.epoch));
                self.ask().await
            }
        }
    }

    fn persist(&mut self, epoch: i64) {
        if self.engine.persisted_epoch.load(Ordering::SeqCst) >= epoch || self.persisting >= epoch {
            return;
        }
        self.persisting = epoch;
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            while let Err(error) = persist_halted_epoch(&engine, epoch).await {
                tracing::error!(%error, epoch, "the halted epoch could not be written; trying on");
                tokio::time::sleep(PERSIST_PAUSE).await;
            }
            engine.persisted_epoch.fetch_max(epoch, Ordering::SeqCst);
            // Wakes the stream, which tells risk.
            engine.with_gate(|_| ());
        });
    }
}

async fn persist_halted_epoch(engine: &Engine, epoch: i64) -> Result<(), GatewayError> {
    let mut tx = begin_write(&engine.database.pool).await?;
    store::raise_fact(&mut tx, FACT_HALTED_EPOCH, epoch).await?;
    failpoint::pass("gateway.halt.before_commit");
    tx.commit().await?;
    failpoint::pass("gateway.halt.after_commit");
    Ok(())
}

impl Engine {
    fn live_orders_for_risk(&self) -> Vec<LiveOrder> {
        let live = |order: crate::store::OrderRow| {
            LiveOrder {
                side: match order.side() {
                    Side::Buy => types::Side::Buy,
                    Side::Sell => types::Side::Sell,
                } as i32,
                remaining_quantity: order
                    .remaining_quantity()
                    .map_or_else(|_| order.quantity.clone(), |v| v.to_string()),
                // All of it stays reserved until the order has ended and position has its fills: a part that is filled
                // counts twice for a while, which errs on the safe side.
                remaining_notional: order.notional.clone(),
                client_order_id: order.client_order_id,
                symbol: order.symbol,
                strategy_id: order.strategy_id,
                state: order.state,
            }
        };
        self.live().into_iter().map(live).collect()
    }

    fn prices_for_risk(&self) -> Vec<MarketPrice> {
        let price = |(symbol, price, at_ms): (String, thunes_types::Decimal, i64)| MarketPrice {
            symbol,
            price: price.to_string(),
            at_ms,
        };
        self.prices().into_iter().map(price).collect()
    }
}
