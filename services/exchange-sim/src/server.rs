//! Puts the parts together and serves until told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::api::{Api, Keys, LimitRules, Limits, Refusals};
use crate::config::{SimConfig, SymbolConfig};
use crate::domain::{
    CommissionRules, Exchange, LiquidityRules, Market, PriceSource, SymbolRules, WalkRules, parse_klines_csv,
};
use crate::engine;
use crate::error::SimError;
use crate::faults::Faults;
use crate::http::{CuttableListener, Peer, rest};
use crate::ledger::Ledger;
use crate::market_streams;
use crate::ws_api::{Streams, upgrade};

/// Bytes a kline file may have.
const MAX_KLINES_BYTES: u64 = 64 * 1024 * 1024;
/// Faults that strike open streams and that a connection may not yet have read.
const NOTICES: usize = 64;

/// Serves the exchange on two bound listeners until `shutdown` is cancelled.
///
/// # Errors
/// A configuration that breaks rules, a data folder or ledger that cannot be used, a listener that fails, and a ledger
/// that can no longer be written (the exchange stops then: it must not go on with what it could not keep).
pub async fn serve(
    config: SimConfig,
    rest_listener: TcpListener,
    admin_listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), SimError> {
    config.validate().map_err(SimError::Config)?;
    let keys = Keys::new(&config.accounts).map_err(|fault| SimError::Config(vec![fault]))?;
    let mut exchange = build_exchange(&config)?;
    let (ledger, kept) = Ledger::open(&config.data_dir).await?;
    exchange.restore(
        kept.orders,
        kept.fills,
        kept.transfers,
        kept.balances,
        &kept.markets,
        kept.next_ids,
    );
    exchange.external_locks = kept.external_locks;

    let faults = Arc::new(Faults::default());
    let (engine, task) = engine::build(exchange, ledger, faults.clone(), config.price_tick_ms);
    let limits = Limits::new(LimitRules {
        weight_per_minute: config.request_weight_per_minute,
        orders_per_10s: config.orders_per_10s,
        orders_per_day: config.orders_per_day,
    });
    let api = Arc::new(Api {
        engine,
        faults,
        keys,
        limits,
        refusals: Refusals::default(),
    });
    let stop = shutdown.child_token();
    let streams = Arc::new(Streams {
        api: api.clone(),
        cut: watch::Sender::new(0),
        notices: broadcast::Sender::new(NOTICES),
        open: AtomicUsize::new(0),
        ping_every: Duration::from_millis(config.ws_ping_ms),
        shutdown: stop.clone(),
    });
    let public = public_router(streams.clone(), api);
    let admin = admin::router(streams);

    tracing::info!(
        rest = ?rest_listener.local_addr().ok(),
        admin = ?admin_listener.local_addr().ok(),
        data_dir = %config.data_dir.display(),
        "exchange-sim is serving"
    );
    let rest_server = axum::serve(
        CuttableListener(rest_listener),
        public.into_make_service_with_connect_info::<Peer>(),
    )
    .with_graceful_shutdown(stop.clone().cancelled_owned());
    let admin_server = axum::serve(admin_listener, admin).with_graceful_shutdown(stop.clone().cancelled_owned());

    // The engine ends last on a shutdown, so that what was accepted is still answered; if it fails, all ends with it.
    let engine_stop = CancellationToken::new();
    let engine_task = tokio::spawn(task.run(engine_stop.clone()));
    let servers = async {
        let (rest, admin) = tokio::join!(rest_server, admin_server);
        rest.map_err(|source| SimError::Listener { what: "REST", source })?;
        admin.map_err(|source| SimError::Listener { what: "admin", source })
    };
    run_both(servers, engine_task, engine_stop, stop).await
}

fn public_router(streams: Arc<Streams>, api: Arc<Api>) -> Router {
    Router::new()
        .route("/ws-api/v3", get(upgrade))
        .route("/ws", get(market_streams::upgrade_bare))
        .route("/ws/{*names}", get(market_streams::upgrade_raw))
        .route("/stream", get(market_streams::upgrade_combined))
        .with_state(streams)
        .fallback(rest)
        .with_state(api)
}

/// Waiting requests get this long after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(2);

