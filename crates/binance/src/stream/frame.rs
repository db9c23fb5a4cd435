use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::decimal_text::decimal;
use crate::{AccountPosition, Balance, ErrorKind, StreamEvent};

/// What a text frame of the WebSocket API is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The session is logged on; nothing is subscribed yet.
    LoggedOn,
    Subscribed {
        subscription_id: i64,
    },
    Refused {
        /// 429 and 418 are about every request of this address.
        status: i64,
        kind: ErrorKind,
        code: i32,
        message: String,
        retry_after_ms: Option<i64>,
    },
    Event(StreamEvent),
    /// The exchange ended the subscription.
    Terminated,
    /// The exchange is about to end the connection.
    ServerShutdown,
}

/// The `id` of the logon, to tell its answer from the subscription's.
pub(crate) const LOG_ON_ID: &str = "logon";

#[derive(Deserialize)]
struct AccountPositionWire {
    #[serde(rename = "E")]
    event_time_ms: i64,
    #[serde(rename = "u")]
    update_time_ms: i64,
    #[serde(rename = "B")]
    balances: Vec<BalanceWire>,
}

#[derive(Deserialize)]
struct BalanceWire {
    #[serde(rename = "a")]
    asset: String,
    #[serde(rename = "f", deserialize_with = "decimal")]
    free: Decimal,
    #[serde(rename = "l", deserialize_with = "decimal")]
    locked: Decimal,
}

#[derive(Deserialize)]
struct ErrorWire {
    code: i32,
    msg: String,
    #[serde(default)]
    data: Option<ErrorDataWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorDataWire {
    server_time: Option<i64>,
    /// The moment when the wait is over, exchange time.
    retry_after: Option<i64>,
}

/// Reads one frame.
///
/// # Errors
/// Says what cannot be read; the caller must then take its picture of the account as incomplete.
pub(crate) fn read_frame(text: &str) -> Result<Frame, String> {
    let mut frame: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    if let Some(event) = frame.get_mut("event") {
        return read_event(event.take());
    }
    if frame.get("e").is_some() {
        return read_event(frame);
    }
    match frame.get("status").and_then(Value::as_i64) {
        Some(200) if frame.get("id").and_then(Value::as_str) == Some(LOG_ON_ID) => Ok(Frame::LoggedOn),
        Some(200) => read_subscribed(&frame),
        Some(status) => read_refusal(frame, status),
        None => Err("neither an event nor an answer".to_owned()),
    }
}

fn read_subscribed(frame: &Value) -> Result<Frame, String> {
    let id = frame.pointer("/result/subscriptionId").and_then(Value::as_i64);
    id.map(|subscription_id| Frame::Subscribed { subscription_id })
        .ok_or_else(|| "no subscriptionId".to_owned())
}

fn read_refusal(mut frame: Value, status: i64) -> Result<Frame, String> {
    let error: ErrorWire = read(frame.get_mut("error").map(Value::take).unwrap_or_default(), "error")?;
    let wait = error
        .data
        .as_ref()
        .and_then(|data| Some(data.retry_after?.saturating_sub(data.server_time?)));
    Ok(Frame::Refused {
        status,
        kind: ErrorKind::of(error.code, &error.msg),
        code: error.code,
        message: crate::classify::shorten(&error.msg),
        retry_after_ms: wait.filter(|ms| *ms > 0),
    })
}

fn read_event(event: Value) -> Result<Frame, String> {
    let name = event
        .get("e")
        .and_then(Value::as_str)
        .ok_or("an event without a name")?
        .to_owned();
    let read_as = match name.as_str() {
        "executionReport" => StreamEvent::ExecutionReport(Box::new(read(event, &name)?)),
        "balanceUpdate" => StreamEvent::BalanceUpdate(read(event, &name)?),
        "outboundAccountPosition" => StreamEvent::AccountPosition(account_position(read(event, &name)?)),
        "eventStreamTerminated" => return Ok(Frame::Terminated),
        "serverShutdown" => return Ok(Frame::ServerShutdown),
        _ => StreamEvent::Other(crate::classify::shorten(&name)),
    };
    Ok(Frame::Event(read_as))
}

fn account_position(wire: AccountPositionWire) -> AccountPosition {
    let balances = wire
        .balances
        .into_iter()
        .map(|b| Balance {
            asset: b.asset,
            free: b.free,
            locked: b.locked,
        })
        .collect();
    AccountPosition {
        event_time_ms: wire.event_time_ms,
        update_time_ms: wire.update_time_ms,
        balances,
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value, name: &str) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}
