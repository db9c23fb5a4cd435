use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::SoakError;
use crate::oracle::{ExchangeOrder, Execution};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The simulated exchange's admin interface: its ledger, its faults, its prices.
#[derive(Debug, Clone)]
pub struct SimAdmin {
    admin_url: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct LedgerWire {
    orders: Vec<OrderWire>,
    fills: Vec<FillWire>,
}

#[derive(Deserialize)]
struct OrderWire {
    order_id: i64,
    client_order_id: String,
    side: String,
    status: String,
    executed_qty: Decimal,
    accepted_at_ms: i64,
    external: bool,
}

#[derive(Deserialize)]
struct FillWire {
    symbol: String,
    trade_id: i64,
    client_order_id: String,
    side: String,
    price: Decimal,
    qty: Decimal,
    commission: Decimal,
    commission_asset: String,
}

#[derive(Deserialize)]
struct HealthWire {
    prices: BTreeMap<String, Decimal>,
}

impl SimAdmin {
    pub fn new(admin_url: &str) -> Self {
        Self {
            admin_url: admin_url.to_owned(),
            http: local_http_client(),
        }
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<String, SoakError> {
        let url = format!("{}{path}", self.admin_url);
        let failed = |error: reqwest::Error| SoakError::Sim(format!("{url}: {error}"));
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(SoakError::Sim(format!("{url}: {status} {text}")))
        }
    }

    /// What the exchange accepted and executed, without what somebody else did on the account.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ledger(&self) -> Result<(Vec<ExchangeOrder>, Vec<Execution>), SoakError> {
        let text = self.call(reqwest::Method::GET, "/admin/ledger", None).await?;
        let ledger: LedgerWire =
            serde_json::from_str(&text).map_err(|error| SoakError::Sim(format!("the ledger: {error}")))?;
        let ours = ledger.orders.into_iter().filter(|order| !order.external);
        let orders = ours.map(|order| ExchangeOrder {
            client_order_id: order.client_order_id,
            order_id: order.order_id,
            opens: order.side == "BUY",
            status: order.status,
            executed: order.executed_qty.normalize(),
            accepted_at_ms: order.accepted_at_ms,
        });
        let fills = ledger.fills.into_iter().map(|fill| Execution {
            symbol: fill.symbol,
            trade_id: fill.trade_id,
            client_order_id: fill.client_order_id,
            buys: fill.side == "BUY",
            price: fill.price.normalize(),
            quantity: fill.qty.normalize(),
            commission: fill.commission.normalize(),
            commission_asset: fill.commission_asset,
        });
        Ok((orders.collect(), fills.collect()))
    }

    /// The last prices.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn prices(&self) -> Result<BTreeMap<String, Decimal>, SoakError> {
        let text = self.call(reqwest::Method::GET, "/admin/health", None).await?;
        let health: HealthWire =
            serde_json::from_str(&text).map_err(|error| SoakError::Sim(format!("its health: {error}")))?;
        Ok(health.prices)
    }

    /// Orders a fault.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn fault(&self, spec: &Value) -> Result<(), SoakError> {
        self.call(reqwest::Method::POST, "/admin/faults", Some(spec)).await?;
        Ok(())
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn clear_faults(&self) -> Result<(), SoakError> {
        self.call(reqwest::Method::DELETE, "/admin/faults", None).await?;
        Ok(())
    }

    /// Somebody else buys on the account.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn external_buy(&self, symbol: &str, quantity: &str) -> Result<(), SoakError> {
        let trade = json!({ "symbol": symbol, "side": "BUY", "quantity": quantity });
        self.call(reqwest::Method::POST, "/admin/external-trade", Some(&trade))
            .await?;
        Ok(())
    }
}

/// For loopback and plain HTTP only: no proxy of the machine and no root certificates are to be asked for.
fn local_http_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .tls_backend_preconfigured(tls)
        .build();
    http.expect("a client without proxies and files cannot fail to build")
}
