use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Deserialize;
use thunes_proto::gateway::v1::OrderState;
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;

use super::trade_loop::wait_for_accepted;
use crate::action;
use crate::domain::{Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Kill, Outcome};
use crate::environment::{Ask, Clients, until};
use crate::error::ActionError;

/// Our own services. The exchange is outside of our system and is not killed.
const OURS: [Service; 4] = [
    Service::Audit,
    Service::Position,
    Service::Risk,
    Service::ExchangeGateway,
];
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(5);
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Sent after everything served again, and accepted: trading goes on.
const ACCEPTED_AGAIN: usize = 10;
/// Longer than an order that never arrived stays in doubt.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);

/// `kill -9` while orders are in flight, and the way back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kill9 {
    target: KillTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KillTarget {
    Risk,
    Position,
    Audit,
    ExchangeGateway,
    Trader,
    /// All of our services and the trader, at once.
    Everything,
}

action!(
    Kill9,
    "kill_9",
    ["restarted", "recovered_in"],
    "Kills a service, the trader or everything of ours with SIGKILL, and starts it again."
);

impl KillTarget {
    fn name(self) -> &'static str {
        match self {
            Self::Risk => "risk",
            Self::Position => "position",
            Self::Audit => "audit",
            Self::ExchangeGateway => "exchange-gateway",
            Self::Trader => "trader",
            Self::Everything => "everything",
        }
    }

    fn services(self) -> Vec<Service> {
        match self {
            Self::Risk => vec![Service::Risk],
            Self::Position => vec![Service::Position],
            Self::Audit => vec![Service::Audit],
            Self::ExchangeGateway => vec![Service::ExchangeGateway],
            Self::Trader => Vec::new(),
            Self::Everything => OURS.to_vec(),
        }
    }

    fn kills_trader(self) -> bool {
        matches!(self, Self::Trader | Self::Everything)
    }
}

