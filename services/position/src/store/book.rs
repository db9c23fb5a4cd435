use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::SqliteConnection;
use thunes_store::StoreError;
use thunes_types::{Decimal, Symbol};

use super::{corrupt, read_decimal, revision};
use crate::domain::{Asset, Book, DayTotals, Fees, FillOrder, Holding, SymbolBook, TradingDay};

#[derive(sqlx::FromRow)]
struct BookRow {
    symbol: String,
    base_asset: String,
    quote_asset: String,
    quantity: String,
    cost: String,
    realized_pnl: String,
    fill_count: i64,
    opened_at_ms: i64,
    updated_at_ms: i64,
    last_executed_at_ms: i64,
    last_trade_id: i64,
}

impl BookRow {
    fn read(self, days: BTreeMap<TradingDay, DayTotals>) -> Result<(Symbol, SymbolBook), StoreError> {
        let place = |column: &str| format!("book.{column} of {}", self.symbol);
        let decimal = |column: &str, text: &str| read_decimal(&place(column), text);
        let asset = |column: &str, text: &str| Asset::parse_as(column, text).map_err(|_| corrupt(&place(column), text));
        let mut fees = Fees::default();
        for day in days.values() {
            fees.add_all(&day.fees)
                .map_err(|e| StoreError::Corrupt(format!("book_fees of {}: {e}", self.symbol)))?;
        }
        let book = SymbolBook {
            base_asset: asset("base_asset", &self.base_asset)?,
            quote_asset: asset("quote_asset", &self.quote_asset)?,
            holding: Holding {
                quantity: decimal("quantity", &self.quantity)?,
                cost: decimal("cost", &self.cost)?,
            },
            realized: decimal("realized_pnl", &self.realized_pnl)?,
            fees,
            days,
            fill_count: self.fill_count,
            opened_at_ms: self.opened_at_ms,
            updated_at_ms: self.updated_at_ms,
            last: FillOrder {
                executed_at_ms: self.last_executed_at_ms,
                trade_id: self.last_trade_id,
            },
        };
        Ok((
            Symbol::parse(&self.symbol).map_err(|_| corrupt(&place("symbol"), &self.symbol))?,
            book,
        ))
    }
}

type Days = BTreeMap<String, BTreeMap<TradingDay, DayTotals>>;

async fn load_days(connection: &mut SqliteConnection) -> Result<Days, StoreError> {
    let mut days = Days::new();
    let rows: Vec<(String, i64, String)> = sqlx::query_as("SELECT symbol, day, realized_pnl FROM book_days")
        .fetch_all(&mut *connection)
        .await?;
    for (symbol, day, text) in rows {
        let realized = read_decimal(&format!("book_days.realized_pnl of {symbol}"), &text)?;
        days.entry(symbol)
            .or_default()
            .entry(TradingDay(day))
            .or_default()
            .realized = realized;
    }
    let rows: Vec<(String, i64, String, String)> = sqlx::query_as("SELECT symbol, day, asset, amount FROM book_fees")
        .fetch_all(&mut *connection)
        .await?;
    for (symbol, day, name, text) in rows {
        let place = format!("book_fees of {symbol}");
        let asset = Asset::parse_as("asset", &name).map_err(|_| corrupt(&place, &name))?;
        let amount = read_decimal(&place, &text)?;
        days.entry(symbol)
            .or_default()
            .entry(TradingDay(day))
            .or_default()
            .fees
            .0
            .insert(asset, amount);
    }
    Ok(days)
}

/// The book as it is stored.
pub(crate) async fn load_book(connection: &mut SqliteConnection) -> Result<Book, StoreError> {
    let mut days = load_days(connection).await?;
    let rows: Vec<BookRow> = sqlx::query_as("SELECT * FROM book").fetch_all(&mut *connection).await?;
    let mut book = Book {
        revision: revision(connection).await?,
        symbols: BTreeMap::new(),
    };
    for row in rows {
        let own_days = days.remove(&row.symbol).unwrap_or_default();
        let (symbol, folded) = row.read(own_days)?;
        book.symbols.insert(symbol, Arc::new(folded));
    }
    // Days of a symbol that the book does not hold were left by nobody.
    match days.keys().next() {
        Some(symbol) => Err(StoreError::Corrupt(format!(
            "book_days and book_fees know {symbol}, but book does not"
        ))),
        None => Ok(book),
    }
}

fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

/// Puts `new` in the place of `old`. Days never vanish: a ledger only grows.
pub(crate) async fn save_symbol(
    connection: &mut SqliteConnection,
    symbol: &Symbol,
    old: Option<&SymbolBook>,
    new: &SymbolBook,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO book (symbol, base_asset, quote_asset, quantity, cost, realized_pnl, fill_count, opened_at_ms, \
         updated_at_ms, last_executed_at_ms, last_trade_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (symbol) DO UPDATE SET quantity = excluded.quantity, cost = excluded.cost, \
         realized_pnl = excluded.realized_pnl, fill_count = excluded.fill_count, opened_at_ms = excluded.opened_at_ms, \
         updated_at_ms = excluded.updated_at_ms, last_executed_at_ms = excluded.last_executed_at_ms, \
         last_trade_id = excluded.last_trade_id",
    )
    .bind(symbol.as_str())
    .bind(new.base_asset.as_str())
    .bind(new.quote_asset.as_str())
    .bind(text(new.holding.quantity))
    .bind(text(new.holding.cost))
    .bind(text(new.realized))
    .bind(new.fill_count)
    .bind(new.opened_at_ms)
    .bind(new.updated_at_ms)
    .bind(new.last.executed_at_ms)
    .bind(new.last.trade_id)
    .execute(&mut *connection)
    .await?;
    for (day, totals) in &new.days {
        if old.and_then(|book| book.days.get(day)) != Some(totals) {
            save_day(connection, symbol, *day, totals).await?;
        }
    }
    Ok(())
}

async fn save_day(
    connection: &mut SqliteConnection,
    symbol: &Symbol,
    day: TradingDay,
    totals: &DayTotals,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO book_days (symbol, day, realized_pnl) VALUES (?, ?, ?) \
         ON CONFLICT (symbol, day) DO UPDATE SET realized_pnl = excluded.realized_pnl",
    )
    .bind(symbol.as_str())
    .bind(day.0)
    .bind(text(totals.realized))
    .execute(&mut *connection)
    .await?;
    for (asset, amount) in &totals.fees.0 {
        sqlx::query(
            "INSERT INTO book_fees (symbol, day, asset, amount) VALUES (?, ?, ?, ?) \
             ON CONFLICT (symbol, day, asset) DO UPDATE SET amount = excluded.amount",
        )
        .bind(symbol.as_str())
        .bind(day.0)
        .bind(asset.as_str())
        .bind(text(*amount))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Stores the revision.
pub(crate) async fn save_revision(connection: &mut SqliteConnection, revision: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE book_revision SET revision = ? WHERE id = 1")
        .bind(revision)
        .execute(connection)
        .await?;
    Ok(())
}
