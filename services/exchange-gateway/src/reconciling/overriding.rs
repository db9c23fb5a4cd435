//! An operator opens in spite of discrepancies: with a reason, for a time, and only for those that are known.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thunes_proto::gateway::v1 as pb;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, Repeated, begin_write, failpoint, remember_answer, repeated_answer};
use thunes_types::{FieldError, Reason, RequestId};

use super::snapshot::count;
use super::state::{FACT_OVERRIDE, kept};
use crate::domain::reconcile::gate::Override;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

const METHOD: &str = "OverrideReconciliation";
const VALID_FOR_DEFAULT_MS: i64 = 3600 * 1000;
const VALID_FOR_MAX_MS: i64 = 24 * 3600 * 1000;
/// Discrepancies that the event names.
const NAMED_MAX: usize = 20;

impl Engine {
    /// Lets opening go on in spite of what the last reconciliation found.
    ///
    /// # Errors
    /// For a request that is wrong, or a journal that cannot be written.
    pub(crate) async fn override_reconciliation(
        self: &Arc<Self>,
        request: &pb::OverrideReconciliationRequest,
        actor: &str,
    ) -> Result<pb::OverrideReconciliationResponse, GatewayError> {
        Reason::parse(&request.reason)?;
        if !request.request_id.is_empty() {
            RequestId::parse(&request.request_id)?;
        }
        if !(0..=VALID_FOR_MAX_MS).contains(&request.valid_for_ms) {
            let rule = "0 (one hour) to 86400000 (24 hours)";
            return Err(FieldError::new("valid_for_ms", &request.valid_for_ms.to_string(), rule).into());
        }
        // What a pass is finding at this moment must be known first.
        let _one = self.reconciling.one.lock().await;
        let mut tx = begin_write(&self.database.pool).await?;
        if !request.request_id.is_empty() {
            match repeated_answer(&mut tx, METHOD, &request.request_id, request).await? {
                Repeated::No => {}
                Repeated::Same(answer) => return Ok(answer),
                Repeated::Other => return Err(GatewayError::RequestIdReused(request.request_id.clone())),
            }
        }
        let (clean, seen) = self
            .reconciling
            .gate(|gate| (gate.is_clean(), gate.found().cloned().unwrap_or_default()));
        if clean {
            return Ok(pb::OverrideReconciliationResponse::default());
        }
        let valid_for_ms = match request.valid_for_ms {
            0 => VALID_FOR_DEFAULT_MS,
            asked => asked,
        };
        let overridden = Override {
            expires_at_ms: clock::now_ms() + valid_for_ms,
            reason: request.reason.clone(),
            actor: actor.to_owned(),
            seen,
        };
        let answer = pb::OverrideReconciliationResponse {
            overridden: true,
            discrepancies: count(overridden.seen.len()),
            expires_at_ms: overridden.expires_at_ms,
        };
        let payload = serde_json::json!({
            "discrepancies": answer.discrepancies,
            "named": overridden.seen.iter().take(NAMED_MAX).collect::<Vec<_>>(),
            "expires_at_ms": overridden.expires_at_ms,
        });
        let event = OutboxEvent::now("RECONCILIATION_OVERRIDDEN", &request.reason, actor, payload);
        store::set_fact(&mut tx, FACT_OVERRIDE, &kept(&overridden)?).await?;
        self.outbox.add(&mut tx, &event).await?;
        if !request.request_id.is_empty() {
            remember_answer(&mut tx, METHOD, &request.request_id, request, &answer).await?;
        }
        failpoint::pass("gateway.override.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.override.after_commit");
        self.reconciling.gate(|gate| gate.set_override(overridden));
        self.outbox.wake();
        tracing::warn!(reason = %request.reason, actor, "reconciliation overridden; opening goes on");
        Ok(answer)
    }

    /// What the status shows of reconciliation.
    pub(crate) fn reconciliation_status(&self) -> pb::ReconciliationStatus {
        let latest = self.reconciling.state();
        let now_ms = clock::now_ms();
        let (clean, overridden) = self.reconciling.gate(|gate| {
            let holds = gate.is_open(now_ms) && !gate.is_clean();
            (gate.is_clean(), gate.overridden().filter(|_| holds).cloned())
        });
        let given = overridden.as_ref();
        pb::ReconciliationStatus {
            verdict: latest.verdict as i32,
            mismatches: latest.mismatches,
            unexplained: latest.unexplained_quote.to_string(),
            unexplained_asset: latest.unexplained_asset,
            unexplained_above_tolerance: latest.above_tolerance,
            finished_at_ms: latest.finished_at_ms,
            clean_since_start: clean,
            overridden: given.is_some(),
            override_reason: given.map(|o| o.reason.clone()).unwrap_or_default(),
            override_actor: given.map(|o| o.actor.clone()).unwrap_or_default(),
            override_expires_at_ms: given.map_or(0, |o| o.expires_at_ms),
            undetermined_reason: latest.undetermined_reason,
            wiped_at_ms: self.reconciling.wiped_at_ms.load(Ordering::SeqCst),
        }
    }
}
