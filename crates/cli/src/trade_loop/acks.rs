use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde::Serialize;
use thunes_proto::gateway::v1::{Order, SubmitOrderRequest};
use thunes_proto::types::v1::Fill;
use thunes_runtime::clock;
use tonic::Status;

use crate::show;

/// How an answer was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// SubmitOrder answered.
    Submit,
    /// SubmitOrder did not answer, or not for good; GetOrder did.
    GetOrder,
}

/// One line of the file.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    /// About to be sent; once for each order, however often it is sent again.
    Sent {
        at_ms: i64,
        client_order_id: &'a str,
        symbol: &'a str,
        side: &'static str,
        quantity: &'a str,
        quote_amount: &'a str,
    },
    /// What the gateway acknowledged, in short and as it said it.
    Answered {
        at_ms: i64,
        client_order_id: &'a str,
        via: Via,
        accepted: bool,
        state: &'static str,
        reason_code: &'a str,
        fills: Vec<LineFill<'a>>,
        order: &'a Order,
    },
    /// A call that was not answered, or refused.
    Failed {
        at_ms: i64,
        client_order_id: &'a str,
        code: String,
        message: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct LineFill<'a> {
    symbol: &'a str,
    trade_id: i64,
    quantity: &'a str,
}

impl<'a> LineFill<'a> {
    fn of(fill: &'a Fill) -> Self {
        Self {
            symbol: &fill.symbol,
            trade_id: fill.trade_id,
            quantity: &fill.quantity,
        }
    }
}

/// The trader's own record of what it sent and what it was told. Each line is with the kernel before anything else
/// happens, so that it outlives a `kill -9` of the trader.
#[derive(Debug)]
pub struct Acks {
    file: Option<(Mutex<File>, PathBuf)>,
}

impl Acks {
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map(|file| (Mutex::new(file), path.to_owned()))
                .with_context(|| cannot_write(path))
        };
        Ok(Self {
            file: path.map(open).transpose()?,
        })
    }

    pub fn sent(&self, request: &SubmitOrderRequest) -> anyhow::Result<()> {
        self.write(&Line::Sent {
            at_ms: clock::now_ms(),
            client_order_id: &request.client_order_id,
            symbol: &request.symbol,
            side: show::side(request.side()),
            quantity: &request.quantity,
            quote_amount: &request.quote_amount,
        })
    }

    pub fn answered(&self, order: &Order, accepted: bool, via: Via) -> anyhow::Result<()> {
        self.write(&Line::Answered {
            at_ms: clock::now_ms(),
            client_order_id: &order.client_order_id,
            via,
            accepted,
            state: show::state(order.state()),
            reason_code: &order.reason_code,
            fills: order.fills.iter().map(LineFill::of).collect(),
            order,
        })
    }

    pub fn failed(&self, client_order_id: &str, status: &Status) -> anyhow::Result<()> {
        // UNAVAILABLE, as the gRPC specification writes it.
        let code = format!("{:?}", status.code());
        let code = code.chars().fold(String::new(), |mut text, c| {
            if c.is_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(c.to_ascii_uppercase());
            text
        });
        self.write(&Line::Failed {
            at_ms: clock::now_ms(),
            client_order_id,
            code,
            message: status.message(),
        })
    }

    fn write(&self, line: &Line<'_>) -> anyhow::Result<()> {
        let Some((file, path)) = &self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write for the whole line: a process that is killed leaves whole lines only.
        file.write_all(&line)
            .and_then(|()| file.flush())
            .with_context(|| cannot_write(path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written; name another file with --acks", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_a_line_at_once_and_earlier_lines_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("acks.jsonl");
        let acks = Acks::open(Some(&path)).expect("opened");
        let request = SubmitOrderRequest {
            client_order_id: "a-1".into(),
            side: 1,
            ..SubmitOrderRequest::default()
        };
        acks.sent(&request).expect("written");
        acks.failed("a-1", &Status::deadline_exceeded("late")).expect("written");
        // As after a kill: nothing of the first one is cleaned up.
        std::mem::forget(acks);
        let fill = Fill {
            symbol: "BTCUSDT".into(),
            trade_id: 7,
            quantity: "0.1".into(),
            ..Fill::default()
        };
        let order = Order {
            client_order_id: "a-1".into(),
            state: 6,
            fills: vec![fill],
            ..Order::default()
        };
        Acks::open(Some(&path))
            .expect("opened again")
            .answered(&order, true, Via::GetOrder)
            .expect("written");

        let text = std::fs::read_to_string(&path).expect("file");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let of = |key: &str| lines.iter().map(|line| line[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("event"), ["sent", "failed", "answered"]);
        assert_eq!(of("client_order_id"), ["a-1", "a-1", "a-1"]);
        assert_eq!(lines[0]["side"], "BUY");
        assert_eq!(lines[1]["code"], "DEADLINE_EXCEEDED");
        assert_eq!(
            (&lines[2]["via"], &lines[2]["state"]),
            (&"get_order".into(), &"FILLED".into())
        );
        assert_eq!(lines[2]["fills"][0]["trade_id"], 7);
        assert_eq!(lines[2]["order"]["state"], "ORDER_STATE_FILLED");
    }
}
