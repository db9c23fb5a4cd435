use std::path::PathBuf;

use secrecy::SecretString;
use thunes_binance::{Credentials, PrivateKey, Subscribe};
use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Reader, Settings};
use thunes_types::{Decimal, Symbol, parse_non_negative};

use crate::domain::fence::FenceRules;

/// Which exchange this is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Sim,
    Testnet,
    Live,
}

impl Environment {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Testnet => "testnet",
            Self::Live => "live",
        }
    }

    /// By the host of the base URL. Anything of the exchange's own that is not its testnet counts as live.
    pub fn of(base_url: &str) -> Self {
        let host = base_url.split("://").nth(1).unwrap_or(base_url);
        let host = host.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
        let is_of = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        if is_of("testnet.binance.vision") {
            Self::Testnet
        } else if host.contains("binance") {
            Self::Live
        } else {
            Self::Sim
        }
    }
}

/// Settings of the exchange-gateway (`[gateway]`).
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    pub listen: ListenAddress,
    pub plaintext: bool,
    pub data_dir: PathBuf,
    pub id: String,
    pub account: String,
    pub symbols: Vec<Symbol>,
    pub risk_url: String,
    pub position_url: String,
    pub audit_url: String,
    pub base_url: String,
    pub ws_url: String,
    pub environment: Environment,
    pub credentials: Credentials,
    pub subscribe: Subscribe,
    pub reserve_weight: u32,
    pub order_timeout_ms: i64,
    pub(crate) fence: FenceRules,
    pub closing_recv_window_ms: i64,
    pub audit_backlog_max_age_ms: i64,
    pub price_interval_ms: i64,
    pub reconcile: ReconcileConfig,
}

/// Settings of reconciliation (`[gateway.reconcile]`).
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    pub interval_ms: i64,
    /// Every so many passes in the background everything is compared anew.
    pub full_every: i64,
    pub auto_adopt: bool,
    pub tolerance_quote: Decimal,
}

impl GatewayConfig {
    /// Reads `[gateway]`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut r = settings.reader("gateway");
        let base_url = r.text(
            "exchange.base_url",
            "http://127.0.0.1:7110",
            "REST of the exchange; https://testnet.binance.vision for the testnet",
        );
        let default_ws = default_ws_url(&base_url);
        let credentials = credentials(&mut r);
        let subscribe = subscribe(&mut r, &credentials);
        let symbols = symbols(&mut r);
        let reserve_weight = reserve_weight(&mut r, symbols.len());
        let config = Self {
            listen: r.listen("listen", "127.0.0.1:7104", "address of the gRPC server"),
            plaintext: r.boolean("plaintext", false, "listen on other than loopback addresses, without TLS"),
            data_dir: r.path("data_dir", "thunes-data", "folder of gateway.db"),
            id: name(&mut r, "id", "gateway-1", "this gateway's name; one at a time may trade an account"),
            account: name(&mut r, "account", "main", "our name for the exchange account"),
            symbols,
            risk_url: r.text("risk_url", "http://127.0.0.1:7101", "where risk listens"),
            position_url: r.text("position_url", "http://127.0.0.1:7102", "where position listens"),
            audit_url: r.text("audit_url", "http://127.0.0.1:7103", "where audit listens"),
            ws_url: r.text("exchange.ws_url", &default_ws, "WebSocket API of the exchange"),
            environment: Environment::of(&base_url),
            credentials,
            subscribe,
            reserve_weight,
            order_timeout_ms: r.integer("exchange.order_timeout_ms", 5000, 100..=60_000, "how long an answer to an order is waited for; then it is in doubt"),
            fence: FenceRules {
                recv_window_ms: r.integer("recv_window_ms", 2000, 100..=60_000, "receive window of opening orders; must not be above risk.recv_window_ms"),
                uncertainty_ms: r.integer("uncertainty_ms", 500, 0..=5000, "opening is refused while the exchange's clock is less certain; must not be above risk.uncertainty_ms"),
            },
            closing_recv_window_ms: r.integer("closing_recv_window_ms", 5000, 100..=60_000, "receive window of closing orders and questions"),
            audit_backlog_max_age_ms: r.integer("audit_backlog_max_age_ms", 300_000, 1000..=86_400_000, "opening is refused while the oldest undelivered audit event is older"),
            price_interval_ms: r.integer("price_interval_ms", 500, 50..=60_000, "how often last prices are asked for"),
            reconcile: ReconcileConfig {
                interval_ms: r.integer("reconcile.interval_ms", 30_000, 200..=86_400_000, "how often the exchange is compared with our books in the background"),
                full_every: r.integer("reconcile.full_every", 120, 1..=1_000_000, "every so many background passes everything since the baseline is compared anew, not only what is new"),
                auto_adopt: r.boolean("reconcile.auto_adopt", true, "fills of our own orders that the book lacks are adopted without asking"),
                tolerance_quote: r.parsed("reconcile.tolerance_quote", "1", "balances that nothing explains are reported to risk when they are worth more, at last prices", |text| parse_non_negative("reconcile.tolerance_quote", text).map_err(|e| e.rule.to_string())),
            },
            base_url,
        };
        let allow_live = r.boolean(
            "exchange.allow_live",
            false,
            "trade real money; needed for a live base_url",
        );
        if config.environment == Environment::Live && !allow_live {
            r.refuse(
                "exchange.base_url",
                &config.base_url,
                "is a live exchange: set gateway.exchange.allow_live = true if real money is meant",
            );
        }
        let docs = r.finish()?;
        Ok((config, docs))
    }
}

