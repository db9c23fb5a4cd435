//! What the triggers look at, and what follows when one fires.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use thunes_proto::level_to_wire;
use thunes_proto::risk::v1::{GatewayHealth, TriggerStatus};
use thunes_runtime::clock;
use thunes_store::{begin_write, failpoint};
use thunes_types::{Decimal, parse_non_negative};
use tokio_util::sync::CancellationToken;

use crate::config::TriggerRules;
use crate::domain::halts::Author;
use crate::domain::triggers::{Reading, Trigger};
use crate::engine::{Engine, State};
use crate::error::RiskError;
use crate::store;

/// How often the triggers look, besides when the book moves.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often the day's peak and fired triggers are written, at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// A gateway tells of its health with each renewal; an older word says nothing of now.
const HEALTH_MAX_AGE_MS: i64 = 5000;

/// What each account's gateway last said of itself, and when, by the boot clock.
pub(crate) type Healths = HashMap<String, (GatewayHealth, i64)>;

/// Looks again and again until `shutdown`.
pub(crate) async fn watch_triggers(engine: Arc<Engine>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => engine.pull_triggers(),
        }
    }
}

/// Writes what triggers must remember over a restart, off their path: a hung disk does not stop a trigger.
pub(crate) async fn save_triggers(engine: Arc<Engine>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SAVE_INTERVAL) => {}
        }
        if let Err(error) = engine.save_triggers_once().await {
            tracing::warn!(%error, "the day's peak and fired triggers could not be written; trying on");
            engine.state().triggers.mark_dirty();
        }
    }
}

impl Engine {
    async fn save_triggers_once(&self) -> Result<(), RiskError> {
        let triggers = {
            let mut state = self.state();
            // Never on disk before the halt that it made: a restart would find neither the halt nor a trigger that can fire.
            if state.halts.held().any(|halt| !halt.durable) || !state.triggers.take_dirty() {
                return Ok(());
            }
            state.triggers.clone()
        };
        let mut tx = begin_write(&self.database.pool).await?;
        store::save_triggers(&mut tx, &triggers).await?;
        failpoint::pass("risk.triggers.before_commit");
        tx.commit().await?;
        failpoint::pass("risk.triggers.after_commit");
        Ok(())
    }

    /// Lets every trigger look, and halts everything where one fires.
    pub(crate) fn pull_triggers(self: &Arc<Self>) {
        for trigger in Trigger::ALL {
            let level = self.config.triggers.level(*trigger);
            // One after the other: what the first one halts, the next one does not have to.
            let fired = {
                let mut state = self.state();
                let reading = reading(*trigger, &state, &self.config.triggers);
                let halted = state.halts.all().map(|halt| halt.level);
                state.triggers.fires(&reading, level, halted).then_some(reading)
            };
            if let Some(reading) = fired {
                self.activate_by_trigger(level, author(&reading));
            }
        }
    }
}

fn author(reading: &Reading) -> Author {
    Author {
        reason: reading.reason().chars().take(512).collect(),
        actor: reading.trigger.actor().to_owned(),
        at_ms: clock::now_ms(),
        cause: Some(reading.cause()),
    }
}

/// Each trigger with its numbers, as the API shows it.
pub(crate) fn triggers_to_wire(state: &State, rules: &TriggerRules) -> Vec<TriggerStatus> {
    let text = |value: Option<Decimal>| value.map_or_else(String::new, |value| value.normalize().to_string());
    let status = |reading: Reading| TriggerStatus {
        name: reading.trigger.name().to_owned(),
        measured: text(reading.measured),
        threshold: text(reading.threshold),
        level: level_to_wire(rules.level(reading.trigger)),
        fired: state.triggers.has_fired(reading.trigger),
    };
    let readings = Trigger::ALL.iter().map(|trigger| reading(*trigger, state, rules));
    readings.map(status).collect()
}

