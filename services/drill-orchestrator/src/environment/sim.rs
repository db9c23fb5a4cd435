use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::domain::{LedgerBalance, LedgerFill, LedgerOrder, SimLedger};
use crate::engine::ExternalTrade;
use crate::error::ActionError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The simulated exchange's own record, and its way to trade for the account past every gateway.
#[derive(Debug)]
pub struct SimAdmin {
    admin_url: String,
    http: reqwest::Client,
    symbols: OnceCell<BTreeMap<String, SymbolRules>>,
}

/// What the drill must know of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolRules {
    pub base_asset: String,
    /// Quantities are multiples of it.
    pub step: Decimal,
}

#[derive(Deserialize)]
struct ExchangeInfo {
    symbols: Vec<SymbolInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SymbolInfo {
    symbol: String,
    base_asset: String,
    filters: Vec<FilterWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterWire {
    filter_type: String,
    step_size: Option<Decimal>,
}

#[derive(Deserialize)]
struct LedgerWire {
    orders: Vec<OrderWire>,
    fills: Vec<FillWire>,
    balances: BTreeMap<String, BTreeMap<String, BalanceWire>>,
}

#[derive(Deserialize)]
struct OrderWire {
    client_order_id: String,
    symbol: String,
    side: String,
    status: String,
    accepted_at_ms: i64,
}

#[derive(Deserialize)]
struct FillWire {
    symbol: String,
    trade_id: i64,
    client_order_id: String,
    side: String,
    qty: Decimal,
    commission: Decimal,
    commission_asset: String,
    time_ms: i64,
}

#[derive(Deserialize)]
struct BalanceWire {
    free: Decimal,
    locked: Decimal,
}

#[derive(Deserialize)]
struct ExternalWire {
    fills: Vec<FillWire>,
}

impl SimAdmin {
    pub fn new(admin_url: &str) -> Self {
        Self {
            admin_url: admin_url.to_owned(),
            http: local_http_client(TIMEOUT),
            symbols: OnceCell::new(),
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: String) -> Result<T, ActionError> {
        let failed = |error: reqwest::Error| ActionError::Sim(format!("GET {url}: {error}"));
        let answer = self
            .http
            .get(&url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        answer.json().await.map_err(failed)
    }

    /// What the exchange says of its symbols; asked once.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn symbols(&self) -> Result<&BTreeMap<String, SymbolRules>, ActionError> {
        let rules = |info: SymbolInfo| {
            let lot = info.filters.iter().find(|filter| filter.filter_type == "LOT_SIZE");
            let step = lot.and_then(|filter| filter.step_size).unwrap_or_default();
            (
                info.symbol,
                SymbolRules {
                    base_asset: info.base_asset,
                    step,
                },
            )
        };
        let ask = async || {
            let info: ExchangeInfo = self.get(format!("{}/admin/exchange-info", self.admin_url)).await?;
            Ok(info.symbols.into_iter().map(rules).collect())
        };
        self.symbols.get_or_try_init(ask).await
    }

    /// Every accepted order, every fill and every balance, as the exchange has them now.
    ///
    /// # Errors
    /// When the exchange does not answer, or with something that is no ledger.
    pub async fn ledger(&self) -> Result<SimLedger, ActionError> {
        let wire: LedgerWire = self.get(format!("{}/admin/ledger", self.admin_url)).await?;
        let symbols = self.symbols().await?;
        let order = |order: OrderWire| LedgerOrder {
            client_order_id: order.client_order_id,
            symbol: order.symbol,
            side: order.side,
            status: order.status,
            accepted_at_ms: order.accepted_at_ms,
        };
        let mut ledger = SimLedger {
            orders: wire.orders.into_iter().map(order).collect(),
            ..SimLedger::default()
        };
        for fill in wire.fills {
            let base_asset = symbols.get(&fill.symbol).map(|rules| rules.base_asset.clone());
            let base_asset = base_asset.ok_or_else(|| ActionError::Sim(format!("no base asset of {}", fill.symbol)))?;
            ledger.fills.push(LedgerFill {
                symbol: fill.symbol,
                trade_id: fill.trade_id,
                client_order_id: fill.client_order_id,
                base_asset,
                side: fill.side,
                quantity: fill.qty,
                commission: fill.commission,
                commission_asset: fill.commission_asset,
                executed_at_ms: fill.time_ms,
            });
        }
        let [balances] = <[_; 1]>::try_from(wire.balances.into_values().collect::<Vec<_>>())
            .map_err(|all| ActionError::Sim(format!("one account was expected, there are {}", all.len())))?;
        let balance = |(asset, b): (String, BalanceWire)| LedgerBalance {
            asset,
            free: b.free,
            locked: b.locked,
        };
        ledger.balances = balances.into_iter().map(balance).collect();
        Ok(ledger)
    }

    /// Trades for the account at the exchange, as somebody with its password would in a browser.
    ///
    /// # Errors
    /// When the exchange refuses or does not answer.
    pub async fn external_trade(
        &self,
        symbol: &str,
        side: &str,
        quantity: &str,
    ) -> Result<Vec<ExternalTrade>, ActionError> {
        let url = format!("{}/admin/external-trade", self.admin_url);
        let body = serde_json::json!({ "symbol": symbol, "side": side, "quantity": quantity });
        let failed = |error: reqwest::Error| ActionError::Sim(format!("POST {url}: {error}"));
        let answer = self.http.post(&url).json(&body).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            return Err(ActionError::Sim(format!("POST {url}: {status} {text}")));
        }
        let wire: ExternalWire = answer.json().await.map_err(failed)?;
        Ok(wire
            .fills
            .into_iter()
            .map(|fill| ExternalTrade {
                symbol: fill.symbol,
                trade_id: fill.trade_id,
            })
            .collect())
    }

    /// What the Telegram stand-in at `url` was sent.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn standin_messages(&self, url: &str) -> Result<Vec<serde_json::Value>, ActionError> {
        self.get(format!("{url}/standin/messages")).await
    }

    /// How many orders the present slowness has held on their way to the matching.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn slowed_orders(&self) -> Result<u64, ActionError> {
        let faults: serde_json::Value = self.get(format!("{}/admin/faults", self.admin_url)).await?;
        let slow = faults["active"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|fault| fault["kind"] == "latency")
            .filter_map(|fault| fault["hits"].as_u64());
        Ok(slow.sum())
    }

    /// Slows every order down between its arrival and the matching, as the distance to a real exchange does; 0 ends it.
    ///
    /// # Errors
    /// When the exchange refuses or does not answer.
    pub async fn slow_orders(&self, ms: i64) -> Result<(), ActionError> {
        let url = format!("{}/admin/faults", self.admin_url);
        let request = if ms > 0 {
            self.http
                .post(&url)
                .json(&serde_json::json!({ "kind": "latency", "count": 0, "ms": ms }))
        } else {
            self.http.delete(format!("{url}?kind=latency"))
        };
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer
            .map(drop)
            .map_err(|error| ActionError::Sim(format!("{url}: {error}")))
    }
}

/// A client for what stands beside this process: no proxy of the machine and no root certificates are to be asked for.
pub(super) fn local_http_client(timeout: Duration) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(timeout)
        .tls_backend_preconfigured(tls)
        .build();
    http.expect("a client without proxies and files cannot fail to build")
}