async fn run_both(
    servers: impl Future<Output = Result<(), SimError>>,
    mut engine_task: tokio::task::JoinHandle<Result<(), SimError>>,
    engine_stop: CancellationToken,
    stop: CancellationToken,
) -> Result<(), SimError> {
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = servers => Some(served),
        () = drained => Some(Ok(())),
        ended = &mut engine_task => return flatten(ended),
    };
    engine_stop.cancel();
    let ended = flatten(engine_task.await);
    served.unwrap_or(Ok(())).and(ended)
}

fn flatten(ended: Result<Result<(), SimError>, tokio::task::JoinError>) -> Result<(), SimError> {
    match ended {
        Ok(result) => result,
        // A broken invariant: going on would make the ledger worthless as a truth.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

fn build_exchange(config: &SimConfig) -> Result<Exchange, SimError> {
    let replay = match &config.klines_csv {
        None => None,
        Some(path) => {
            let fail = |reason: String| SimError::Klines {
                path: path.clone(),
                reason,
            };
            let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
            if size > MAX_KLINES_BYTES {
                return Err(fail(format!("{size} bytes; at most {MAX_KLINES_BYTES} are read")));
            }
            let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
            Some(parse_klines_csv(&text).map_err(fail)?)
        }
    };
    let mut markets = BTreeMap::new();
    for symbol in &config.symbols {
        let prices = replay.as_ref().filter(|_| symbol.symbol == config.klines_symbol);
        if let (Some(prices), Some(path)) = (prices, &config.klines_csv)
            && let Some(bad) = prices.iter().find(|price| !(**price % symbol.tick_size).is_zero())
        {
            let reason = format!("price {bad} is no multiple of the tick size {}", symbol.tick_size);
            return Err(SimError::Klines {
                path: path.clone(),
                reason,
            });
        }
        markets.insert(symbol.symbol.clone(), build_market(symbol, prices.cloned()));
    }
    let commission = CommissionRules {
        bps: config.commission_bps,
        paid_in: config.commission_in,
    };
    Ok(Exchange::new(config.seed, commission, markets, grants(config)))
}

fn build_market(symbol: &SymbolConfig, replay: Option<Vec<Decimal>>) -> Market {
    let rules = SymbolRules {
        symbol: symbol.symbol.clone(),
        base: symbol.base.clone(),
        quote: symbol.quote.clone(),
        min_price: symbol.tick_size,
        max_price: (symbol.start_price * Decimal::from(1_000)).normalize(),
        tick_size: symbol.tick_size,
        min_qty: symbol.step_size,
        max_qty: symbol.max_qty,
        step_size: symbol.step_size,
        market_max_qty: symbol.market_max_qty.unwrap_or(symbol.max_qty),
        min_notional: symbol.min_notional,
        max_notional: Decimal::from(9_000_000),
        max_num_orders: symbol.max_num_orders,
        max_position: symbol.max_position,
        percent_up: Decimal::from(5),
        percent_down: Decimal::new(2, 1),
    };
    let liquidity = LiquidityRules {
        level_qty: symbol.level_qty,
        half_spread_bps: symbol.half_spread_bps,
        tick_size: symbol.tick_size,
        step_size: symbol.step_size,
    };
    let walk = WalkRules {
        start_price: symbol.start_price,
        volatility_bps: symbol.volatility_bps,
    };
    Market::new(
        rules,
        liquidity,
        replay.map_or(PriceSource::Walk(walk), PriceSource::Replay),
    )
}

/// Each account holds every asset that can be traded, most of them at zero.
fn grants(config: &SimConfig) -> BTreeMap<String, BTreeMap<String, Decimal>> {
    let traded: BTreeSet<&String> = config.symbols.iter().flat_map(|s| [&s.base, &s.quote]).collect();
    let grant = |balances: &BTreeMap<String, Decimal>| {
        let mut all: BTreeMap<String, Decimal> = traded.iter().map(|asset| ((*asset).clone(), Decimal::ZERO)).collect();
        all.extend(balances.iter().map(|(asset, amount)| (asset.clone(), *amount)));
        all
    };
    config
        .accounts
        .iter()
        .map(|account| (account.name.clone(), grant(&account.balances)))
        .collect()
}
