use std::path::{Path, PathBuf};

use thunes_position::{PositionConfig, PositionError, serve};
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::position::v1::*;
use thunes_proto::types::v1::{Fill, FillSource, Side};
use thunes_runtime::Settings;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// 2025-11-24, noon UTC.
pub const NOON_MS: i64 = 1_763_985_600_000;
pub const DAY_MS: i64 = 86_400_000;

pub fn config(data_dir: &Path) -> PositionConfig {
    // Nobody listens at the audit address: what is not delivered stays in the outbox, where tests read it.
    let settings = Settings::default()
        .with("position.data_dir", data_dir.display().to_string())
        .with("position.audit_url", "http://127.0.0.1:1");
    PositionConfig::read(&settings).expect("settings").0
}

/// A service that runs in this process, on a port of its own.
pub struct Running {
    pub client: PositionServiceClient<Channel>,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), PositionError>>,
}

impl Running {
    pub async fn start(data_dir: &Path) -> Self {
        let listening = thunes_rpc::bind("position", "127.0.0.1:0".parse().expect("an address"), false)
            .await
            .expect("a port");
        let url = format!("http://{}", listening.address);
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(config(data_dir), listening.listener, shutdown.clone()));
        // The listener queues the connection until the service accepts.
        let client = PositionServiceClient::connect(url).await.expect("connects");
        Self {
            client,
            shutdown,
            served,
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.served.await.expect("no panic").expect("an orderly end");
    }

    pub async fn record(&mut self, fills: &[Fill]) -> Result<RecordFillsResponse, tonic::Status> {
        self.client
            .record_fills(RecordFillsRequest {
                fills: fills.to_vec(),
                ..Default::default()
            })
            .await
            .map(tonic::Response::into_inner)
    }

    pub async fn all_positions(&mut self) -> ListOpenPositionsResponse {
        let request = ListOpenPositionsRequest { include_closed: true };
        self.client
            .list_open_positions(request)
            .await
            .expect("lists")
            .into_inner()
    }

    pub async fn daily(&mut self, day: &str) -> DailyPnl {
        let request = GetDailyPnlRequest { day: day.to_owned() };
        self.client
            .get_daily_pnl(request)
            .await
            .expect("answers")
            .into_inner()
            .daily_pnl
            .expect("present")
    }

    pub async fn price(&mut self, symbol: &str, price: &str, at_ms: i64) -> Result<(), tonic::Status> {
        let prices = vec![Price {
            symbol: symbol.into(),
            price: price.into(),
            at_ms,
        }];
        self.client
            .record_prices(RecordPricesRequest { prices })
            .await
            .map(|_| ())
    }
}

/// A fill of BTCUSDT without a fee.
pub fn fill(trade_id: i64, side: Side, quantity: &str, price: &str, quote_quantity: &str) -> Fill {
    Fill {
        symbol: "BTCUSDT".into(),
        trade_id,
        base_asset: "BTC".into(),
        quote_asset: "USDT".into(),
        side: side.into(),
        price: price.into(),
        quantity: quantity.into(),
        quote_quantity: quote_quantity.into(),
        commission: "0".into(),
        commission_asset: String::new(),
        executed_at_ms: NOON_MS + trade_id,
        venue_order_id: format!("{}", 1000 + trade_id),
        client_order_id: format!("own-{trade_id}"),
        strategy_id: "test".into(),
        is_maker: false,
        source: FillSource::Stream.into(),
    }
}

pub fn with_fee(mut fill: Fill, commission: &str, asset: &str) -> Fill {
    fill.commission = commission.into();
    fill.commission_asset = asset.into();
    fill
}

pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("position.db")
}

pub async fn pool(data_dir: &Path) -> sqlx::SqlitePool {
    sqlx::SqlitePool::connect(&format!("sqlite://{}", database(data_dir).display()))
        .await
        .expect("opens")
}

/// The events that wait in the outbox: type and payload.
pub async fn events(data_dir: &Path) -> Vec<(String, serde_json::Value)> {
    let pool = pool(data_dir).await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT event FROM outbox ORDER BY seq")
        .fetch_all(&pool)
        .await
        .expect("reads");
    pool.close().await;
    let read = |text: &String| {
        let event: serde_json::Value = serde_json::from_str(text).expect("json");
        (
            event["event_type"].as_str().expect("a type").to_owned(),
            event["payload"].clone(),
        )
    };
    rows.iter().map(read).collect()
}

pub async fn count_events(data_dir: &Path, event_type: &str) -> usize {
    events(data_dir)
        .await
        .iter()
        .filter(|(name, _)| name == event_type)
        .count()
}