impl Kill9 {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let name = self.target.name();
        context
            .note_in_audit(
                "DRILL_STEP",
                &format!("kill -9 of {name}"),
                &serde_json::json!({ "target": name }),
            )
            .await?;
        remember_acknowledged(context).await?;
        let begun_orders = until("orders to be in flight", IN_FLIGHT_WITHIN, || async {
            match context.clients().orders(&[OrderState::Intent]).await {
                Ok(orders) if !orders.is_empty() => Ask::Yes(orders.len()),
                Ok(_) => Ask::NotYet("none".to_owned()),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await?;
        let (killed_at_ms, begun) = (clock::now_ms(), clock::instant());
        let exits = self.kill(context).await?;
        watch_resolution(context, name, killed_at_ms, begun);
        let recovered = self.bring_back(context, begun).await;
        let served_at_ms = clock::now_ms();
        let (recovery_ms, trouble) = match &recovered {
            Ok(ms) => (Some(*ms), String::new()),
            Err(error) => (None, error.to_string()),
        };
        context.crash.kills.push(Kill {
            target: name.to_owned(),
            killed_at_ms,
            exit: exits.clone(),
            recovery_ms,
            trouble: trouble.clone(),
        });
        let Some(recovery_ms) = recovery_ms else {
            let judgement = Judgement::of_text(format!("{name} did not come back"), false, trouble);
            return Ok(Outcome::did(format!("{name}: {exits}; not back")).finding("restarted", judgement, Vec::new()));
        };
        context.measure(
            format!("recovery_time.{name}"),
            Value::seconds(recovery_ms),
            "s",
            "from the kill until serving again",
        );
        let acks_file = trader(context)?.acks_file.clone();
        wait_for_accepted(&acks_file, served_at_ms, ACCEPTED_AGAIN).await?;
        let trading_ms = clock::elapsed_ms(begun);
        context.measure(
            format!("trading_again.{name}"),
            Value::seconds(trading_ms),
            "s",
            "from the kill until orders were accepted again",
        );
        let said = format!(
            "{exits}; {begun_orders} orders in flight; serving after {recovery_ms} ms, trading after {trading_ms} ms"
        );
        Ok(Outcome::did(said)
            .finding(
                "restarted",
                Judgement::of_text(format!("{name}: {exits}, serving again"), true, ""),
                Vec::new(),
            )
            .finding(
                "recovered_in",
                Judgement::Pass(Measured::seconds(recovery_ms)),
                Vec::new(),
            ))
    }

    /// SIGKILL to all of the targets at the same time; each is confirmed by its wait status.
    async fn kill(&self, context: &Context) -> Result<String, ActionError> {
        let targets = context.targets();
        let services = self.target.services();
        let kills = join_all(services.iter().map(|service| targets.kill(*service)));
        let trader_kill = async {
            match trader(context) {
                Ok(trade_loop) if self.target.kills_trader() => Some(trade_loop.target.kill().await),
                Ok(_) | Err(_) => None,
            }
        };
        let (kills, trader_exit) = tokio::join!(kills, trader_kill);
        let mut exits = Vec::new();
        for (service, exit) in services.iter().zip(kills) {
            exits.push(format!("{service} {}", exit?));
        }
        if let Some(exit) = trader_exit {
            exits.push(format!("trader {}", exit?));
        }
        Ok(exits.join(", "))
    }

    /// Starts what was killed; returns the milliseconds from the kill until the last of it served.
    async fn bring_back(&self, context: &Context, begun: Instant) -> Result<i64, ActionError> {
        let services = self.target.services();
        let starts = join_all(services.iter().map(|service| context.targets().start(*service)));
        for started in starts.await {
            started?;
        }
        for service in &services {
            until("the service to answer", BACK_WITHIN, || {
                serves(context.clients(), *service)
            })
            .await?;
        }
        let mut recovery_ms = clock::elapsed_ms(begun);
        if self.target.kills_trader() {
            trader(context)?.target.start().await?;
            if services.is_empty() {
                recovery_ms = clock::elapsed_ms(begun);
            }
        }
        Ok(recovery_ms)
    }
}

fn trader(context: &Context) -> Result<&crate::engine::TradeLoop, ActionError> {
    context
        .trade_loop
        .as_ref()
        .ok_or_else(|| ActionError::NotMet("no trader was started".to_owned()))
}

/// A real answer of the service, not only a healthy port.
async fn serves(clients: &Clients, service: Service) -> Ask<()> {
    let clients = match clients.fresh() {
        Ok(clients) => clients,
        Err(error) => return Ask::NotYet(error.to_string()),
    };
    let asked = match service {
        Service::Risk => clients.risk_status().await.map(drop),
        Service::Position => clients.position_count().await.map(drop),
        Service::Audit => clients.audit_status().await.map(drop),
        Service::ExchangeGateway => clients.gateway_status().await.map(drop),
        Service::ExchangeSim | Service::TelegramStandin | Service::FaultProxy | Service::DrillOrchestrator => Ok(()),
    };
    asked.map_or_else(|error| Ask::NotYet(error.to_string()), Ask::Yes)
}

/// What was acknowledged before the kill must be there after it.
async fn remember_acknowledged(context: &mut Context) -> Result<(), ActionError> {
    let fills = context.clients().fills().await?;
    let audit = context.clients().audit_status().await?;
    context
        .crash
        .acknowledged_fills
        .extend(fills.into_iter().map(|fill| (fill.symbol, fill.trade_id)));
    if audit.last_seq > 0 {
        context.audit_acks.push((audit.last_seq, audit.last_leaf_hash));
    }
    Ok(())
}

/// Measures, beside the steps that follow, how long it takes until the fate of every order of before the kill is known.
fn watch_resolution(context: &mut Context, name: &str, killed_at_ms: i64, begun: Instant) {
    let clients = context.clients().clone();
    let watch = tokio::spawn(async move {
        let known = until("every order to be known", RESOLVED_WITHIN, || async {
            match clients.orders(&[OrderState::Intent, OrderState::InDoubt]).await {
                Ok(orders) => match orders
                    .iter()
                    .filter(|order| order.created_at_ms <= killed_at_ms)
                    .count()
                {
                    0 => Ask::Yes(()),
                    open => Ask::NotYet(format!("{open} not known")),
                },
                Err(error) => Ask::NotYet(error.to_string()),
            }
        });
        known.await.map(|()| clock::elapsed_ms(begun))
    });
    context.crash.resolutions.push((name.to_owned(), watch));
}
