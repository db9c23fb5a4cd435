//! Configuration: what there is to trade, who trades, and how the market moves. All mistakes are named at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// In which asset fees are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommissionIn {
    /// The asset that the fill credits, as on the exchange.
    #[default]
    Received,
    /// Always the base asset.
    Base,
    /// Always the quote asset.
    Quote,
    /// BNB at a quarter less.
    Bnb,
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimConfig {
    /// Where the ledger lives; created when missing.
    pub data_dir: PathBuf,
    /// Address of REST, WebSocket API and market streams (bound by the caller of `serve`).
    pub rest_addr: SocketAddr,
    /// Address of the admin API (bound by the caller of `serve`); keep it on loopback.
    pub admin_addr: SocketAddr,
    /// One seed gives one price walk and one synthetic book.
    pub seed: u64,
    /// Milliseconds between prices; 0 leaves them to the admin API alone.
    pub price_tick_ms: u64,
    /// A CSV of klines (open time, open, high, low, close, …) to replay instead of walking.
    pub klines_csv: Option<PathBuf>,
    /// The symbol that the CSV belongs to.
    pub klines_symbol: String,
    /// Fee in hundredths of a percent.
    pub commission_bps: Decimal,
    /// Asset of the fee; where the account cannot pay it there, the received asset is taken.
    pub commission_in: CommissionIn,
    /// REQUEST_WEIGHT a minute and address.
    pub request_weight_per_minute: u64,
    /// Unfilled orders per account in ten seconds.
    pub orders_per_10s: u64,
    /// Unfilled orders per account and day.
    pub orders_per_day: u64,
    /// Milliseconds between ping frames on WebSocket connections.
    pub ws_ping_ms: u64,
    /// What can be traded.
    pub symbols: Vec<SymbolConfig>,
    /// Who trades.
    pub accounts: Vec<AccountConfig>,
}

/// One symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolConfig {
    /// Name, such as BTCUSDT.
    pub symbol: String,
    /// Base asset.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Where the walk begins.
    pub start_price: Decimal,
    /// PRICE_FILTER step.
    pub tick_size: Decimal,
    /// LOT_SIZE step and smallest quantity.
    pub step_size: Decimal,
    /// LOT_SIZE largest quantity.
    pub max_qty: Decimal,
    /// NOTIONAL smallest amount, quote asset.
    pub min_notional: Decimal,
    /// Largest step of the walk per tick, hundredths of a percent.
    #[serde(default = "default_volatility_bps")]
    pub volatility_bps: u32,
    /// Distance of the best price from the middle, hundredths of a percent.
    #[serde(default = "default_half_spread_bps")]
    pub half_spread_bps: Decimal,
    /// Typical base quantity of the first synthetic level.
    pub level_qty: Decimal,
    /// MAX_NUM_ORDERS.
    #[serde(default = "default_max_num_orders")]
    pub max_num_orders: usize,
    /// MARKET_LOT_SIZE largest quantity; that of LOT_SIZE when absent.
    #[serde(default)]
    pub market_max_qty: Option<Decimal>,
    /// MAX_POSITION, if the symbol has one.
    #[serde(default)]
    pub max_position: Option<Decimal>,
}

/// One account and its keys.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Name in the ledger.
    #[serde(default = "default_account_name")]
    pub name: String,
    /// HMAC key id (X-MBX-APIKEY).
    pub api_key: String,
    /// HMAC secret.
    pub api_secret: String,
    /// Key id of an Ed25519 key of the same account.
    #[serde(default)]
    pub ed25519_api_key: Option<String>,
    /// Its public key, PEM (SubjectPublicKeyInfo).
    #[serde(default)]
    pub ed25519_public_key_pem: Option<String>,
    /// What it begins with, by asset; everything else is 0.
    #[serde(default = "default_grants")]
    pub balances: BTreeMap<String, Decimal>,
}

impl std::fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret never reaches a log.
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

fn default_volatility_bps() -> u32 {
    2
}

fn default_half_spread_bps() -> Decimal {
    Decimal::new(5, 1)
}

fn default_max_num_orders() -> usize {
    200
}

