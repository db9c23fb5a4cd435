use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Reader, Settings};
use thunes_types::{Decimal, HaltLevel, Symbol, parse_non_negative, parse_positive};

use crate::Limits;
use crate::domain::leases::LeaseRules;
use crate::domain::triggers::{Trigger, TriggerLevels};

/// Settings of the risk service (`[risk]`).
#[derive(Debug, Clone)]
pub struct RiskConfig {
    pub listen: ListenAddress,
    pub plaintext: bool,
    pub data_dir: PathBuf,
    pub position_url: String,
    pub audit_url: String,
    pub(crate) lease: LeaseRules,
    pub approval_ttl_ms: i64,
    pub positions_stale_ms: i64,
    /// How long the answer to an activation waits for orders to be canceled and positions to be sold.
    pub stop_wait_ms: i64,
    pub limits: Limits,
    pub(crate) triggers: TriggerRules,
    pub telegram: TelegramConfig,
}

/// What activates the switch by itself (`[risk.triggers]`).
#[derive(Debug, Clone)]
pub(crate) struct TriggerRules {
    /// Without an entry the trigger is off.
    thresholds: BTreeMap<Trigger, Decimal>,
    levels: TriggerLevels,
}

impl TriggerRules {
    /// None: off. That of the daily loss is a limit, which can be changed while running.
    pub(crate) fn threshold(&self, trigger: Trigger) -> Option<Decimal> {
        self.thresholds.get(&trigger).copied()
    }

    pub(crate) fn level(&self, trigger: Trigger) -> HaltLevel {
        self.levels.get(&trigger).copied().unwrap_or(HaltLevel::HaltNew)
    }
}

/// Where alerts go (`[risk.telegram]`).
#[derive(Debug, Clone)]
pub struct TelegramConfig {
    /// None: no bot, no alerts.
    pub token: Option<SecretString>,
    pub chat_id: String,
    pub base_url: String,
    /// "telegram" or "standin": what reports say of who received an alert.
    pub receiver: String,
}

impl RiskConfig {
    /// Reads `[risk]`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut r = settings.reader("risk");
        let config = Self {
            listen: r.listen("listen", "127.0.0.1:7101", "address of the gRPC server"),
            plaintext: r.boolean(
                "plaintext",
                false,
                "listen on other than loopback addresses, without TLS",
            ),
            data_dir: r.path("data_dir", "thunes-data", "folder of risk.db"),
            position_url: r.text("position_url", "http://127.0.0.1:7102", "where position listens"),
            audit_url: r.text("audit_url", "http://127.0.0.1:7103", "where audit listens"),
            lease: LeaseRules {
                lease_ms: r.integer(
                    "lease_ms",
                    1000,
                    100..=10_000,
                    "how long a gateway may open positions after a renewal",
                ),
                recv_window_ms: r.integer(
                    "recv_window_ms",
                    2000,
                    100..=60_000,
                    "the receive window of opening orders; must not be below gateway.recv_window_ms",
                ),
                uncertainty_ms: r.integer("uncertainty_ms", 500, 0..=5000, "the most that clocks may differ by"),
            },
            approval_ttl_ms: r.integer(
                "approval_ttl_ms",
                2000,
                100..=60_000,
                "how long an approval is worth something",
            ),
            positions_stale_ms: r.integer(
                "positions_stale_ms",
                3000,
                500..=60_000,
                "opening is denied when the book is older",
            ),
            stop_wait_ms: r.integer(
                "stop_wait_ms",
                5000,
                0..=20_000,
                "how long the answer to an activation that cancels or flattens waits for the exchange's confirmation, once the fence is closed",
            ),
            limits: read_limits(&mut r),
            triggers: read_triggers(&mut r),
            telegram: TelegramConfig {
                token: r
                    .secret("telegram.token", "", "the bot's token; without it no alerts are sent")
                    .map(SecretString::from),
                chat_id: r.text("telegram.chat_id", "", "the chat that gets the alerts"),
                base_url: r.text("telegram.base_url", "https://api.telegram.org", "the Bot API"),
                receiver: r.parsed(
                    "telegram.receiver",
                    "telegram",
                    "telegram or standin: named in every report",
                    |text| {
                        if ["telegram", "standin"].contains(&text) {
                            Ok(text.to_owned())
                        } else {
                            Err("telegram or standin".into())
                        }
                    },
                ),
            },
        };
        if config.telegram.token.is_some() && config.telegram.chat_id.is_empty() {
            r.refuse("telegram.chat_id", "", "is needed where telegram.token is set");
        }
        let docs = r.finish()?;
        Ok((config, docs))
    }
}

