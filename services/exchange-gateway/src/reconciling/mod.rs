//! Reconciliation: taking a snapshot that holds still, comparing, repairing what is safe. At the start, in the background
//! and on demand, one pass at a time.

mod adopt;
mod background;
mod conclude;
mod cursor;
mod facts;
mod overriding;
mod quick;
mod report;
mod snapshot;
#[cfg(test)]
mod speed;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_proto::gateway::v1 as pb;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, Repeated, begin_write, failpoint, repeated_answer};
use thunes_types::{Reason, RequestId};

use crate::domain::reconcile::{Comparison, WipeSigns, compare};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

pub(crate) use background::reconcile_in_background;
pub(crate) use state::Reconciling;

use adopt::Adopt;
use snapshot::Held;
use state::Agreed;

/// Keeps request ids of different methods apart.
const METHOD: &str = "Reconcile";
/// A snapshot is taken again while trading goes on in between.
const TRIES: u32 = 8;
const BETWEEN_TRIES: Duration = Duration::from_millis(150);

/// How a pass is made.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// Compare everything since the baseline, not only what is new.
    full: bool,
    adopt: Adopt,
    /// Ask about orders in doubt, too; in the background the resolver does that.
    ask_doubts: bool,
}

/// What a pass came to.
struct Pass {
    /// What was found first, and what each adoption that failed said.
    first: Comparison,
    failures: std::collections::BTreeMap<String, String>,
    adopted: bool,
    /// What is left after the repairs.
    after: Comparison,
    full: bool,
    revision: i64,
    fills_compared: i64,
    fills_agreed_before: i64,
    open_orders: i64,
    agreed: Option<Agreed>,
}

impl Engine {
    /// Compares the exchange with the journal and the book; with `repair`, adopts what the exchange has and we lack.
    ///
    /// # Errors
    /// For a request that is wrong. A side that cannot be read makes the verdict UNDETERMINED, not an error.
    pub(crate) async fn reconcile(
        self: &Arc<Self>,
        request: &pb::ReconcileRequest,
        actor: &str,
    ) -> Result<pb::ReconcileResponse, GatewayError> {
        if request.repair || !request.reason.is_empty() {
            Reason::parse(&request.reason)?;
        }
        if !request.request_id.is_empty() {
            RequestId::parse(&request.request_id)?;
        }
        // Of two requests under one id the second waits for the first one's answer.
        let turn = self.turn(&format!("reconcile:{}", request.request_id));
        let _mine = if request.request_id.is_empty() {
            None
        } else {
            Some(turn.lock().await)
        };
        if let Some(answer) = self.answered_before(request).await? {
            return Ok(answer);
        }
        let _one = self.reconciling.one.lock().await;
        let (started_at_ms, start) = (clock::now_ms(), clock::instant());
        let manner = Manner {
            full: request.full,
            adopt: if request.repair { Adopt::All } else { Adopt::Nothing },
            ask_doubts: true,
        };
        let pass = self.pass(manner).await;
        let mut answer = self.shown_pass(&pass)?;
        answer.started_at_ms = started_at_ms;
        answer.duration_ms = clock::elapsed_ms(start);
        self.keep_outcome(pass, &answer, Some(request), actor).await?;
        Ok(answer)
    }

    async fn answered_before(
        &self,
        request: &pb::ReconcileRequest,
    ) -> Result<Option<pb::ReconcileResponse>, GatewayError> {
        if request.request_id.is_empty() {
            return Ok(None);
        }
        let mut tx = begin_write(&self.database.pool).await?;
        match repeated_answer(&mut tx, METHOD, &request.request_id, request).await? {
            Repeated::No => Ok(None),
            Repeated::Same(answer) => Ok(Some(answer)),
            Repeated::Other => Err(GatewayError::RequestIdReused(request.request_id.clone())),
        }
    }

    /// One pass: what is new first; where that does not agree, everything.
    async fn pass(self: &Arc<Self>, manner: Manner) -> Result<Pass, GatewayError> {
        if !manner.full
            && let Some(pass) = self.quick_pass(manner).await?
        {
            return Ok(pass);
        }
        let (first, held) = self.settled_comparison(manner).await?;
        let mut pass = Pass {
            after: first.clone(),
            failures: std::collections::BTreeMap::new(),
            adopted: false,
            full: true,
            revision: held.revision,
            fills_compared: held.fills_read,
            fills_agreed_before: 0,
            open_orders: held.open_orders(),
            agreed: held.agreed(&first),
            first,
        };
        if let Some(failures) = self.adopt(manner.adopt, &pass.first).await {
            let (after, held) = self.settled_comparison(manner).await?;
            pass.agreed = held.agreed(&after);
            pass.revision = held.revision;
            (pass.after, pass.failures, pass.adopted) = (after, failures, true);
        }
        Ok(pass)
    }

    /// A difference counts when it is seen twice at the same book revision.
    async fn settled_comparison(self: &Arc<Self>, manner: Manner) -> Result<(Comparison, Held), GatewayError> {
        let mut last: Option<(std::collections::BTreeSet<String>, i64)> = None;
        for _ in 0..TRIES {
            let held = self.held_snapshot(manner).await?;
            let comparison = compare(&held.snapshot)?;
            let identities = comparison.identities();
            let again = last
                .as_ref()
                .is_some_and(|(before, revision)| *revision == held.revision && *before == identities);
            if identities.is_empty() || again {
                if let Some(signs) = &comparison.wipe {
                    self.note_wipe(signs).await?;
                }
                return Ok((comparison, held));
            }
            last = Some((identities, held.revision));
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(moving("the comparison"))
    }

    /// The account was wiped: from now on the absence of an order that was sent before proves nothing.
    pub(crate) async fn note_wipe(&self, signs: &WipeSigns) -> Result<(), GatewayError> {
        let known_ms = self.reconciling.wiped_at_ms.load(Ordering::SeqCst);
        if known_ms > 0 && signs.newest_vanished_ms <= known_ms {
            return Ok(());
        }
        let now_ms = clock::now_ms();
        let payload = serde_json::json!({
            "vanished_trades": signs.vanished_trades,
            "vanished_orders": signs.vanished_orders.iter().take(20).collect::<Vec<_>>(),
            "newest_vanished_ms": signs.newest_vanished_ms,
            "examples": signs.examples,
        });
        let reason = "the exchange does not know any more what it told of before";
        let event = OutboxEvent::now("ACCOUNT_WIPE_DETECTED", reason, "exchange-gateway", payload);
        let mut tx = begin_write(&self.database.pool).await?;
        store::set_fact(&mut tx, state::FACT_WIPED, &state::kept(&now_ms)?).await?;
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.wipe.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.wipe.after_commit");
        self.reconciling.wiped_at_ms.store(now_ms, Ordering::SeqCst);
        self.outbox.wake();
        tracing::error!(
            trades = signs.vanished_trades,
            "the account was wiped; orders in doubt from before need an operator"
        );
        Ok(())
    }
}

fn moving(what: &'static str) -> GatewayError {
    GatewayError::Dependency(what, "it does not hold still while trading goes on".into())
}

fn position_away(status: &tonic::Status) -> GatewayError {
    GatewayError::Dependency("position", status.message().to_owned())
}