/// The API key, and what signs for it.
fn credentials(r: &mut Reader<'_>) -> Credentials {
    let api_key: SecretString = r
        .secret("exchange.api_key", "thunes-sim-key", "API key")
        .unwrap_or_default()
        .into();
    let secret: SecretString = r
        .secret(
            "exchange.api_secret",
            "thunes-sim-secret",
            "HMAC secret; not used with a private key",
        )
        .unwrap_or_default()
        .into();
    let pem = r.secret(
        "exchange.private_key",
        "",
        "PKCS#8 PEM of an Ed25519 or RSA key without passphrase; wins over the HMAC secret",
    );
    let key_type = r.text(
        "exchange.key_type",
        "auto",
        "auto, hmac, ed25519 or rsa; auto takes the private key where there is one",
    );
    if !["auto", "hmac", "ed25519", "rsa"].contains(&key_type.as_str()) {
        r.refuse("exchange.key_type", &key_type, "auto, hmac, ed25519 or rsa");
    }
    let hmac = Credentials::hmac(api_key.clone(), secret);
    if key_type == "hmac" {
        return hmac;
    }
    let Some(pem) = pem else {
        if key_type != "auto" {
            r.refuse(
                "exchange.private_key",
                "",
                "is needed for this gateway.exchange.key_type",
            );
        }
        return hmac;
    };
    match (PrivateKey::from_pem(&pem), key_type.as_str()) {
        (Ok(PrivateKey::Rsa(_)), "ed25519") => {
            r.refuse(
                "exchange.private_key",
                "(hidden)",
                "is an RSA key, and gateway.exchange.key_type says ed25519",
            );
        }
        (Ok(PrivateKey::Ed25519(_)), "rsa") => {
            r.refuse(
                "exchange.private_key",
                "(hidden)",
                "is an Ed25519 key, and gateway.exchange.key_type says rsa",
            );
        }
        (Ok(key), _) => return Credentials::private(api_key, key),
        (Err(error), _) => r.refuse("exchange.private_key", "(hidden)", error.to_string()),
    }
    hmac
}

fn subscribe(r: &mut Reader<'_>, credentials: &Credentials) -> Subscribe {
    let doc = "auto, logon or signature: how to subscribe to the account's events; logon needs an Ed25519 key";
    let text = r.text("exchange.subscribe", "auto", doc);
    match text.as_str() {
        "auto" => {}
        "signature" => return Subscribe::Signature,
        "logon" if credentials.can_log_on() => return Subscribe::LogOn,
        "logon" => r.refuse(
            "exchange.subscribe",
            &text,
            "a session can be logged on with an Ed25519 key alone",
        ),
        _ => r.refuse("exchange.subscribe", &text, "auto, logon or signature"),
    }
    Subscribe::usual(credentials)
}

/// By default enough to list all open orders once, and those of each symbol once with a cancel that is refused.
fn reserve_weight(r: &mut Reader<'_>, symbols: usize) -> u32 {
    let doc = "request weight of a minute that is kept for cancels, closing orders and the clock; 0: 100 and 7 for each symbol";
    let set = r.integer("exchange.reserve_weight", 0, 0..=100_000, doc);
    match u32::try_from(set) {
        Ok(set) if set > 0 => set,
        Ok(_) | Err(_) => 100 + 7 * u32::try_from(symbols).unwrap_or(1_000).min(1_000),
    }
}

