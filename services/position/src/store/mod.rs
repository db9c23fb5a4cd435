//! All of the SQL: the ledger, the stored book, the baselines.

mod baselines;
mod book;
mod fills;

use std::path::PathBuf;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use thunes_store::{Database, StoreError, begin_write};
use thunes_types::Decimal;

pub(crate) use fills::PageStart;

/// The database of this service.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) path: PathBuf,
}

impl Store {
    /// Opens the database, making it where it is missing.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, StoreError> {
        let database = thunes_store::open(&path, &sqlx::migrate!("./migrations")).await?;
        Ok(Self { database, path })
    }

    /// A transaction that nothing else can write beside.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(begin_write(&self.database.pool).await?)
    }

    /// A transaction whose reads are of one moment.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.database.pool.begin().await?)
    }
}

/// The revision of the stored book.
pub(crate) async fn revision(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT revision FROM book_revision WHERE id = 1")
        .fetch_one(connection)
        .await?)
}

fn corrupt(place: &str, value: &str) -> StoreError {
    StoreError::Corrupt(format!("{place} holds {value:?}"))
}

// A computed amount may have one digit more than the API takes, so the number type's own reading counts here.
fn read_decimal(place: &str, text: &str) -> Result<Decimal, StoreError> {
    Decimal::from_str_exact(text).map_err(|_| corrupt(place, text))
}

pub(crate) use baselines::{load_baseline, save_baseline};
pub(crate) use book::{load_book, save_revision, save_symbol};
pub(crate) use fills::{fold_ledger, fold_symbol, insert_fill, load_fill, page_of_fills};
