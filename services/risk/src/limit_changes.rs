//! Changing limits at run time.

use std::ops::RangeInclusive;

use thunes_proto::risk::v1::{UpdateLimitsRequest, UpdateLimitsResponse};
use thunes_store::{OutboxEvent, Repeated, begin_write, failpoint, remember_answer, repeated_answer};
use thunes_types::{Decimal, FieldError, Reason, RequestId, Symbol, parse_positive};

use crate::domain::limits::Limits;
use crate::engine::Engine;
use crate::error::{FieldErrors, RiskError};
use crate::grpc::limits_to_wire;
use crate::store;

impl Engine {
    /// Changes the named limits, on disk with its audit event first, then in force.
    ///
    /// # Errors
    /// For a request that is wrong (all faults at once), and when the change cannot be written.
    pub(crate) async fn update_limits(
        &self,
        request: UpdateLimitsRequest,
        actor: &str,
    ) -> Result<UpdateLimitsResponse, RiskError> {
        let _turn = self.switch_writer.lock().await;
        let before = self.state().limits.clone();
        let after = apply(&before, &request)?;
        let answer = UpdateLimitsResponse {
            limits: Some(limits_to_wire(&after)),
        };
        let mut tx = begin_write(&self.database.pool).await?;
        if !request.request_id.is_empty() {
            match repeated_answer::<UpdateLimitsResponse>(&mut tx, "UpdateLimits", &request.request_id, &request)
                .await?
            {
                Repeated::No => {}
                Repeated::Same(answer) => return Ok(answer),
                Repeated::Other => return Err(RiskError::RequestIdReused(request.request_id)),
            }
            remember_answer(&mut tx, "UpdateLimits", &request.request_id, &request, &answer).await?;
        }
        store::save_limits(&mut tx, &after).await?;
        let payload = change_payload(&before, &after);
        self.outbox
            .add(
                &mut tx,
                &OutboxEvent::now("LIMITS_CHANGED", &request.reason, actor, payload),
            )
            .await?;
        failpoint::pass("risk.limits.before_commit");
        tx.commit().await?;
        failpoint::pass("risk.limits.after_commit");
        self.state().limits = after.clone();
        self.changed();
        self.outbox.wake();
        tracing::info!(actor, reason = %request.reason, "limits changed");
        Ok(answer)
    }
}

/// The two lists of symbols can be long: what was added and removed tells the same.
fn change_payload(before: &Limits, after: &Limits) -> serde_json::Value {
    let without = |limits: &Limits, other: &Limits| -> Vec<String> {
        limits
            .allowed_symbols
            .iter()
            .filter(|symbol| !other.allows_symbol(symbol))
            .cloned()
            .collect()
    };
    let numbers = |limits: &Limits| {
        let mut value = serde_json::to_value(limits).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.remove("allowed_symbols");
        }
        value
    };
    serde_json::json!({
        "before": numbers(before),
        "after": numbers(after),
        "symbols_added": without(after, before),
        "symbols_removed": without(before, after),
    })
}

fn apply(before: &Limits, request: &UpdateLimitsRequest) -> Result<Limits, RiskError> {
    let mut faults = Vec::new();
    let mut after = before.clone();
    if let Err(error) = Reason::parse(&request.reason) {
        faults.push(error);
    }
    if !request.request_id.is_empty()
        && let Err(error) = RequestId::parse(&request.request_id)
    {
        faults.push(error);
    }
    amount(
        &mut after.order_notional_max,
        "order_notional_max",
        request.order_notional_max.as_deref(),
        &mut faults,
    );
    amount(
        &mut after.position_notional_max,
        "position_notional_max",
        request.position_notional_max.as_deref(),
        &mut faults,
    );
    amount(
        &mut after.daily_loss_max,
        "daily_loss_max",
        request.daily_loss_max.as_deref(),
        &mut faults,
    );
    let bounds = [
        (
            &mut after.open_positions_max,
            "open_positions_max",
            request.open_positions_max,
            Limits::OPEN_POSITIONS_BOUND,
        ),
        (
            &mut after.orders_per_minute_max,
            "orders_per_minute_max",
            request.orders_per_minute_max,
            Limits::ORDERS_PER_MINUTE_BOUND,
        ),
        (
            &mut after.price_collar_bps,
            "price_collar_bps",
            request.price_collar_bps,
            Limits::PRICE_COLLAR_BOUND_BPS,
        ),
        (
            &mut after.duplicate_window_ms,
            "duplicate_window_ms",
            request.duplicate_window_ms,
            Limits::DUPLICATE_WINDOW_BOUND_MS,
        ),
    ];
    for (target, field, value, most) in bounds {
        number(target, field, value, 0..=most, &mut faults);
    }
    if request.allowed_symbols.len() > Limits::ALLOWED_SYMBOLS_BOUND {
        faults.push(FieldError::new(
            "allowed_symbols",
            &request.allowed_symbols.len().to_string(),
            "at most 2000",
        ));
    } else if !request.allowed_symbols.is_empty() {
        let wrong = request
            .allowed_symbols
            .iter()
            .filter_map(|s| Symbol::parse_as("allowed_symbols", s).err());
        faults.extend(wrong);
        after.allowed_symbols = request.allowed_symbols.clone();
    }
    if faults.is_empty() {
        Ok(after)
    } else {
        Err(RiskError::Fields(FieldErrors(faults)))
    }
}

fn amount(target: &mut Decimal, field: &str, text: Option<&str>, faults: &mut Vec<FieldError>) {
    match text.map(|text| parse_positive(field, text)) {
        None => {}
        Some(Ok(value)) => *target = value,
        Some(Err(error)) => faults.push(error),
    }
}

fn number(
    target: &mut i64,
    field: &str,
    value: Option<i64>,
    bounds: RangeInclusive<i64>,
    faults: &mut Vec<FieldError>,
) {
    match value {
        None => {}
        Some(value) if bounds.contains(&value) => *target = value,
        Some(value) => {
            let rule = format!("a whole number from {} to {}", bounds.start(), bounds.end());
            faults.push(FieldError::new(field, &value.to_string(), rule));
        }
    }
}