fn default_account_name() -> String {
    "main".to_owned()
}

fn default_grants() -> BTreeMap<String, Decimal> {
    BTreeMap::from([("USDT".to_owned(), Decimal::from(100_000))])
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data/exchange-sim"),
            rest_addr: SocketAddr::from(([127, 0, 0, 1], 7110)),
            admin_addr: SocketAddr::from(([127, 0, 0, 1], 7111)),
            seed: 1,
            price_tick_ms: 500,
            klines_csv: None,
            klines_symbol: "BTCUSDT".to_owned(),
            commission_bps: Decimal::from(10),
            commission_in: CommissionIn::Received,
            request_weight_per_minute: 6_000,
            orders_per_10s: 1_000,
            orders_per_day: 200_000,
            ws_ping_ms: 20_000,
            symbols: default_symbols(),
            accounts: vec![AccountConfig {
                name: default_account_name(),
                api_key: "sim-api-key".to_owned(),
                api_secret: "sim-api-secret".to_owned(),
                ed25519_api_key: None,
                ed25519_public_key_pem: None,
                balances: default_grants(),
            }],
        }
    }
}

fn default_symbols() -> Vec<SymbolConfig> {
    let symbol = |base: &str, quote: &str, numbers: [(i64, u32); 6]| {
        let [start_price, tick_size, step_size, max_qty, min_notional, level_qty] =
            numbers.map(|(digits, scale)| Decimal::new(digits, scale));
        SymbolConfig {
            symbol: format!("{base}{quote}"),
            base: base.to_owned(),
            quote: quote.to_owned(),
            start_price,
            tick_size,
            step_size,
            max_qty,
            min_notional,
            volatility_bps: default_volatility_bps(),
            half_spread_bps: default_half_spread_bps(),
            level_qty,
            max_num_orders: default_max_num_orders(),
            market_max_qty: None,
            max_position: None,
        }
    };
    vec![
        symbol("BTC", "USDT", [(60_000, 0), (1, 2), (1, 5), (9_000, 0), (5, 0), (2, 2)]),
        symbol("ETH", "USDT", [(3_000, 0), (1, 2), (1, 4), (9_000, 0), (5, 0), (4, 1)]),
        symbol("BNB", "USDT", [(600, 0), (1, 2), (1, 3), (90_000, 0), (5, 0), (2, 0)]),
        symbol("ETH", "BTC", [(5, 2), (1, 5), (1, 3), (90_000, 0), (1, 4), (4, 1)]),
    ]
}

