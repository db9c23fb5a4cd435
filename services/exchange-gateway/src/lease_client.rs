//! The gateway's lease: asked for again and again, and given up the moment that risk says halt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_proto::risk::v1::{HoldLeaseRequest, HoldLeaseResponse, LiveOrder, MarketPrice};
use thunes_proto::types::v1 as types;
use thunes_runtime::clock;
use thunes_store::{begin_write, failpoint};
use thunes_types::ReasonCode;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::domain::fence::Lease;
use crate::domain::order::Side;
use crate::engine::Engine;
use crate::error::GatewayError;
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
    /// The epoch whose halt was confirmed, and whether with it being on disk.
    confirmed: (i64, bool),
    /// The epoch that is being written.
    persisting: i64,
    next_ask: tokio::time::Instant,
}

async fn hold_once(engine: &Arc<Engine>) -> Result<(), Status> {
    let (out, requests) = mpsc::channel(QUEUE_MAX);
    let mut session = Session {
        engine: Arc::clone(engine),
        out,
        renew_seq: 0,
        asked: HashMap::new(),
        confirmed: (0, false),
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
        let confirmable = self.engine.with_gate(|gate| {
            gate.forget_dead(now);
            gate.confirmable(now)
        });
        let confirmed_epoch = confirmable.unwrap_or(0);
        let persisted = confirmed_epoch > 0 && self.engine.persisted_epoch.load(Ordering::SeqCst) >= confirmed_epoch;
        if confirmed_epoch > 0 {
            self.confirmed = (confirmed_epoch, persisted);
        }
        let request = HoldLeaseRequest {
            gateway_id: self.engine.config.id.clone(),
            account: self.engine.config.account.clone(),
            incarnation: self.engine.incarnation.clone(),
            renew_seq: self.renew_seq,
            highest_halted_epoch: self.engine.gate(|gate| gate.highest_halted_epoch()),
            confirmed_epoch,
            confirmed_persisted: persisted,
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

    /// Says at once that the gate is closed and quiet, if that is so and was not said.
    async fn confirm(&mut self) -> Result<(), Status> {
        let confirmable = self.engine.gate(|gate| gate.confirmable(clock::boot_ms()));
        let persisted = |epoch: i64| self.engine.persisted_epoch.load(Ordering::SeqCst) >= epoch;
        match confirmable {
            Some(epoch) if self.confirmed != (epoch, persisted(epoch)) => self.ask().await,
            Some(_) | None => Ok(()),
        }
    }

    async fn take_over(&mut self, answer: HoldLeaseResponse) -> Result<(), Status> {
        let asked_boot_ms = self.asked.remove(&answer.renew_seq);
        if answer.kill_switch_active {
            let news = self.engine.with_gate(|gate| gate.halt(answer.epoch));
            if news {
                tracing::warn!(epoch = answer.epoch, "kill-switch active: the gate is closed");
            }
            // The disk is asked on the side: a hung one does not delay the word.
            self.persist(answer.epoch);
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
    store::set_fact(&mut tx, FACT_HALTED_EPOCH, &epoch.to_string()).await?;
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