fn reading(trigger: Trigger, state: &State, rules: &TriggerRules) -> Reading {
    let mut detail = String::new();
    let measured = match trigger {
        Trigger::DailyLoss => {
            detail = state.book.daily_pnl.map_or_else(String::new, |pnl| pnl.to_string());
            state.book.daily_pnl.map(|pnl| -pnl)
        }
        Trigger::Drawdown => {
            if let (Some(pnl), Some(peak)) = (state.book.daily_pnl, state.triggers.peak()) {
                detail = format!("{pnl} after {}", peak.pnl);
            }
            state.book.daily_pnl.and_then(|pnl| state.triggers.drawdown(pnl).ok())
        }
        Trigger::OrderRate => Some(Decimal::from(state.asked.in_last_minute(clock::boot_ms()))),
        Trigger::RejectRate => worst(state, |health| Some(Decimal::from(health.rejects_last_minute))),
        Trigger::Reconciliation => {
            let found = unexplained(state, rules.threshold(trigger).unwrap_or_default());
            if let Some(found) = &found {
                let unpriced = if found.unpriced {
                    ", some of it without a price"
                } else {
                    ""
                };
                detail = format!("{} differences{unpriced}", found.mismatches);
            }
            found.map(|found| found.quote)
        }
        Trigger::AccountStream if is_trading(state) => {
            worst(state, |health| Some(Decimal::from(health.account_stream_silent_ms)))
        }
        // Nobody misses what an idle account does not do.
        Trigger::AccountStream => Some(Decimal::ZERO),
        Trigger::MarketData => {
            let (age_ms, symbol) = oldest_price(state);
            detail = symbol;
            Some(Decimal::from(age_ms))
        }
        Trigger::ClockOffset => worst(state, |health| Some(Decimal::from(health.clock_offset_change_ms))),
        Trigger::ClockUncertainty => worst(state, |health| {
            (health.clock_uncertainty_ms >= 0).then(|| Decimal::from(health.clock_uncertainty_ms))
        }),
    };
    let threshold = match trigger {
        Trigger::DailyLoss => Some(state.limits.daily_loss_max),
        other => rules.threshold(other),
    };
    Reading {
        trigger,
        measured,
        threshold,
        detail,
    }
}

/// The highest of what gateways said lately; None when none did.
fn worst(state: &State, read: impl Fn(&GatewayHealth) -> Option<Decimal>) -> Option<Decimal> {
    recent(state).filter_map(read).max()
}

fn recent(state: &State) -> impl Iterator<Item = &GatewayHealth> {
    let now = clock::boot_ms();
    let fresh = move |(_, heard): &&(GatewayHealth, i64)| now - heard <= HEALTH_MAX_AGE_MS;
    state.health.values().filter(fresh).map(|(health, _)| health)
}

/// What no reconciliation explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unexplained {
    quote: Decimal,
    mismatches: i64,
    unpriced: bool,
}

/// The worst that gateways tell of; None before the first reconciliation with a verdict. What has no price is at the
/// threshold, whatever that is.
fn unexplained(state: &State, threshold: Decimal) -> Option<Unexplained> {
    let verdicts = recent(state).filter_map(|health| health.reconciliation.as_ref());
    let measured = verdicts.filter_map(|last| match last.verdict.as_str() {
        "CLEAN" => Some(Unexplained {
            quote: Decimal::ZERO,
            mismatches: 0,
            unpriced: false,
        }),
        "DISCREPANCIES" => {
            let quote = parse_non_negative("reconciliation.unexplained_quote", &last.unexplained_quote).ok()?;
            Some(Unexplained {
                quote: if last.unpriced { quote.max(threshold) } else { quote },
                mismatches: last.mismatches,
                unpriced: last.unpriced,
            })
        }
        // Never, or undetermined: nothing is known.
        _ => None,
    });
    measured.max()
}

/// Something is held, on the way, or was asked for within the last minute.
fn is_trading(state: &State) -> bool {
    !state.book.open.is_empty()
        || state.live.values().any(|live| !live.is_empty())
        || state.asked.in_last_minute(clock::boot_ms()) > 0
}

/// The age of the newest price of the held symbol that is worst off, and that symbol. A price that was never heard counts
/// from this run's start.
fn oldest_price(state: &State) -> (i64, String) {
    let now_ms = clock::now_ms();
    let age_ms = |symbol: &String| {
        let known = state.prices.iter().filter(|((_, known), _)| known == symbol);
        let newest = known.map(|(_, (_, at_ms))| *at_ms).max();
        (now_ms - newest.unwrap_or(state.started_at_ms)).max(0)
    };
    let held = state.book.open.keys().map(|symbol| (age_ms(symbol), symbol.clone()));
    held.max().unwrap_or((0, "no symbol".to_owned()))
}
