//! The durable ledger: SQLite with WAL and synchronous=FULL. One transaction holds everything that one batch changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use crate::domain::{Balance, Changes, Exchange, Fill, MarketState, NextIds, Order, Transfer};
use crate::error::SimError;

const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS orders (order_id INTEGER PRIMARY KEY, account TEXT NOT NULL, symbol TEXT NOT NULL,
     client_order_id TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS fills (symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, order_id INTEGER NOT NULL,
     account TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (symbol, trade_id, order_id)) STRICT",
    "CREATE TABLE IF NOT EXISTS balances (account TEXT NOT NULL, asset TEXT NOT NULL, free TEXT NOT NULL,
     locked TEXT NOT NULL, PRIMARY KEY (account, asset)) STRICT",
    "CREATE TABLE IF NOT EXISTS transfers (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS external_locks (account TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL,
     PRIMARY KEY (account, asset)) STRICT",
    "CREATE TABLE IF NOT EXISTS markets (symbol TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
];

/// The open ledger.
pub struct Ledger {
    connection: SqliteConnection,
    path: PathBuf,
}

/// Everything the ledger held when it was opened.
#[derive(Debug, Default)]
pub struct Kept {
    /// By order id.
    pub orders: Vec<Order>,
    /// By time.
    pub fills: Vec<Fill>,
    /// By id.
    pub transfers: Vec<Transfer>,
    /// By account and asset.
    pub balances: BTreeMap<String, BTreeMap<String, Balance>>,
    /// By account and asset.
    pub external_locks: BTreeMap<String, BTreeMap<String, Decimal>>,
    /// By symbol.
    pub markets: BTreeMap<String, MarketState>,
    /// Survive a wipe.
    pub next_ids: NextIds,
}

impl Ledger {
    /// Opens (or creates) the ledger in `data_dir` and reads all of it.
    ///
    /// # Errors
    /// The folder cannot be made, the database cannot be opened, or a row is not what was written.
    pub async fn open(data_dir: &Path) -> Result<(Self, Kept), SimError> {
        std::fs::create_dir_all(data_dir).map_err(|source| SimError::DataDir {
            path: data_dir.to_owned(),
            source,
        })?;
        let path = data_dir.join("exchange.db");
        let fail = |what| {
            let path = path.clone();
            move |source| SimError::Ledger { path, what, source }
        };
        let mut connection = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await
            .map_err(fail("open it"))?;
        for statement in SCHEMA.iter().copied() {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .map_err(fail("create its tables"))?;
        }
        let mut ledger = Self { connection, path };
        let kept = ledger.read_all().await?;
        Ok((ledger, kept))
    }

    async fn read_all(&mut self) -> Result<Kept, SimError> {
        let orders = self
            .bodies("SELECT order_id, body FROM orders ORDER BY order_id", "orders")
            .await?;
        let fills = self
            .bodies("SELECT trade_id, body FROM fills ORDER BY rowid", "fills")
            .await?;
        let transfers = self
            .bodies("SELECT id, body FROM transfers ORDER BY id", "transfers")
            .await?;
        let mut kept = Kept {
            orders,
            fills,
            transfers,
            ..Kept::default()
        };
        let rows = self.rows("SELECT account, asset, free, locked FROM balances").await?;
        for row in rows {
            let (account, asset): (String, String) = (row.get(0), row.get(1));
            let (free, locked): (String, String) = (row.get(2), row.get(3));
            let parse = |text: &str| {
                let corrupt =
                    |e: rust_decimal::Error| self.corrupt(format!("balances {account} {asset}"), e.to_string());
                text.parse::<Decimal>().map_err(corrupt)
            };
            let balance = Balance {
                free: parse(&free)?,
                locked: parse(&locked)?,
            };
            kept.balances.entry(account).or_default().insert(asset, balance);
        }
        for row in self.rows("SELECT account, asset, amount FROM external_locks").await? {
            let (account, asset, amount): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let amount = amount.parse().map_err(|e: rust_decimal::Error| {
                self.corrupt(format!("external_locks {account} {asset}"), e.to_string())
            })?;
            kept.external_locks.entry(account).or_default().insert(asset, amount);
        }
        for row in self.rows("SELECT symbol, body FROM markets").await? {
            let (symbol, body): (String, String) = (row.get(0), row.get(1));
            let state =
                serde_json::from_str(&body).map_err(|e| self.corrupt(format!("markets {symbol}"), e.to_string()))?;
            kept.markets.insert(symbol, state);
        }
        if let Some(row) = self
            .rows("SELECT value FROM meta WHERE key = 'next_ids'")
            .await?
            .first()
        {
            let text: String = row.get(0);
            let corrupt = |e: serde_json::Error| self.corrupt("meta next_ids".to_owned(), e.to_string());
            kept.next_ids = serde_json::from_str(&text).map_err(corrupt)?;
        }
        Ok(kept)
    }

