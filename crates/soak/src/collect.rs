//! The evidence of a running environment.

use std::path::Path;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde_json::Value;
use thunes_proto::types::v1::{Fill, Side};
use thunes_supervisor::embedded::Environment;
use tonic::Status;

use crate::oracle::{AuditEvent, AuditEvidence, Evidence, Execution, JournalOrder, Verdict, judge};
use crate::{Calls, SimAdmin, SoakError};

const LOOK_AGAIN: Duration = Duration::from_millis(300);

fn decimal(text: &str) -> Decimal {
    // What cannot be read differs from everything, and is found so.
    text.parse::<Decimal>().unwrap_or(Decimal::MIN).normalize()
}

fn execution(fill: Fill) -> Execution {
    Execution {
        buys: fill.side() == Side::Buy,
        price: decimal(&fill.price),
        quantity: decimal(&fill.quantity),
        commission: decimal(&fill.commission),
        symbol: fill.symbol,
        trade_id: fill.trade_id,
        client_order_id: fill.client_order_id,
        commission_asset: fill.commission_asset,
    }
}

/// Asks everybody; `so_far` holds what the clients and the operator know.
///
/// # Errors
/// When somebody does not answer.
pub async fn collect(
    environment: &Environment,
    calls: &Calls,
    sim: &SimAdmin,
    so_far: &Evidence,
) -> Result<Evidence, SoakError> {
    let failed = |what: &'static str| {
        move |status: Status| SoakError::NoAnswer {
            what,
            why: status.message().to_owned(),
        }
    };
    let journal = calls.orders().await.map_err(failed("the gateway"))?;
    let journal = journal.into_iter().map(|order| JournalOrder {
        state: order.state(),
        executed: decimal(if order.executed_quantity.is_empty() {
            "0"
        } else {
            &order.executed_quantity
        }),
        resolved: order.resolved_at_ms > 0,
        client_order_id: order.client_order_id,
    });
    let (exchange, exchange_fills) = sim.ledger().await?;
    let book_fills = calls.fills().await.map_err(failed("position"))?;
    let positions = calls.positions().await.map_err(failed("position"))?.positions;
    let net = positions.into_iter().map(|position| {
        let quantity = decimal(&position.quantity);
        let signed = if position.side() == Side::Sell {
            -quantity
        } else {
            quantity
        };
        (position.symbol, signed)
    });
    Ok(Evidence {
        journal: journal.collect(),
        exchange,
        exchange_fills,
        book_fills: book_fills.into_iter().map(execution).collect(),
        book_net: net.filter(|(_, quantity)| !quantity.is_zero()).collect(),
        audit: trail(&environment.data_dir().join("logs/audit_trail.jsonl"))?,
        ..so_far.clone()
    })
}

/// The trail, as the offline verifier and a plain reader see it.
fn trail(path: &Path) -> Result<AuditEvidence, SoakError> {
    let folder = |source| SoakError::Folder {
        path: path.to_owned(),
        source,
    };
    let report = thunes_tlog::verify_file(path).map_err(folder)?;
    let broken = report
        .first_bad
        .map(|bad| format!("line {}: {}", bad.line_number, bad.why));
    let text = std::fs::read_to_string(path).map_err(folder)?;
    let mut events = Vec::new();
    for line in text.lines() {
        let Ok(mut line) = serde_json::from_str::<Value>(line) else {
            // The verifier has named it.
            continue;
        };
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        events.push(AuditEvent {
            event_id: word("event_id"),
            event_type: word("event_type"),
            service: word("service"),
            payload: Value::Null,
        });
        if let Some(event) = events.last_mut() {
            event.payload = line["payload"].take();
        }
    }
    Ok(AuditEvidence { broken, events })
}

/// Judges again and again until nothing is wrong or `within` is over: what is on its way is not lost. Gives the last
/// verdict.
///
/// # Errors
/// When somebody does not answer in the end.
pub async fn judge_when_settled(
    environment: &Environment,
    calls: &Calls,
    sim: &SimAdmin,
    so_far: &Evidence,
    within: Duration,
) -> Result<Verdict, SoakError> {
    let begun = Instant::now();
    loop {
        let verdict = match quiet(calls).await {
            Ok(()) => collect(environment, calls, sim, so_far)
                .await
                .map(|evidence| judge(&evidence)),
            Err(why) => Err(SoakError::NotReady(why)),
        };
        let over = begun.elapsed() >= within;
        match verdict {
            Ok(verdict) if verdict.is_clean() || over => return Ok(verdict),
            Err(SoakError::NotReady(_)) if over => {
                // It does not come to rest: judged as it is.
                return collect(environment, calls, sim, so_far)
                    .await
                    .map(|evidence| judge(&evidence));
            }
            Err(error) if over => return Err(error),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Nothing is in doubt, undelivered or untold.
async fn quiet(calls: &Calls) -> Result<(), String> {
    let status = calls
        .gateway_status()
        .await
        .map_err(|status| status.message().to_owned())?;
    let quiet = status.orders_in_doubt == 0
        && status.resolved_since_start
        && status.fills_undelivered == 0
        && status.audit_outbox_depth == 0;
    if quiet {
        Ok(())
    } else {
        Err(format!("the gateway has not come to rest: {status:?}"))
    }
}
