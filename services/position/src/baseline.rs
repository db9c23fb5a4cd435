use std::sync::Arc;

use thunes_proto::position::v1::{RecordBaselineRequest, RecordBaselineResponse};
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, Repeated, failpoint, remember_answer, repeated_answer};
use thunes_types::{Reason, RequestId};
use tracing::Instrument;

use crate::domain::{Baseline, BaselineChange};
use crate::error::RequestError;
use crate::keeper::Keeper;
use crate::store;

const METHOD: &str = "position.RecordBaseline";
/// Most balances that the audit event spells out; it names how many there are beyond.
const BALANCES_IN_EVENT_MAX: usize = 50;

/// A request to record a baseline, decoded.
#[derive(Debug, Clone)]
pub(crate) struct BaselineRequest {
    pub(crate) baseline: Baseline,
    pub(crate) reason: Reason,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) replace: bool,
    /// As it came, for the comparison with a request of the same id.
    pub(crate) raw: RecordBaselineRequest,
}

impl Keeper {
    /// Records what an account held before its first fill.
    pub(crate) async fn record_baseline(
        self: &Arc<Self>,
        request: BaselineRequest,
        actor: String,
    ) -> Result<RecordBaselineResponse, RequestError> {
        let keeper = Arc::clone(self);
        let work = async move { keeper.write_baseline(request, &actor).await };
        tokio::spawn(work.instrument(tracing::Span::current())).await?
    }

    async fn write_baseline(
        &self,
        request: BaselineRequest,
        actor: &str,
    ) -> Result<RecordBaselineResponse, RequestError> {
        let _writing = self.writing.lock().await;
        let mut tx = self.store.begin().await?;
        if let Some(id) = &request.request_id {
            match repeated_answer(&mut tx, METHOD, id.as_str(), &request.raw).await? {
                Repeated::No => {}
                Repeated::Same(answer) => return Ok(answer),
                Repeated::Other => {
                    return Err(RequestError::RequestIdReused {
                        request_id: id.to_string(),
                    });
                }
            }
        }
        let baseline = &request.baseline;
        let known = store::load_baseline(&mut tx, &baseline.account).await?;
        let replaced = match (baseline.change_from(known.as_ref(), request.replace), &known) {
            (BaselineChange::First, _) => Some(false),
            (BaselineChange::Replaced, _) => Some(true),
            (BaselineChange::Same, _) => None,
            (BaselineChange::Conflict, known) => {
                let known_taken_at_ms = known.as_ref().map_or(0, |known| known.taken_at_ms);
                return Err(RequestError::BaselineConflict {
                    account: baseline.account.clone(),
                    known_taken_at_ms,
                });
            }
        };
        if let Some(replaced) = replaced {
            store::save_baseline(&mut tx, baseline, request.reason.as_str(), actor, clock::now_ms()).await?;
            let event = baseline_event(baseline, &request.reason, actor, replaced);
            self.outbox.add(&mut tx, &event).await?;
        }
        let revision = store::revision(&mut tx).await?;
        let answer = RecordBaselineResponse {
            revision,
            recorded: replaced.is_some(),
        };
        if let Some(id) = &request.request_id {
            remember_answer(&mut tx, METHOD, id.as_str(), &request.raw, &answer).await?;
        }
        failpoint::pass("position.baseline.before_commit");
        tx.commit().await?;
        failpoint::pass("position.baseline.after_commit");
        self.outbox.wake();
        Ok(answer)
    }

    /// The baseline of an account.
    pub(crate) async fn baseline(&self, account: &str) -> Result<Option<Baseline>, RequestError> {
        let mut tx = self.store.begin_read().await?;
        Ok(store::load_baseline(&mut tx, account).await?)
    }
}

fn baseline_event(baseline: &Baseline, reason: &Reason, actor: &str, replaced: bool) -> OutboxEvent {
    let held: Vec<_> = baseline
        .balances
        .iter()
        .filter(|(_, held)| !held.free.is_zero() || !held.locked.is_zero())
        .collect();
    let spelled: Vec<_> = held
        .iter()
        .take(BALANCES_IN_EVENT_MAX)
        .map(|(asset, held)| {
            serde_json::json!({
                "asset": asset.as_str(), "free": held.free.to_string(), "locked": held.locked.to_string(),
            })
        })
        .collect();
    let payload = serde_json::json!({
        "account": baseline.account,
        "taken_at_ms": baseline.taken_at_ms,
        "replaced": replaced,
        "assets_held": held.len(),
        "balances": spelled,
        "cursors": baseline.cursors.len(),
    });
    OutboxEvent::now("BASELINE_RECORDED", reason.as_str(), actor, payload)
}