    async fn rows(&mut self, query: &'static str) -> Result<Vec<sqlx::sqlite::SqliteRow>, SimError> {
        let rows = sqlx::query(query).fetch_all(&mut self.connection).await;
        rows.map_err(|source| SimError::Ledger {
            path: self.path.clone(),
            what: "read it",
            source,
        })
    }

    async fn bodies<T: DeserializeOwned>(&mut self, query: &'static str, table: &str) -> Result<Vec<T>, SimError> {
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let (key, body): (i64, String) = (row.get(0), row.get(1));
                serde_json::from_str(&body).map_err(|e| self.corrupt(format!("{table} {key}"), e.to_string()))
            })
            .collect()
    }

    fn corrupt(&self, row: String, reason: String) -> SimError {
        SimError::CorruptRow {
            path: self.path.clone(),
            row,
            reason,
        }
    }

    /// Writes what changed in one transaction; returns after it is on disk.
    ///
    /// # Errors
    /// Nothing of the batch is kept then.
    pub async fn commit(&mut self, exchange: &Exchange, changes: &Changes) -> Result<(), SimError> {
        let path = self.path.clone();
        let result = write(&mut self.connection, exchange, changes).await;
        result.map_err(|source| SimError::Ledger {
            path,
            what: "write to it",
            source,
        })
    }

    /// Closes the database in order.
    pub async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the ledger did not close in order; nothing is lost, everything was committed");
        }
    }
}

fn body(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of texts and numbers always serialise")
}

fn id(value: u64) -> i64 {
    i64::try_from(value).expect("ids rise by one and stay far below 2^63")
}

async fn write(connection: &mut SqliteConnection, exchange: &Exchange, changes: &Changes) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    if changes.wiped {
        for statement in [
            "DELETE FROM orders",
            "DELETE FROM fills",
            "DELETE FROM balances",
            "DELETE FROM transfers",
            "DELETE FROM external_locks",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
    }
    for order in changes.orders.iter().filter_map(|id| exchange.orders.get(id)) {
        sqlx::query(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET status = excluded.status, body = excluded.body",
        )
        .bind(id(order.order_id))
        .bind(&order.account)
        .bind(&order.symbol)
        .bind(&order.client_order_id)
        .bind(order.status.as_str())
        .bind(body(order))
        .execute(&mut *tx)
        .await?;
    }
    for fill in &changes.fills {
        sqlx::query("INSERT INTO fills VALUES (?, ?, ?, ?, ?)")
            .bind(&fill.symbol)
            .bind(id(fill.trade_id))
            .bind(id(fill.order_id))
            .bind(&fill.account)
            .bind(body(fill))
            .execute(&mut *tx)
            .await?;
    }
    for transfer in &changes.transfers {
        sqlx::query("INSERT INTO transfers VALUES (?, ?)")
            .bind(id(transfer.id))
            .bind(body(transfer))
            .execute(&mut *tx)
            .await?;
    }
    write_state(&mut tx, exchange, changes).await?;
    tx.commit().await
}

async fn write_state(tx: &mut SqliteConnection, exchange: &Exchange, changes: &Changes) -> Result<(), sqlx::Error> {
    if changes.wiped || !changes.orders.is_empty() {
        sqlx::query("INSERT INTO meta VALUES ('next_ids', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
            .bind(body(&exchange.next_ids()))
            .execute(&mut *tx)
            .await?;
    }
    for (account, asset) in &changes.balances {
        let balance = exchange.balance(account, asset);
        sqlx::query(
            "INSERT INTO balances VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET free = excluded.free, locked = excluded.locked",
        )
        .bind(account)
        .bind(asset)
        .bind(balance.free.normalize().to_string())
        .bind(balance.locked.normalize().to_string())
        .execute(&mut *tx)
        .await?;
    }
    for (account, asset) in &changes.external_locks {
        let amount = exchange.external_locks.get(account).and_then(|locks| locks.get(asset));
        sqlx::query("INSERT INTO external_locks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = excluded.amount")
            .bind(account)
            .bind(asset)
            .bind(amount.copied().unwrap_or_default().to_string())
            .execute(&mut *tx)
            .await?;
    }
    for symbol in &changes.markets {
        let Some(state) = exchange.market_state(symbol) else {
            continue;
        };
        sqlx::query("INSERT INTO markets VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body")
            .bind(symbol)
            .bind(body(&state))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
