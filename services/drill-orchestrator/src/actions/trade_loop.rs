use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::Order;
use thunes_supervisor::Target;

use crate::action;
use crate::engine::{ActionResult, Context, Outcome, TradeLoop};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// One line of the trader's own record: what it was told, when.
#[derive(Debug, Clone, Deserialize)]
pub struct AckLine {
    pub acked_at_ms: i64,
    pub client_order_id: String,
    pub accepted: bool,
    pub order: Order,
}

/// The trader answers SIGTERM when its orders are known, which can take as long as the exchange is asked.
const STOP_WITHIN: Duration = Duration::from_secs(40);
const TRADING_WITHIN: Duration = Duration::from_secs(20);
const ACKS_MIN: usize = 5;

/// Starts `thunes trade loop` as a process of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartTradeLoop {
    #[serde(default = "symbol")]
    symbol: String,
    #[serde(default = "amount")]
    amount: String,
    /// Orders in flight at the same time.
    #[serde(default = "concurrency")]
    concurrency: u32,
    /// Orders begun in a second.
    #[serde(default = "rate")]
    rate: u32,
    /// How much longer an order takes at the exchange than on this machine: the distance to a real one.
    #[serde(default)]
    exchange_latency_ms: i64,
}

fn symbol() -> String {
    "BTCUSDT".to_owned()
}

fn amount() -> String {
    "20".to_owned()
}

fn concurrency() -> u32 {
    6
}

fn rate() -> u32 {
    40
}

action!(
    StartTradeLoop,
    "start_trade_loop",
    [],
    "Starts `thunes trade loop` and waits until it trades."
);

impl StartTradeLoop {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        if self.exchange_latency_ms > 0 {
            context.sim().slow_orders(self.exchange_latency_ms).await?;
        }
        note_log_starts(context)?;
        let acks_file = context.data_dir().join("run").join("trader.acks.jsonl");
        let _ = std::fs::remove_file(&acks_file);
        let (concurrency, rate) = (self.concurrency.to_string(), self.rate.to_string());
        let acks = acks_file.display().to_string();
        let args = [
            "trade",
            "loop",
            "--symbol",
            &self.symbol,
            "--amount",
            &self.amount,
            "--concurrency",
            &concurrency,
        ];
        let more = [
            "--rate",
            &rate,
            "--acks",
            &acks,
            "--actor",
            "drill",
            "--strategy",
            "drill-loop",
        ];
        let spec = context
            .environment
            .processes
            .tool("trader")
            .args(args.into_iter().chain(more));
        let target = Target::new(spec);
        let pid = target.start().await?;
        context.trade_loop = Some(TradeLoop {
            target,
            acks_file: acks_file.clone(),
        });
        let acked = wait_for_acks(&acks_file, 0, ACKS_MIN).await?;
        Ok(Outcome::did(format!(
            "the trader (pid {pid}) trades; {acked} orders acknowledged so far"
        )))
    }
}

/// From here on the logs are judged.
fn note_log_starts(context: &mut Context) -> Result<(), ActionError> {
    let services = context.environment.processes.services();
    for service in services {
        let path = context.log_file(service);
        let size = std::fs::metadata(&path)
            .map_err(ActionError::io(format!("{} cannot be read", path.display())))?
            .len();
        context.crash.log_starts.insert(service.name().to_owned(), size);
    }
    Ok(())
}

/// Waits until `more` orders were accepted after the first `after` lines.
pub(super) async fn wait_for_acks(path: &Path, after: usize, more: usize) -> Result<usize, ActionError> {
    until("the trader's orders to be accepted", TRADING_WITHIN, || async {
        match read_acks(path) {
            Ok(lines) => {
                let accepted = lines.iter().skip(after).filter(|line| line.accepted).count();
                if accepted >= more {
                    Ask::Yes(lines.len())
                } else {
                    Ask::NotYet(format!("{accepted} accepted"))
                }
            }
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await
}

/// Every acknowledgement that the trader wrote down.
pub(super) fn read_acks(path: &Path) -> Result<Vec<AckLine>, ActionError> {
    let text = std::fs::read_to_string(path).map_err(ActionError::io(format!("{} cannot be read", path.display())))?;
    let mut lines: Vec<&str> = text.lines().collect();
    // The trader may be writing its last line at this moment, or was killed at it.
    if !text.ends_with('\n') {
        lines.pop();
    }
    let parse = |line: &&str| {
        serde_json::from_str(line).map_err(|e| ActionError::NotMet(format!("the trader's line {line:?}: {e}")))
    };
    lines.iter().map(parse).collect()
}

/// Orders that were on their way at that moment: the gateway had begun them, and the trader had no answer yet.
pub fn in_flight_at(at_ms: i64, orders: &[Order], acks: &[AckLine]) -> usize {
    let acked: std::collections::BTreeMap<&str, i64> = acks
        .iter()
        .map(|line| (line.client_order_id.as_str(), line.acked_at_ms))
        .collect();
    let open = |order: &&Order| {
        acked
            .get(order.client_order_id.as_str())
            .is_none_or(|acked_at| *acked_at >= at_ms)
    };
    let ours = orders
        .iter()
        .filter(|order| order.strategy_id == "drill-loop" && order.created_at_ms <= at_ms);
    ours.filter(open).count()
}

/// Ends the trader and takes the exchange's distance away; for the end and for the rollback.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopTradeLoop {}

action!(
    StopTradeLoop,
    "stop_trade_loop",
    [],
    "Ends `thunes trade loop`, if it runs."
);

impl StopTradeLoop {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        context.sim().slow_orders(0).await?;
        let Some(trade_loop) = &context.trade_loop else {
            return Ok(Outcome::did("no trader ran"));
        };
        if !trade_loop.target.is_running() {
            return Ok(Outcome::did("the trader had ended"));
        }
        let exit = trade_loop.target.stop(STOP_WITHIN).await?;
        Ok(Outcome::did(format!("the trader: {exit}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, created_at_ms: i64) -> Order {
        Order {
            client_order_id: id.into(),
            created_at_ms,
            strategy_id: "drill-loop".into(),
            ..Order::default()
        }
    }

    fn ack(id: &str, acked_at_ms: i64) -> AckLine {
        AckLine {
            acked_at_ms,
            client_order_id: id.into(),
            accepted: true,
            order: Order::default(),
        }
    }

    #[test]
    fn p11_only_orders_that_had_begun_and_were_not_answered_count_as_in_flight() {
        let orders = [
            order("answered", 10),
            order("answered later", 20),
            order("never", 30),
            order("begun later", 60),
        ];
        let acks = [ack("answered", 40), ack("answered later", 55), ack("begun later", 70)];
        assert_eq!(in_flight_at(50, &orders, &acks), 2);
        assert_eq!(in_flight_at(5, &orders, &acks), 0);
    }

    #[test]
    fn a_line_that_is_half_written_is_not_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("acks");
        let line = serde_json::json!({"acked_at_ms": 1, "client_order_id": "a", "accepted": true, "via": "submit",
            "order": {"client_order_id": "a", "fills": [{"symbol": "BTCUSDT", "trade_id": "7"}]}});
        std::fs::write(&path, format!("{line}\n{}", &line.to_string()[..20])).expect("written");
        let acks = read_acks(&path).expect("reads");
        assert_eq!(acks.len(), 1);
        assert_eq!(acks[0].order.fills[0].trade_id, 7);
    }
}