fn read_limits(r: &mut Reader<'_>) -> Limits {
    let allowed = r.list(
        "limits.allowed_symbols",
        &["BTCUSDT", "ETHUSDT", "BNBUSDT"],
        "symbols that may be bought",
    );
    for symbol in &allowed {
        if let Err(error) = Symbol::parse(symbol) {
            r.refuse("limits.allowed_symbols", symbol, error.rule);
        }
    }
    if allowed.len() > Limits::ALLOWED_SYMBOLS_BOUND {
        r.refuse(
            "limits.allowed_symbols",
            &format!("{} symbols", allowed.len()),
            "at most 2000",
        );
    }
    Limits {
        order_notional_max: r.parsed("limits.order_notional_max", "1000", "quote, per order", parse_amount),
        position_notional_max: r.parsed(
            "limits.position_notional_max",
            "5000",
            "quote, per symbol",
            parse_amount,
        ),
        open_positions_max: r.integer(
            "limits.open_positions_max",
            5,
            0..=Limits::OPEN_POSITIONS_BOUND,
            "symbols with an open position or a reserved order",
        ),
        daily_loss_max: r.parsed(
            "limits.daily_loss_max",
            "500",
            "quote; the kill-switch is activated when the day's P&L falls to minus this",
            parse_amount,
        ),
        orders_per_minute_max: r.integer(
            "limits.orders_per_minute_max",
            3000,
            0..=Limits::ORDERS_PER_MINUTE_BOUND,
            "approved orders in a rolling minute",
        ),
        price_collar_bps: r.integer(
            "limits.price_collar_bps",
            500,
            0..=Limits::PRICE_COLLAR_BOUND_BPS,
            "how far a limit price may stand from the last price, in hundredths of a percent",
        ),
        allowed_symbols: allowed,
        duplicate_window_ms: r.integer(
            "limits.duplicate_window_ms",
            0,
            0..=Limits::DUPLICATE_WINDOW_BOUND_MS,
            "orders that look alike within this time are duplicates; 0 turns the check off",
        ),
    }
}

fn read_triggers(r: &mut Reader<'_>) -> TriggerRules {
    let amount = |text: &str| parse_non_negative("amount", text).map_err(|e| e.rule);
    let drawdown = r.parsed(
        "triggers.drawdown_max",
        "1000",
        "quote; the kill-switch is activated when the day's P&L is this far below its best of the day; 0: never",
        amount,
    );
    let unexplained = r.parsed(
        "triggers.reconciliation_unexplained_max",
        "10",
        "quote; activated when a reconciliation leaves this much unexplained; 0: never",
        amount,
    );
    let mut thresholds = BTreeMap::from([(Trigger::Drawdown, drawdown), (Trigger::Reconciliation, unexplained)]);
    let mut whole = |trigger, key, default, doc| {
        let value = r.integer(key, default, 0..=1_000_000_000, doc);
        thresholds.insert(trigger, Decimal::from(value));
    };
    whole(
        Trigger::OrderRate,
        "triggers.order_rate_max",
        100_000,
        "orders; activated when this many are asked for within a minute, approved or not; 0: never",
    );
    whole(
        Trigger::RejectRate,
        "triggers.reject_rate_max",
        100,
        "orders; activated when the exchange rejects this many within a minute; 0: never",
    );
    whole(
        Trigger::AccountStream,
        "triggers.account_stream_silent_max_ms",
        120_000,
        "activated when the exchange's stream of our own orders is gone or silent for this long while trading; 0: never",
    );
    whole(
        Trigger::MarketData,
        "triggers.market_data_age_max_ms",
        120_000,
        "activated when the newest price of a symbol that is held is this old; 0: never",
    );
    whole(
        Trigger::ClockOffset,
        "triggers.clock_offset_change_max_ms",
        1000,
        "activated when the exchange's clock moves this far against ours within a minute; 0: never",
    );
    whole(
        Trigger::ClockUncertainty,
        "triggers.clock_uncertainty_max_ms",
        1000,
        "activated when the exchange's clock is this uncertain; 0: never",
    );
    thresholds.retain(|_, threshold| !threshold.is_zero());
    TriggerRules {
        thresholds,
        levels: read_trigger_levels(r),
    }
}

fn read_trigger_levels(r: &mut Reader<'_>) -> TriggerLevels {
    const DOC: &str = "how far this trigger goes: halt, cancel or flatten";
    let mut level = |trigger, key: &str| {
        let parse = |text: &str| HaltLevel::parse(text).ok_or_else(|| "halt, cancel or flatten".to_owned());
        (trigger, r.parsed(key, "halt", DOC, parse))
    };
    TriggerLevels::from([
        level(Trigger::DailyLoss, "triggers.daily_loss_level"),
        level(Trigger::Drawdown, "triggers.drawdown_level"),
        level(Trigger::OrderRate, "triggers.order_rate_level"),
        level(Trigger::RejectRate, "triggers.reject_rate_level"),
        level(Trigger::Reconciliation, "triggers.reconciliation_level"),
        level(Trigger::AccountStream, "triggers.account_stream_level"),
        level(Trigger::MarketData, "triggers.market_data_level"),
        level(Trigger::ClockOffset, "triggers.clock_offset_level"),
        level(Trigger::ClockUncertainty, "triggers.clock_uncertainty_level"),
    ])
}

fn parse_amount(text: &str) -> Result<Decimal, String> {
    parse_positive("amount", text).map_err(|e| e.rule)
}
