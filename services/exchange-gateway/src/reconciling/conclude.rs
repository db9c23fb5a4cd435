//! What a pass leaves behind: the gate, the latest state, the audit event, where the next pass goes on from.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use thunes_proto::gateway::v1 as pb;
use thunes_proto::risk::v1::ReconciliationHealth;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, begin_write, failpoint, remember_answer};
use thunes_types::Decimal;

use super::state::{FACT_AGREED, FACT_OVERRIDE, ReconciliationState, kept};
use super::{METHOD, Pass};
use crate::domain::reconcile::gate::Ended;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

/// New discrepancies that the end of an override names.
const NAMED_MAX: usize = 20;

impl Engine {
    /// Takes the outcome over. A pass in the background (without a request) writes its event only when it found something
    /// else than the one before.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) async fn keep_outcome(
        &self,
        pass: Result<Pass, GatewayError>,
        answer: &pb::ReconcileResponse,
        request: Option<&pb::ReconcileRequest>,
        actor: &str,
    ) -> Result<(), GatewayError> {
        let now_ms = clock::now_ms();
        let (found, ended, agreed) = match pass {
            Ok(pass) => {
                let blocking = pass.after.blocking();
                self.tell(answer, blocking.len(), now_ms);
                let ended = self.reconciling.gate(|gate| gate.reconciled(blocking, now_ms));
                let mut found = pass.after.identities();
                // What was adopted at once is news, too.
                found.extend(pass.adopted.then(|| format!("adopted at revision {}", pass.revision)));
                (Some(found), ended, Some(pass.agreed))
            }
            Err(error) => {
                self.reconciling
                    .latest
                    .send_modify(|latest| latest.undetermined_reason = error.to_string());
                (None, None, None)
            }
        };
        // It has ended already, whatever becomes of the disk; its event is written by a later pass if not by this one.
        let ended = self.reconciling.keep_ended(ended);
        let mut tx = begin_write(&self.database.pool).await?;
        if let Some(ended) = &ended {
            store::set_fact(&mut tx, FACT_OVERRIDE, "null").await?;
            self.outbox.add(&mut tx, &override_ended(ended)).await?;
        }
        if let Some(agreed) = &agreed
            && *agreed != self.reconciling.agreed()
        {
            store::set_fact(&mut tx, FACT_AGREED, &kept(agreed)?).await?;
        }
        let news = found.as_ref().is_some_and(|found| self.reconciling.is_news(found));
        if request.is_some() || news {
            let event = finished(request, actor, answer);
            self.outbox.add(&mut tx, &event).await?;
        }
        self.figures.keep(&mut tx, answer).await?;
        if let Some(request) = request.filter(|r| !r.request_id.is_empty()) {
            remember_answer(&mut tx, METHOD, &request.request_id, request, answer).await?;
        }
        failpoint::pass("gateway.reconcile.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.reconcile.after_commit");
        // Only what is on the disk was told: after a failed commit the next pass tells of it.
        if let Some(found) = found {
            self.reconciling.is_told(found);
        }
        if ended.is_some() {
            self.reconciling.ended_is_told();
        }
        if let Some(agreed) = agreed {
            self.reconciling.stream_gap.fetch_and(
                agreed.is_none() || !self.stream_connected.load(Ordering::SeqCst),
                Ordering::SeqCst,
            );
            self.reconciling.set_agreed(agreed);
        }
        self.outbox.wake();
        Ok(())
    }

    fn tell(&self, answer: &pb::ReconcileResponse, mismatches: usize, now_ms: i64) {
        let mismatches = i64::try_from(mismatches).unwrap_or(i64::MAX);
        let unexplained_quote = answer.unexplained.parse().unwrap_or(Decimal::MAX);
        self.health.reconciled(ReconciliationHealth {
            verdict: health_verdict(answer.verdict()).to_owned(),
            unexplained_quote: unexplained_quote.to_string(),
            finished_at_ms: now_ms,
            mismatches,
            unpriced: answer.unexplained_above_tolerance && unexplained_quote <= self.config.reconcile.tolerance_quote,
        });
        self.reconciling.latest.send_replace(ReconciliationState {
            verdict: answer.verdict(),
            mismatches,
            unexplained_quote,
            unexplained_asset: answer.unexplained_asset.clone(),
            above_tolerance: answer.unexplained_above_tolerance,
            finished_at_ms: now_ms,
            undetermined_reason: String::new(),
        });
    }
}

fn health_verdict(verdict: pb::ReconcileVerdict) -> &'static str {
    match verdict {
        pb::ReconcileVerdict::Unspecified => "NEVER",
        pb::ReconcileVerdict::Clean => "CLEAN",
        pb::ReconcileVerdict::Discrepancies => "DISCREPANCIES",
        pb::ReconcileVerdict::Undetermined => "UNDETERMINED",
    }
}

fn finished(request: Option<&pb::ReconcileRequest>, actor: &str, answer: &pb::ReconcileResponse) -> OutboxEvent {
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for discrepancy in &answer.discrepancies {
        *classes.entry(discrepancy.class().as_str_name()).or_default() += 1;
    }
    let repaired = answer.discrepancies.iter().filter(|d| d.repaired).count();
    let payload = serde_json::json!({
        "verdict": answer.verdict().as_str_name(),
        "discrepancies": classes,
        "discrepancies_total": answer.discrepancies_total,
        "repaired": repaired,
        "repair": request.is_some_and(|r| r.repair),
        "in_background": request.is_none(),
        "full": answer.full,
        "fills_compared": answer.fills_compared,
        "book_revision": answer.book_revision,
        "unexplained": answer.unexplained,
        "unexplained_above_tolerance": answer.unexplained_above_tolerance,
        "undetermined_reason": answer.undetermined_reason,
    });
    let reason = request.map_or("reconciliation in the background", |r| r.reason.as_str());
    OutboxEvent::now("RECONCILIATION_FINISHED", reason, actor, payload)
}

fn override_ended(ended: &Ended) -> OutboxEvent {
    let (reason, new) = match ended {
        Ended::Expired => ("the override's time is over", Vec::new()),
        Ended::NewDiscrepancies(new) => (
            "discrepancies that the override was not given for",
            new.iter().take(NAMED_MAX).cloned().collect(),
        ),
    };
    tracing::warn!(reason, "an override of reconciliation has ended");
    let payload = serde_json::json!({ "new_discrepancies": new });
    OutboxEvent::now("RECONCILIATION_OVERRIDE_ENDED", reason, "exchange-gateway", payload)
}
