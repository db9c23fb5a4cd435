use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqlitePool, Transaction};

/// A service's database: SQLite with a write-ahead log, every commit on disk before it answers.
#[derive(Debug, Clone)]
pub struct Database {
    pub pool: SqlitePool,
    /// Made when the file was made; names this run of the outbox to audit.
    pub incarnation: String,
}

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the data folder {path} cannot be made: {source}; make it writable, or name another with --data-dir")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(
        "the database {path} is damaged ({detail}); nothing was changed. Restore it from a backup, or move it away to \
         start empty and reconcile with the exchange"
    )]
    Damaged { path: PathBuf, detail: String },
    #[error("the database {path} cannot be opened: {source}; check that its folder is writable and not full")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the database {path} cannot be brought to this version: {source}")]
    Migrate {
        path: PathBuf,
        source: sqlx::migrate::MigrateError,
    },
    #[error("the database refused: {0}")]
    Query(#[from] sqlx::Error),
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the file itself is the trouble, as against a passing fault.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Corrupt(_))
    }
}

const OWN_TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, created_ms INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS requests (request_id TEXT PRIMARY KEY, payload_hash TEXT NOT NULL, answer BLOB NOT NULL, created_ms INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS identity (id INTEGER PRIMARY KEY CHECK (id = 1), incarnation TEXT NOT NULL)",
];

/// Opens `path`, making folder and file where they are missing, checks it and brings it to this version.
///
/// # Errors
/// Names the path and the remedy. A damaged file is left as it is.
pub async fn open(path: &Path, migrations: &Migrator) -> Result<Database, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder {
            path: folder.to_owned(),
            source,
        })?;
    }
    let failed = |source: sqlx::Error| classify(path, source);
    let url = format!("sqlite://{}", path.display());
    let options = SqliteConnectOptions::from_str(&url)
        .map_err(failed)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        // After a failed write on a full disk a connection can be left inside its transaction: such a one is closed.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(failed)?;
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&pool)
        .await
        .map_err(failed)?;
    if verdict != "ok" {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: verdict,
        });
    }
    for statement in OWN_TABLES {
        sqlx::query(*statement).execute(&pool).await.map_err(failed)?;
    }
    migrations.run(&pool).await.map_err(|source| StoreError::Migrate {
        path: path.to_owned(),
        source,
    })?;
    sqlx::query("INSERT INTO identity (id, incarnation) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(uuid::Uuid::new_v4().simple().to_string())
        .execute(&pool)
        .await
        .map_err(failed)?;
    let incarnation = sqlx::query_scalar("SELECT incarnation FROM identity WHERE id = 1")
        .fetch_one(&pool)
        .await
        .map_err(failed)?;
    Ok(Database { pool, incarnation })
}

fn classify(path: &Path, source: sqlx::Error) -> StoreError {
    let text = source.to_string();
    if text.contains("malformed") || text.contains("not a database") {
        StoreError::Damaged {
            path: path.to_owned(),
            detail: text,
        }
    } else {
        StoreError::Open {
            path: path.to_owned(),
            source,
        }
    }
}

/// A transaction that takes the write lock at once, so that what it reads cannot change before it writes.
///
/// # Errors
/// When the lock cannot be had in time or the database fails.
pub async fn begin_write(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    pool.begin_with("BEGIN IMMEDIATE").await
}
