use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::Order;
use thunes_supervisor::Target;

use crate::action;
use crate::engine::{ActionResult, Context, Outcome, TradeLoop};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// One line of the trader's own record.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum TraderLine {
    Sent {
        at_ms: i64,
        client_order_id: String,
    },
    Answered {
        at_ms: i64,
        client_order_id: String,
        accepted: bool,
        order: Box<Order>,
    },
    Failed {
        at_ms: i64,
        client_order_id: String,
    },
}

/// The trader's own record: what it sent and what it was told, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct TraderRecord {
    pub lines: Vec<TraderLine>,
}

impl TraderRecord {
    /// Orders that the gateway acknowledged as accepted, as it said them.
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Order> {
        self.lines.iter().filter_map(|line| match line {
            TraderLine::Answered {
                accepted: true, order, ..
            } => Some(order.as_ref()),
            TraderLine::Answered { .. } | TraderLine::Sent { .. } | TraderLine::Failed { .. } => None,
        })
    }

    /// How many of the orders that were sent from that moment on were accepted.
    pub(super) fn accepted_since(&self, at_ms: i64) -> usize {
        let sent = self.lines.iter().filter_map(|line| match line {
            TraderLine::Sent {
                at_ms: sent_at_ms,
                client_order_id,
            } if *sent_at_ms >= at_ms => Some(client_order_id),
            TraderLine::Sent { .. } | TraderLine::Answered { .. } | TraderLine::Failed { .. } => None,
        });
        let sent: BTreeSet<&str> = sent.map(String::as_str).collect();
        self.accepted()
            .filter(|order| sent.contains(order.client_order_id.as_str()))
            .count()
    }

    /// Orders that were on their way at that moment: sent before, and heard of only later, or never again.
    pub(super) fn in_flight_at(&self, at_ms: i64) -> usize {
        let (mut sent, mut last_heard) = (BTreeMap::new(), BTreeMap::new());
        for line in &self.lines {
            match line {
                TraderLine::Sent { at_ms, client_order_id } => {
                    sent.entry(client_order_id.as_str()).or_insert(*at_ms);
                }
                TraderLine::Answered {
                    at_ms, client_order_id, ..
                }
                | TraderLine::Failed { at_ms, client_order_id } => {
                    last_heard.insert(client_order_id.as_str(), *at_ms);
                }
            }
        }
        let open = |id: &str| last_heard.get(id).is_none_or(|heard_at_ms: &i64| *heard_at_ms >= at_ms);
        sent.iter()
            .filter(|(id, sent_at_ms)| **sent_at_ms <= at_ms && open(id))
            .count()
    }
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
        note_log_starts(context).await?;
        let acks_file = context.scratch().join("run").join("trader.acks.jsonl");
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
            .place
            .tool("trader")
            .args(args.into_iter().chain(more));
        let target = Target::new(spec);
        let pid = target.start().await?;
        context.trade_loop = Some(TradeLoop {
            target,
            acks_file: acks_file.clone(),
        });
        let acked = wait_for_accepted(&acks_file, 0, ACKS_MIN).await?;
        Ok(Outcome::did(format!(
            "the trader (pid {pid}) trades; {acked} orders acknowledged so far"
        )))
    }
}

/// From here on the logs are judged.
async fn note_log_starts(context: &mut Context) -> Result<(), ActionError> {
    for service in context.targets().services() {
        let mark = context.targets().log_mark(service).await?;
        context.crash.log_starts.insert(service, mark);
    }
    Ok(())
}

/// Waits until `wanted` orders that were sent from `since_ms` on were accepted; returns how many there are now.
pub(super) async fn wait_for_accepted(path: &Path, since_ms: i64, wanted: usize) -> Result<usize, ActionError> {
    until("the trader's orders to be accepted", TRADING_WITHIN, || async {
        match read_record(path).map(|record| record.accepted_since(since_ms)) {
            Ok(accepted) if accepted >= wanted => Ask::Yes(accepted),
            Ok(accepted) => Ask::NotYet(format!("{accepted} accepted")),
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await
}

/// What the trader wrote down.
pub(super) fn read_record(path: &Path) -> Result<TraderRecord, ActionError> {
    let text = std::fs::read_to_string(path).map_err(ActionError::io(format!("{} cannot be read", path.display())))?;
    let mut lines: Vec<&str> = text.lines().collect();
    // The trader may be writing its last line at this moment, or was killed at it.
    if !text.ends_with('\n') {
        lines.pop();
    }
    let parse = |line: &&str| {
        serde_json::from_str(line)
            .map_err(|e| ActionError::NotMet(format!("the trader's line {line:?} cannot be read: {e}")))
    };
    Ok(TraderRecord {
        lines: lines.iter().map(parse).collect::<Result<_, _>>()?,
    })
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
        // The trader first: it must not trade on because the exchange's own settings cannot be changed.
        let said = match &context.trade_loop {
            None => "no trader ran".to_owned(),
            Some(trade_loop) if !trade_loop.target.is_running() => "the trader had ended".to_owned(),
            Some(trade_loop) => format!("the trader: {}", trade_loop.target.stop(STOP_WITHIN).await?),
        };
        context.sim().slow_orders(0).await?;
        Ok(Outcome::did(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: &str, at_ms: i64) -> TraderLine {
        TraderLine::Sent {
            at_ms,
            client_order_id: id.into(),
        }
    }

    fn answered(id: &str, at_ms: i64) -> TraderLine {
        let order = Box::new(Order {
            client_order_id: id.into(),
            ..Order::default()
        });
        TraderLine::Answered {
            at_ms,
            client_order_id: id.into(),
            accepted: true,
            order,
        }
    }

    #[test]
    fn p11_only_orders_that_were_sent_before_and_heard_of_later_count_as_in_flight() {
        let failed = |id: &str, at_ms| TraderLine::Failed {
            at_ms,
            client_order_id: id.into(),
        };
        let lines = vec![
            sent("answered", 10),
            answered("answered", 40),
            sent("answered later", 20),
            answered("answered later", 55),
            sent("failed, then answered later", 25),
            failed("failed, then answered later", 30),
            answered("failed, then answered later", 60),
            sent("refused", 26),
            failed("refused", 35),
            sent("never heard of again", 30),
            sent("sent later", 60),
            answered("sent later", 70),
        ];
        let record = TraderRecord { lines };
        assert_eq!(record.in_flight_at(50), 3);
        assert_eq!(record.in_flight_at(5), 0);
        assert_eq!(
            record.accepted_since(50),
            1,
            "what was sent before a moment says nothing of what works since"
        );
    }

    #[test]
    fn a_line_that_is_half_written_is_not_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("acks");
        let line = serde_json::json!({"event": "answered", "at_ms": 1, "client_order_id": "a", "accepted": true,
            "via": "submit", "order": {"client_order_id": "a", "fills": [{"symbol": "BTCUSDT", "trade_id": "7"}]}});
        std::fs::write(&path, format!("{line}\n{}", &line.to_string()[..20])).expect("written");
        let record = read_record(&path).expect("reads");
        assert_eq!(record.lines.len(), 1);
        assert_eq!(record.accepted().next().expect("accepted").fills[0].trade_id, 7);
    }
}