impl SimConfig {
    /// Checks everything.
    ///
    /// # Errors
    /// Every broken rule with its field and value.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let mut require = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        let bps = self.commission_bps;
        require(
            bps >= Decimal::ZERO && bps <= Decimal::from(1_000) && bps.scale() <= 2,
            format!("commission_bps = {bps}: must be 0 to 1000 with at most 2 decimals"),
        );
        let tick = self.price_tick_ms;
        require(
            tick == 0 || (10..=3_600_000).contains(&tick),
            format!("price_tick_ms = {tick}: must be 0 or 10 to 3600000"),
        );
        require(
            (100..=60_000).contains(&self.ws_ping_ms),
            format!("ws_ping_ms = {}: must be 100 to 60000", self.ws_ping_ms),
        );
        require(
            self.request_weight_per_minute > 0,
            "request_weight_per_minute = 0: must be above 0".to_owned(),
        );
        require(
            self.orders_per_10s > 0,
            "orders_per_10s = 0: must be above 0".to_owned(),
        );
        require(
            self.orders_per_day > 0,
            "orders_per_day = 0: must be above 0".to_owned(),
        );
        require(
            (1..=500).contains(&self.symbols.len()),
            format!("symbols: {} of them, 1 to 500 are possible", self.symbols.len()),
        );
        require(
            (1..=100).contains(&self.accounts.len()),
            format!("accounts: {} of them, 1 to 100 are possible", self.accounts.len()),
        );
        let names: BTreeSet<&str> = self.symbols.iter().map(|s| s.symbol.as_str()).collect();
        require(
            names.len() == self.symbols.len(),
            "symbols: a symbol is named twice".to_owned(),
        );
        require(
            self.klines_csv.is_none() || names.contains(self.klines_symbol.as_str()),
            format!("klines_symbol = {}: is not among the symbols", self.klines_symbol),
        );
        for symbol in &self.symbols {
            faults.extend(symbol.faults());
        }
        faults.extend(self.account_faults());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn account_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for account in &self.accounts {
            let name = &account.name;
            if name.is_empty() || !names.insert(name) {
                faults.push(format!("accounts.name = {name:?}: must be given and unique"));
            }
            for key in [Some(&account.api_key), account.ed25519_api_key.as_ref()]
                .into_iter()
                .flatten()
            {
                let legal =
                    !key.is_empty() && key.len() <= 128 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if !legal || !keys.insert(key) {
                    faults.push(format!(
                        "accounts.api_key = {key:?}: must be 1 to 128 letters, digits or '-', and unique"
                    ));
                }
            }
            if account.api_secret.is_empty() {
                faults.push(format!("accounts.api_secret of {name:?}: must not be empty"));
            }
            if account.ed25519_api_key.is_some() != account.ed25519_public_key_pem.is_some() {
                faults.push(format!(
                    "accounts of {name:?}: ed25519_api_key and ed25519_public_key_pem go together"
                ));
            }
            for (asset, amount) in &account.balances {
                if *amount < Decimal::ZERO || amount.scale() > 8 || *amount > Decimal::from(1_000_000_000_000_u64) {
                    faults.push(format!(
                        "accounts.balances.{asset} = {amount}: must be 0 to 10^12 with at most 8 decimals"
                    ));
                }
            }
        }
        faults
    }
}

impl SymbolConfig {
    fn faults(&self) -> Vec<String> {
        let name = &self.symbol;
        let mut faults = Vec::new();
        let upper = |text: &str| {
            !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        if !upper(name) || !upper(&self.base) || !upper(&self.quote) || *name != format!("{}{}", self.base, self.quote)
        {
            faults.push(format!(
                "symbols.{name}: must be base followed by quote, in capital letters"
            ));
        }
        let amounts = [
            ("start_price", self.start_price),
            ("tick_size", self.tick_size),
            ("step_size", self.step_size),
            ("max_qty", self.max_qty),
            ("min_notional", self.min_notional),
            ("level_qty", self.level_qty),
            ("half_spread_bps", self.half_spread_bps),
        ];
        for (field, amount) in amounts {
            if amount <= Decimal::ZERO || amount > Decimal::from(1_000_000_000) || amount.scale() > 8 {
                faults.push(format!(
                    "symbols.{name}.{field} = {amount}: must be above 0, at most 10^9, with at most 8 decimals"
                ));
            }
        }
        if !faults.is_empty() {
            return faults;
        }
        // A price times a quantity must be exact in eight decimals, or balances could not be exact to the last one.
        if self.tick_size.normalize().scale() + self.step_size.normalize().scale() > 8 {
            faults.push(format!(
                "symbols.{name}: the decimals of tick_size and step_size must not add up to more than 8"
            ));
        }
        if !(self.start_price % self.tick_size).is_zero() {
            faults.push(format!(
                "symbols.{name}.start_price = {}: must be a multiple of tick_size",
                self.start_price
            ));
        }
        if self.volatility_bps > 1_000 {
            faults.push(format!(
                "symbols.{name}.volatility_bps = {}: must be at most 1000",
                self.volatility_bps
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_mistake_is_named_at_once() {
        assert_eq!(SimConfig::default().validate(), Ok(()));
        let mut config = SimConfig {
            price_tick_ms: 1,
            commission_bps: Decimal::from(-1),
            ..SimConfig::default()
        };
        config.symbols[3].step_size = "0.0001".parse().unwrap();
        config.accounts[0].api_secret.clear();
        let faults = config.validate().unwrap_err().join("; ");
        for part in ["price_tick_ms = 1", "commission_bps = -1", "ETHBTC", "api_secret"] {
            assert!(faults.contains(part), "{part} is missing in {faults}");
        }
    }
}
