use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use thunes_runtime::clock;
use thunes_store::{Database, Outbox};
use thunes_types::{Decimal, MinuteRate, MoneyError};
use tokio::sync::{Notify, watch};

use crate::alerts::Alerts;
use crate::answers::Answers;
use crate::config::RiskConfig;
use crate::domain::decide::{Book, Decision, Facts, Recent, Side, Trade, decide};
use crate::domain::halts::Halts;
use crate::domain::leases::Leases;
use crate::domain::limits::Limits;
use crate::domain::reservations::{Reservation, Reservations};
use crate::domain::triggers::Triggers;
use crate::stops::Stops;
use crate::triggering::Healths;

/// Everything that decisions stand on; held only for the moment of a decision, never across an await.
#[derive(Debug)]
pub(crate) struct State {
    pub halts: Halts,
    pub limits: Limits,
    pub leases: Leases,
    pub reservations: Reservations,
    pub book: Book,
    /// Account and symbol to last price and when it was heard, UTC: no account's gateway speaks for another's.
    pub prices: HashMap<(String, String), (Decimal, i64)>,
    pub recent: Recent,
    /// Orders that gateways asked for, approved or not.
    pub asked: MinuteRate,
    /// What each account's gateway last said of its live orders.
    pub live: HashMap<String, Vec<thunes_proto::risk::v1::LiveOrder>>,
    /// Counts every wish to activate, also those that found the switch active: a deactivation that one of them came
    /// into does not take effect.
    pub activations: u64,
    /// How far the gateways are with canceling and selling.
    pub stops: Stops,
    pub health: Healths,
    pub triggers: Triggers,
    /// When this run began, UTC.
    pub started_at_ms: i64,
}

/// The risk service without its wires.
#[derive(Debug)]
pub(crate) struct Engine {
    pub config: RiskConfig,
    pub database: Database,
    pub outbox: Outbox,
    pub answers: Answers,
    pub alerts: Alerts,
    /// Names this run: approvals of another run are worth nothing.
    pub incarnation: String,
    state: Mutex<State>,
    /// Changes with every change that watchers or waiting activations care about.
    changes: watch::Sender<i64>,
    /// Deactivations and the writing of activations, one after the other, whatever their scope.
    pub switch_writer: tokio::sync::Mutex<()>,
    /// Takeovers of accounts, one after the other, so that disk and memory name the same holder.
    pub takeover: tokio::sync::Mutex<()>,
    /// The state on disk is older than the one in memory.
    pub unsaved: Notify,
}

impl Engine {
    pub(crate) fn new(
        config: RiskConfig,
        database: Database,
        outbox: Outbox,
        answers: Answers,
        alerts: Alerts,
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            database,
            outbox,
            answers,
            alerts,
            incarnation: uuid::Uuid::new_v4().simple().to_string(),
            state: Mutex::new(state),
            changes: watch::Sender::new(1),
            switch_writer: tokio::sync::Mutex::new(()),
            takeover: tokio::sync::Mutex::new(()),
            unsaved: Notify::new(),
        })
    }

    /// The state, for a moment. A panic elsewhere must not take the switch away: the lock outlives it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Says that something changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|revision| *revision += 1);
    }

    pub(crate) fn watch_changes(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// What the gate says to a trade now.
    ///
    /// # Errors
    /// When a sum of money does not fit.
    pub(crate) fn judge(&self, trade: &Trade) -> Result<(Decision, i64), MoneyError> {
        let state = self.state();
        let decision = judge(&state, None, trade, clock::boot_ms(), self.config.positions_stale_ms)?;
        Ok((decision, state.halts.epoch()))
    }

    /// Decides on an order and reserves what it may add. An order that holds a reservation already is judged again but
    /// not counted twice.
    ///
    /// # Errors
    /// When a sum of money does not fit.
    pub(crate) fn authorize(
        &self,
        account: &str,
        client_order_id: &str,
        trade: &Trade,
    ) -> Result<(Decision, i64), MoneyError> {
        let now = clock::boot_ms();
        let mut state = self.state();
        state.asked.record(now);
        let own = state.reservations.take(client_order_id);
        if own.is_some() {
            state.recent.forget(trade);
        }
        let judged = judge(&state, Some(account), trade, now, self.config.positions_stale_ms);
        let epoch = state.halts.epoch();
        let approved = judged.as_ref().is_ok_and(|decision| decision.approved);
        if approved {
            let State {
                recent,
                limits,
                reservations,
                ..
            } = &mut *state;
            recent.record(trade, now, limits);
            if trade.side == Side::Buy {
                let reservation = Reservation {
                    account: account.to_owned(),
                    symbol: trade.symbol.clone(),
                    notional: trade.notional,
                    expires_at_boot_ms: now + self.config.approval_ttl_ms,
                    settled_at_revision: None,
                };
                reservations.insert(client_order_id, reservation);
            }
        } else if let Some(own) = own {
            state.reservations.insert(client_order_id, own);
        }
        Ok((judged?, epoch))
    }

    /// Gives back what an ended order had reserved.
    pub(crate) fn settle(&self, client_order_id: &str, book_revision: i64) -> bool {
        let mut state = self.state();
        let present = state.book.revision;
        state.reservations.settle(client_order_id, book_revision, present)
    }
}

/// The last price as the account's own gateway knows it; without an account the newest that any knows.
fn last_price(state: &State, account: Option<&str>, symbol: &str) -> Option<Decimal> {
    let of_symbol = state.prices.iter().filter(|((_, known), _)| known == symbol);
    let wanted = of_symbol.filter(|((owner, _), _)| account.is_none_or(|account| owner == account));
    wanted
        .max_by_key(|(_, (_, at_ms))| *at_ms)
        .map(|(_, (price, _))| *price)
}

fn judge(
    state: &State,
    account: Option<&str>,
    trade: &Trade,
    now_boot_ms: i64,
    positions_stale_ms: i64,
) -> Result<Decision, MoneyError> {
    let facts = Facts {
        halted: state
            .halts
            .halting(&trade.symbol, &trade.strategy_id)
            .map(|halt| &halt.scope),
        limits: &state.limits,
        book: &state.book,
        positions_stale_ms,
        reserved_in_symbol: state.reservations.notional_of(&trade.symbol)?,
        reserved_symbols: state.reservations.symbols(),
        last_price: last_price(state, account, &trade.symbol),
        recent: &state.recent,
        now_boot_ms,
    };
    decide(trade, &facts)
}
