use std::net::SocketAddr;
use std::path::PathBuf;

use rust_decimal::Decimal;
use thunes_exchange_sim::{CommissionIn, SimConfig};
use thunes_runtime::{ConfigFaults, Fault, KeyDoc, Settings};
use thunes_supervisor::embedded::{SIM_API_KEY, SIM_API_SECRET};
use thunes_types::parse_non_negative;

const SECTION: &str = "sim";
/// Larger numbers of milliseconds and of requests are mistakes.
const COUNT_MAX: i64 = 1_000_000_000;

/// The settings of section `[sim]`: the simulated exchange's own configuration, and where it listens.
#[derive(Debug)]
pub struct SimSettings {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub plaintext: bool,
    pub config: SimConfig,
}

impl SimSettings {
    /// Reads the section. Symbols and balances are the built-in ones.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut r = settings.reader(SECTION);
        let mut config = SimConfig::default();
        let address = |text: &str| {
            text.parse()
                .map_err(|_| "an address and a port, such as 127.0.0.1:7110".to_owned())
        };
        let listen = r.parsed(
            "listen",
            "127.0.0.1:7110",
            "Where REST and the WebSocket API listen.",
            address,
        );
        let admin_doc = "Where the admin interface listens; it has no keys, so keep it on loopback.";
        let admin_listen = r.parsed("admin_listen", "127.0.0.1:7111", admin_doc, address);
        let plaintext = r.boolean(
            "plaintext",
            false,
            "Listen on an address that is not loopback, without TLS.",
        );
        config.data_dir = r.path("data_dir", "thunes-data", "Folder of the exchange's ledger.");
        let seed = r.integer("seed", 1, 0..=i64::MAX, "One seed gives one walk of the prices.");
        config.seed = seed.unsigned_abs();
        let mut count = |key: &str, default: u64, doc: &'static str| {
            let default = i64::try_from(default).unwrap_or(COUNT_MAX);
            r.integer(key, default, 0..=COUNT_MAX, doc).unsigned_abs()
        };
        let tick_doc = "Milliseconds between prices; 0 leaves them to the admin interface.";
        config.price_tick_ms = count("price_tick_ms", config.price_tick_ms, tick_doc);
        let weight_doc = "Request weight that one address may use in a minute.";
        config.request_weight_per_minute = count(
            "request_weight_per_minute",
            config.request_weight_per_minute,
            weight_doc,
        );
        config.orders_per_10s = count(
            "orders_per_10s",
            config.orders_per_10s,
            "Unfilled orders of an account in 10 s.",
        );
        config.orders_per_day = count(
            "orders_per_day",
            config.orders_per_day,
            "Unfilled orders of an account in a day.",
        );
        config.ws_ping_ms = count(
            "ws_ping_ms",
            config.ws_ping_ms,
            "Milliseconds between pings on WebSocket connections.",
        );
        let csv_doc = "CSV of klines (open time, open, high, low, close, …) to replay instead of walking.";
        config.klines_csv = r.optional("klines_csv", csv_doc).map(PathBuf::from);
        config.klines_symbol = r.text("klines_symbol", "BTCUSDT", "The symbol that the CSV belongs to.");
        config.commission_bps = r.parsed("commission_bps", "10", "Fee in hundredths of a percent.", amount);
        let commission_doc = "Asset of the fee: received (what the fill credits), base, quote or bnb.";
        config.commission_in = r.parsed("commission_in", "received", commission_doc, commission_in);
        let api_key = r.text("api_key", SIM_API_KEY, "The account's API key.");
        let api_secret = r.text("api_secret", SIM_API_SECRET, "The account's HMAC secret.");
        if let Some(account) = config.accounts.first_mut() {
            account.api_key = api_key;
            account.api_secret = api_secret;
        }
        (config.rest_addr, config.admin_addr) = (listen, admin_listen);
        let broken = config.validate().err().unwrap_or_default();
        let read = r.finish();
        // What the exchange itself finds stands beside what the reader found; neither hides the other.
        let more = broken.into_iter().map(rule_as_fault);
        let docs = match read {
            Ok(docs) => {
                let faults: Vec<Fault> = more.collect();
                if !faults.is_empty() {
                    return Err(ConfigFaults {
                        origin: format!("section [{SECTION}]"),
                        faults,
                    });
                }
                docs
            }
            Err(mut found) => {
                found.faults.extend(more);
                return Err(found);
            }
        };
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

/// `price_tick_ms = 1: must be …` as a fault with its parts.
fn rule_as_fault(text: String) -> Fault {
    let (subject, rule) = text.split_once(": ").unwrap_or((text.as_str(), ""));
    let (key, value) = subject.split_once(" = ").unwrap_or((subject, ""));
    Fault {
        key: format!("{SECTION}.{key}"),
        value: value.to_owned(),
        rule: rule.to_owned(),
    }
}

fn amount(text: &str) -> Result<Decimal, String> {
    parse_non_negative("commission_bps", text).map_err(|error| error.rule)
}

fn commission_in(text: &str) -> Result<CommissionIn, String> {
    match text {
        "received" => Ok(CommissionIn::Received),
        "base" => Ok(CommissionIn::Base),
        "quote" => Ok(CommissionIn::Quote),
        "bnb" => Ok(CommissionIn::Bnb),
        _ => Err("received, base, quote or bnb".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_are_those_of_the_embedded_environment() {
        let (sim, docs) = SimSettings::read(&Settings::default()).expect("good");
        assert_eq!(sim.config.accounts[0].api_key, SIM_API_KEY);
        assert_eq!(sim.listen.port(), 7110);
        assert!(docs.iter().any(|doc| doc.key == "sim.klines_csv"));
        let defaults = SimConfig::default();
        assert_eq!(sim.config.price_tick_ms, defaults.price_tick_ms);
        assert_eq!(sim.config.commission_in, defaults.commission_in);
    }

    #[test]
    fn faults_of_the_reader_and_of_the_exchange_are_named_together() {
        let text = "[sim]\nlisten = \"here\"\nprice_tick_ms = 3\ncommission_in = \"gold\"\nspeed = 1\n";
        let faults = SimSettings::read(&Settings::from_toml(text).expect("toml"))
            .expect_err("four")
            .faults;
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["sim.listen", "sim.commission_in", "sim.speed", "sim.price_tick_ms"]
        );
        assert_eq!(
            (faults[3].value.as_str(), faults[3].rule.contains("10 to 3600000")),
            ("3", true)
        );
    }
}
