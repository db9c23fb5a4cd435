use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::SqliteConnection;
use thunes_store::StoreError;
use thunes_types::{MoneyError, StrategyId, Symbol};

use super::{corrupt, read_decimal};
use crate::domain::{Asset, Fill, FillSource, Side, SymbolBook};

#[derive(sqlx::FromRow)]
struct FillRow {
    symbol: String,
    trade_id: i64,
    base_asset: String,
    quote_asset: String,
    side: String,
    price: String,
    quantity: String,
    quote_quantity: String,
    commission: String,
    commission_asset: String,
    executed_at_ms: i64,
    venue_order_id: String,
    client_order_id: String,
    strategy_id: String,
    is_maker: i64,
    source: String,
}

impl FillRow {
    fn read(self) -> Result<Fill, StoreError> {
        let place = |column: &str| format!("fills.{column} of {} trade {}", self.symbol, self.trade_id);
        let decimal = |column: &str, text: &str| read_decimal(&place(column), text);
        let asset = |column: &str, text: &str| Asset::parse_as(column, text).map_err(|_| corrupt(&place(column), text));
        let commission_asset = match self.commission_asset.as_str() {
            "" => None,
            text => Some(asset("commission_asset", text)?),
        };
        Ok(Fill {
            symbol: Symbol::parse(&self.symbol).map_err(|_| corrupt(&place("symbol"), &self.symbol))?,
            trade_id: self.trade_id,
            base_asset: asset("base_asset", &self.base_asset)?,
            quote_asset: asset("quote_asset", &self.quote_asset)?,
            side: Side::parse(&self.side).ok_or_else(|| corrupt(&place("side"), &self.side))?,
            price: decimal("price", &self.price)?,
            quantity: decimal("quantity", &self.quantity)?,
            quote_quantity: decimal("quote_quantity", &self.quote_quantity)?,
            commission: decimal("commission", &self.commission)?,
            commission_asset,
            executed_at_ms: self.executed_at_ms,
            strategy_id: StrategyId::parse(&self.strategy_id)
                .map_err(|_| corrupt(&place("strategy_id"), &self.strategy_id))?,
            is_maker: self.is_maker != 0,
            source: FillSource::parse(&self.source).ok_or_else(|| corrupt(&place("source"), &self.source))?,
            venue_order_id: self.venue_order_id,
            client_order_id: self.client_order_id,
        })
    }
}

/// The fill of that identity.
pub(crate) async fn load_fill(
    connection: &mut SqliteConnection,
    symbol: &Symbol,
    trade_id: i64,
) -> Result<Option<Fill>, StoreError> {
    let row: Option<FillRow> = sqlx::query_as("SELECT * FROM fills WHERE symbol = ? AND trade_id = ?")
        .bind(symbol.as_str())
        .bind(trade_id)
        .fetch_optional(connection)
        .await?;
    row.map(FillRow::read).transpose()
}

/// Adds a fill to the ledger.
pub(crate) async fn insert_fill(
    connection: &mut SqliteConnection,
    fill: &Fill,
    revision: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO fills (symbol, trade_id, base_asset, quote_asset, side, price, quantity, quote_quantity, commission, \
         commission_asset, executed_at_ms, venue_order_id, client_order_id, strategy_id, is_maker, source, recorded_at_ms, \
         revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(fill.symbol.as_str())
    .bind(fill.trade_id)
    .bind(fill.base_asset.as_str())
    .bind(fill.quote_asset.as_str())
    .bind(fill.side.as_str())
    .bind(fill.price.to_string())
    .bind(fill.quantity.to_string())
    .bind(fill.quote_quantity.to_string())
    .bind(fill.commission.to_string())
    .bind(fill.commission_asset.as_ref().map_or("", Asset::as_str))
    .bind(fill.executed_at_ms)
    .bind(&fill.venue_order_id)
    .bind(&fill.client_order_id)
    .bind(fill.strategy_id.as_str())
    .bind(i64::from(fill.is_maker))
    .bind(fill.source.as_str())
    .bind(now_ms)
    .bind(revision)
    .execute(connection)
    .await?;
    Ok(())
}

/// Folds one symbol from the ledger; the inner result is the fold's own.
pub(crate) async fn fold_symbol(
    connection: &mut SqliteConnection,
    symbol: &Symbol,
) -> Result<Result<Option<SymbolBook>, MoneyError>, StoreError> {
    let mut rows =
        sqlx::query_as::<_, FillRow>("SELECT * FROM fills WHERE symbol = ? ORDER BY executed_at_ms, trade_id")
            .bind(symbol.as_str())
            .fetch(connection);
    let mut folded: Option<SymbolBook> = None;
    while let Some(row) = rows.try_next().await? {
        let fill = row.read()?;
        let next = folded
            .take()
            .map_or_else(|| SymbolBook::open(&fill), |book| book.with(&fill));
        match next {
            Ok(book) => folded = Some(book),
            Err(overflow) => return Ok(Err(overflow)),
        }
    }
    Ok(Ok(folded))
}

/// Folds every symbol from the ledger.
pub(crate) async fn fold_ledger(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<Symbol, Arc<SymbolBook>>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar("SELECT DISTINCT symbol FROM fills ORDER BY symbol")
        .fetch_all(&mut *connection)
        .await?;
    let mut books = BTreeMap::new();
    for name in names {
        let symbol = Symbol::parse(&name).map_err(|_| corrupt("fills.symbol", &name))?;
        let folded = fold_symbol(connection, &symbol).await?;
        // It fitted when it was recorded, so a value has changed since.
        let folded = folded.map_err(|overflow| StoreError::Corrupt(format!("the fills of {symbol}: {overflow}")))?;
        books.extend(folded.map(|book| (symbol, Arc::new(book))));
    }
    Ok(books)
}

/// Where a page begins: after this fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageStart {
    pub(crate) executed_at_ms: i64,
    pub(crate) symbol: String,
    pub(crate) trade_id: i64,
}

/// At most `limit` fills, oldest first, of one symbol or of all.
pub(crate) async fn page_of_fills(
    connection: &mut SqliteConnection,
    symbol: Option<&Symbol>,
    after: &PageStart,
    limit: i64,
) -> Result<Vec<Fill>, StoreError> {
    let rows: Vec<FillRow> = match symbol {
        Some(symbol) => {
            sqlx::query_as(
                "SELECT * FROM fills WHERE symbol = ? AND (executed_at_ms, trade_id) > (?, ?) \
                 ORDER BY executed_at_ms, trade_id LIMIT ?",
            )
            .bind(symbol.as_str())
            .bind(after.executed_at_ms)
            .bind(after.trade_id)
            .bind(limit)
            .fetch_all(connection)
            .await?
        }
        None => {
            sqlx::query_as(
                "SELECT * FROM fills WHERE (executed_at_ms, symbol, trade_id) > (?, ?, ?) \
                 ORDER BY executed_at_ms, symbol, trade_id LIMIT ?",
            )
            .bind(after.executed_at_ms)
            .bind(&after.symbol)
            .bind(after.trade_id)
            .bind(limit)
            .fetch_all(connection)
            .await?
        }
    };
    rows.into_iter().map(FillRow::read).collect()
}