fn default_ws_url(base_url: &str) -> String {
    match Environment::of(base_url) {
        Environment::Testnet => "wss://ws-api.testnet.binance.vision/ws-api/v3".into(),
        Environment::Live => "wss://ws-api.binance.com/ws-api/v3".into(),
        Environment::Sim => format!("{}/ws-api/v3", base_url.replacen("http", "ws", 1)),
    }
}

fn name(r: &mut Reader<'_>, key: &str, default: &str, doc: &'static str) -> String {
    r.parsed(key, default, doc, |text| {
        let valid =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if valid {
            Ok(text.to_owned())
        } else {
            Err("1 to 64 characters of a-z, A-Z, 0-9, -, _ and .".into())
        }
    })
}

fn symbols(r: &mut Reader<'_>) -> Vec<Symbol> {
    let texts = r.list(
        "symbols",
        &["BTCUSDT", "ETHUSDT", "BNBUSDT"],
        "symbols that are traded and reconciled",
    );
    let mut symbols = Vec::new();
    for text in &texts {
        match Symbol::parse(text) {
            Ok(symbol) => symbols.push(symbol),
            Err(error) => r.refuse("symbols", text, error.rule),
        }
    }
    if symbols.is_empty() && texts.is_empty() {
        r.refuse("symbols", "", "at least one symbol");
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_exchange_needs_to_be_told_twice() {
        for url in [
            "https://api.binance.com",
            "https://api1.binance.com/",
            "https://api.binance.us",
        ] {
            assert_eq!(Environment::of(url), Environment::Live, "{url}");
            let settings = Settings::default().with("gateway.exchange.base_url", url);
            let faults = GatewayConfig::read(&settings).expect_err("refused").faults;
            assert!(faults[0].rule.contains("allow_live"));
            assert!(GatewayConfig::read(&settings.with("gateway.exchange.allow_live", "true")).is_ok());
        }
        assert_eq!(Environment::of("https://testnet.binance.vision"), Environment::Testnet);
        assert_eq!(Environment::of("http://127.0.0.1:7110"), Environment::Sim);
        assert_eq!(Environment::of("http://exchange-sim:7110"), Environment::Sim);
    }

    /// The example key of RFC 8410.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";

    fn read(pairs: &[(&str, &str)]) -> Result<GatewayConfig, String> {
        let settings = pairs.iter().fold(Settings::default(), |settings, (key, value)| {
            settings.with(&format!("gateway.exchange.{key}"), *value)
        });
        let read = GatewayConfig::read(&settings).map(|(config, _)| config);
        read.map_err(|faults| format!("{} {}", faults.faults[0].key, faults.faults[0].rule))
    }

    #[test]
    fn the_kind_of_key_decides_how_to_subscribe() {
        assert_eq!(read(&[]).expect("fine").subscribe, Subscribe::Signature);
        assert_eq!(read(&[("private_key", PEM)]).expect("fine").subscribe, Subscribe::LogOn);
        let forced = read(&[("private_key", PEM), ("subscribe", "signature")]).expect("fine");
        assert_eq!(forced.subscribe, Subscribe::Signature);
        assert!(forced.credentials.can_log_on());
        let hmac = read(&[("private_key", PEM), ("key_type", "hmac")]).expect("fine");
        assert!(!hmac.credentials.can_log_on());
    }

    #[test]
    fn a_key_that_does_not_fit_is_named_and_never_shown() {
        for (pairs, said) in [
            (&[("subscribe", "logon")][..], "Ed25519 key alone"),
            (&[("key_type", "ed25519")], "is needed"),
            (&[("key_type", "des")], "auto, hmac"),
            (&[("key_type", "rsa"), ("private_key", PEM)], "is an Ed25519 key"),
            (&[("private_key", "secret-text")], "no PEM"),
            (
                &[(
                    "private_key",
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                )],
                "encrypted",
            ),
        ] {
            let error = read(pairs).expect_err("refused");
            assert!(error.contains(said) && !error.contains("secret-text"), "{error}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), PEM).expect("written");
        let path = file.path().to_str().expect("text");
        assert!(
            read(&[("private_key_file", path)])
                .expect("fine")
                .credentials
                .can_log_on()
        );
    }

    #[test]
    fn the_reserve_grows_with_the_symbols_and_can_be_set() {
        assert_eq!(read(&[]).expect("fine").reserve_weight, 121);
        assert_eq!(read(&[("reserve_weight", "500")]).expect("fine").reserve_weight, 500);
    }
}
