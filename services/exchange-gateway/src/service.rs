use std::sync::Arc;

use thunes_binance::{BinanceClient, ClientConfig};
use thunes_proto::gateway::v1::gateway_service_server::GatewayServiceServer;
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_rpc::{MESSAGE_BYTES_MAX, connect};
use thunes_store::{Outbox, StoreError, run_outbox};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::config::GatewayConfig;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::fill_delivery::deliver_fills;
use crate::grpc::GatewayGrpc;
use crate::lease_client::{FACT_HALTED_EPOCH, hold_lease};
use crate::market::{follow_clock, follow_prices};
use crate::metrics::{Figures, show_metrics};
use crate::reconciling::{Reconciling, reconcile_in_background};
use crate::resolve::run_resolver;
use crate::start::get_ready;
use crate::stopping::run_stops;
use crate::store;
use crate::user_stream::follow_stream;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Runs the exchange-gateway until `shutdown`.
///
/// # Errors
/// When its database cannot be used or the server fails. An exchange that is away is no error: opening is refused.
pub async fn serve(
    config: GatewayConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let database = thunes_store::open(&config.data_dir.join("gateway.db"), &MIGRATIONS).await?;
    let halted = store::fact(&database.pool, FACT_HALTED_EPOCH).await?;
    let unreadable = |text: &str| StoreError::Corrupt(format!("{FACT_HALTED_EPOCH}: {text:?}"));
    let highest_halted_epoch = halted.map_or(Ok(0), |text| text.parse().map_err(|_| unreadable(&text)))?;
    let outbox = Outbox::new(database.clone(), "exchange-gateway");
    let mut client = ClientConfig::new(config.base_url.clone());
    client.order_timeout_ms = u64::try_from(config.order_timeout_ms).unwrap_or(5000);
    client.reserve_weight = config.reserve_weight;
    let exchange = BinanceClient::new(client, config.credentials.clone())?;
    let risk = RiskServiceClient::new(connect(&config.risk_url)?);
    // The ledger's pages are larger than the usual answer.
    let position =
        PositionServiceClient::new(connect(&config.position_url)?).max_decoding_message_size(16 * MESSAGE_BYTES_MAX);
    let audit = connect(&config.audit_url)?;
    let figures = Figures::load(&database).await?;
    let reconciling = Reconciling::load(&database).await?;
    let engine = Engine::new(
        config,
        database,
        outbox.clone(),
        figures,
        exchange,
        risk,
        position,
        highest_halted_epoch,
        reconciling,
    );
    // Before the first word to risk: what it hears must be the whole list.
    for order in store::live_orders(&engine.database.pool).await? {
        engine.keep_live(&order);
    }
    tracing::info!(environment = engine.config.environment.as_str(), exchange = %engine.config.base_url, "exchange-gateway starts");

    show_metrics(&engine);
    tokio::spawn(run_outbox(outbox, audit, shutdown.clone()));
    tokio::spawn(get_ready(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(follow_clock(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(follow_prices(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(follow_stream(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(hold_lease(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(deliver_fills(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(run_resolver(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(reconcile_in_background(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(run_stops(Arc::clone(&engine), shutdown.clone()));

    let grpc = GatewayServiceServer::new(GatewayGrpc { engine }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    thunes_rpc::serve(
        listener,
        &["thunes.gateway.v1.GatewayService"],
        Routes::new(grpc),
        shutdown,
    )
    .await?;
    Ok(())
}
