use std::sync::Arc;

use thunes_proto::position::v1::position_service_server::PositionServiceServer;
use thunes_rpc::MESSAGE_BYTES_MAX;
use thunes_runtime::clock;
use thunes_store::{Outbox, OutboxEvent, StoreError, run_outbox};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::domain::{Book, DayTotals, Fees, SymbolBook, TradingDay};
use crate::grpc::Grpc;
use crate::keeper::Keeper;
use crate::live::Live;
use crate::store::{self, Store};
use crate::{PositionConfig, PositionError, metrics, tasks};

/// The name of this service, as audit's lines show it.
pub const SERVICE: &str = "position";
/// Most days that the message of a mismatch names.
const DAYS_SHOWN_MAX: usize = 3;
const GRPC_SERVICES: &[&str] = &["thunes.position.v1.PositionService"];

/// Serves the book on `listener` until `shutdown`.
///
/// # Errors
/// When the database cannot be used or its book is not the fold of its fills, or when the server fails.
pub async fn serve(
    config: PositionConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), PositionError> {
    let path = config.database_path();
    let failed = |source: StoreError| PositionError::Database {
        path: path.clone(),
        source,
    };
    let audit = thunes_rpc::connect(&config.audit_url)?;
    let store = Store::open(path.clone()).await.map_err(failed)?;
    let book = verified_book(&store).await?;
    let outbox = Outbox::new(store.database.clone(), SERVICE);
    announce(&store, &outbox, &book).await.map_err(failed)?;
    let pool = store.database.pool.clone();
    let live = Live::new(book, TradingDay::of(clock::now_ms()), config.pnl_asset).map_err(|source| {
        PositionError::Valuation {
            path: path.clone(),
            source,
        }
    })?;
    let live = Arc::new(live);
    metrics::show_metrics(&live);
    let delivering = tokio::spawn(run_outbox(outbox.clone(), audit, shutdown.clone()));
    let publishing = tokio::spawn(tasks::publish_prices(Arc::clone(&live), shutdown.clone()));
    let keeper = Arc::new(Keeper::new(store, outbox, live));
    let grpc = Grpc {
        keeper,
        shutdown: shutdown.clone(),
    };
    let server = PositionServiceServer::new(grpc).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let served = thunes_rpc::serve(listener, GRPC_SERVICES, Routes::new(server), shutdown.clone()).await;
    // The server may have failed by itself; the loops end with it.
    shutdown.cancel();
    let _ = tokio::join!(delivering, publishing);
    pool.close().await;
    Ok(served?)
}

/// Reads the stored book and folds the ledger; the two must be the same.
async fn verified_book(store: &Store) -> Result<Book, PositionError> {
    let failed = |source: StoreError| PositionError::Database {
        path: store.path.clone(),
        source,
    };
    let mut tx = store.begin_read().await.map_err(failed)?;
    let stored = store::load_book(&mut tx).await.map_err(failed)?;
    let symbols = store::fold_ledger(&mut tx).await.map_err(failed)?;
    let folded = Book {
        revision: stored.revision,
        symbols,
    };
    match stored.first_difference(&folded) {
        None => Ok(stored),
        Some((symbol, ours, theirs)) => Err(PositionError::BookMismatch {
            path: store.path.clone(),
            symbol: symbol.to_string(),
            stored: shown(ours.map(Arc::as_ref), theirs.map(Arc::as_ref)),
            folded: shown(theirs.map(Arc::as_ref), ours.map(Arc::as_ref)),
        }),
    }
}

/// One symbol's book in words, with those of its days that `other` does not have so.
fn shown(book: Option<&SymbolBook>, other: Option<&SymbolBook>) -> String {
    let Some(book) = book else { return "empty".to_owned() };
    let differs = |day: &TradingDay, totals: &DayTotals| other.and_then(|other| other.days.get(day)) != Some(totals);
    let days = book
        .days
        .iter()
        .filter(|(day, totals)| differs(day, totals))
        .take(DAYS_SHOWN_MAX);
    let days: Vec<_> = days
        .map(|(day, totals)| {
            let day = clock::utc_day(day.start_ms());
            format!(
                "; on {day} realised {}, fees {}",
                totals.realized,
                shown_fees(&totals.fees)
            )
        })
        .collect();
    format!(
        "{} {} at a cost of {} {}, opened at {} ms, realised {}, fees {}, {} fills, the last at {} ms with id {}{}",
        book.holding.quantity.normalize(),
        book.base_asset,
        book.holding.cost.normalize(),
        book.quote_asset,
        book.opened_at_ms,
        book.realized.normalize(),
        shown_fees(&book.fees),
        book.fill_count,
        book.last.executed_at_ms,
        book.last.trade_id,
        days.concat(),
    )
}

fn shown_fees(fees: &Fees) -> String {
    if fees.0.is_empty() {
        return "none".to_owned();
    }
    fees.0
        .iter()
        .map(|(asset, sum)| format!("{} {asset}", sum.normalize()))
        .collect::<Vec<_>>()
        .join(" + ")
}

async fn announce(store: &Store, outbox: &Outbox, book: &Book) -> Result<(), StoreError> {
    let payload = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": book.revision,
        "open_positions": book.open_count(),
    });
    let mut tx = store.begin().await?;
    outbox
        .add(&mut tx, &OutboxEvent::now("SERVICE_STARTED", "", SERVICE, payload))
        .await?;
    Ok(tx.commit().await?)
}
