//! The section `[sim]` of the settings, as every THUNES process reads them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Reader, Settings};

use crate::config::{CommissionIn, SimConfig};

/// Where exchange-sim listens, and what it simulates.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// REST and WebSocket.
    pub listen: ListenAddress,
    pub admin_listen: ListenAddress,
    pub plaintext: bool,
    pub config: SimConfig,
}

impl SimSettings {
    /// Reads `[sim]`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut r = settings.reader("sim");
        let listen = r.listen("listen", "127.0.0.1:7110", "address of REST and WebSocket API");
        let admin_listen = r.listen("admin_listen", "127.0.0.1:7111", "address of the admin API");
        let plaintext = r.boolean(
            "plaintext",
            false,
            "listen on other than loopback addresses, without TLS",
        );
        let mut config = market(&mut r);
        account(&mut r, &mut config);
        for fault in config.validate().err().unwrap_or_default() {
            let (subject, rule) = fault.split_once(": ").unwrap_or((fault.as_str(), ""));
            let (key, value) = subject.split_once(" = ").unwrap_or((subject, ""));
            r.refuse(key, value, rule);
        }
        let docs = r.finish()?;
        Ok((
            Self {
                listen,
                admin_listen,
                plaintext,
                config,
            },
            docs,
        ))
    }
}

/// The market and its rules.
fn market(r: &mut Reader<'_>) -> SimConfig {
    SimConfig {
        data_dir: r.path("data_dir", "thunes-data", "folder of the exchange's own ledger"),
        seed: whole(r, "seed", 1, i64::MAX, "one seed gives one walk of prices"),
        price_tick_ms: whole(
            r,
            "price_tick_ms",
            500,
            3_600_000,
            "time between prices; 0 leaves them to the admin API",
        ),
        klines_csv: r
            .optional("klines_csv", "CSV of klines to replay instead of walking")
            .map(Into::into),
        klines_symbol: r.text("klines_symbol", "BTCUSDT", "the symbol that the CSV belongs to"),
        commission_bps: r.parsed("commission_bps", "10", "fee in hundredths of a percent", parse_decimal),
        commission_in: r.parsed(
            "commission_in",
            "received",
            "received, base, quote or bnb",
            parse_commission,
        ),
        request_weight_per_minute: whole(
            r,
            "request_weight_per_minute",
            6000,
            COUNT_MAX,
            "request weight of an address in a minute",
        ),
        orders_per_10s: whole(
            r,
            "orders_per_10s",
            1000,
            COUNT_MAX,
            "unfilled orders of an account in 10 s",
        ),
        orders_per_day: whole(
            r,
            "orders_per_day",
            200_000,
            COUNT_MAX,
            "unfilled orders of an account in a day",
        ),
        ws_ping_ms: whole(
            r,
            "ws_ping_ms",
            20_000,
            3_600_000,
            "time between pings on WebSocket connections",
        ),
        ..SimConfig::default()
    }
}

/// The account that trades.
fn account(r: &mut Reader<'_>, config: &mut SimConfig) {
    let api_key = r
        .secret("api_key", "thunes-sim-key", "API key of the account")
        .unwrap_or_default();
    let api_secret = r
        .secret("api_secret", "thunes-sim-secret", "HMAC secret of the account")
        .unwrap_or_default();
    let doc = "what the account begins with: ASSET=AMOUNT,…";
    let balances = r.parsed("balances", "USDT=100000", doc, parse_balances);
    if let Some(account) = config.accounts.first_mut() {
        (account.api_key, account.api_secret, account.balances) = (api_key, api_secret, balances);
    }
}

/// Larger numbers of requests and orders are mistakes.
const COUNT_MAX: i64 = 1_000_000_000;

fn whole(r: &mut Reader<'_>, key: &str, default: i64, most: i64, doc: &'static str) -> u64 {
    u64::try_from(r.integer(key, default, 0..=most, doc)).unwrap_or(0)
}

fn parse_decimal(text: &str) -> Result<Decimal, String> {
    Decimal::from_str_exact(text).map_err(|_| "a decimal number".to_owned())
}

fn parse_commission(text: &str) -> Result<CommissionIn, String> {
    match text {
        "received" => Ok(CommissionIn::Received),
        "base" => Ok(CommissionIn::Base),
        "quote" => Ok(CommissionIn::Quote),
        "bnb" => Ok(CommissionIn::Bnb),
        _ => Err("received, base, quote or bnb".to_owned()),
    }
}

fn parse_balances(text: &str) -> Result<BTreeMap<String, Decimal>, String> {
    let rule = "assets with amounts, such as USDT=100000,BTC=1";
    let one = |item: &str| {
        let (asset, amount) = item.split_once('=').ok_or(rule)?;
        let amount = Decimal::from_str_exact(amount.trim()).map_err(|_| rule)?;
        if amount.is_sign_negative() {
            Err(rule)
        } else {
            Ok((asset.trim().to_owned(), amount))
        }
    };
    text.split(',')
        .filter(|item| !item.trim().is_empty())
        .map(one)
        .collect::<Result<_, &str>>()
        .map_err(str::to_owned)
}
