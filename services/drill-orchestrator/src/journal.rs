use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::migrate::Migrator;
use thunes_runtime::clock;
use thunes_store::{Database, StoreError};

use crate::domain::Verdict;
use crate::error::DrillError;
use crate::report::Report;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// `drill.db`: every run and step, written before it happens and after.
#[derive(Debug, Clone)]
pub struct Journal {
    database: Database,
    folder: PathBuf,
}

/// Held for as long as a run or a recovery lasts; the kernel drops it whatever ends this process.
#[derive(Debug)]
pub struct JournalLock {
    _file: File,
}

/// What a later process needs to roll a run back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlan {
    pub program: PathBuf,
    pub data_dir: PathBuf,
    /// The folder is the run's own and goes away with it.
    pub temporary: bool,
    pub config_file: Option<PathBuf>,
    pub out_dir: Option<PathBuf>,
    pub seed: u64,
    /// The containers beside the orchestrator were drilled; `data_dir` holds only what the run itself wrote.
    #[serde(default)]
    pub compose: bool,
}

/// What the environment was like before the first step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub kill_switch_active: bool,
    pub kill_switch_reason: String,
    /// Net base quantity per symbol, with its sign; decimals as text.
    pub positions: std::collections::BTreeMap<String, String>,
    /// Client order ids of the orders that were open.
    pub open_orders: Vec<String>,
}

/// A run as the journal has it.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub run_id: String,
    pub ended: bool,
    pub rolling_back: bool,
    pub verdict: Option<Verdict>,
    pub reason: String,
    pub actor: String,
    pub seed: i64,
    pub drill_ids: Vec<String>,
    pub plan: RunPlan,
    /// None when the environment was not looked at yet: then nothing was changed either.
    pub found: Option<Found>,
    pub note: String,
    pub report: Option<Report>,
    pub started_ms: i64,
    pub ended_ms: i64,
}

/// A step as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    pub drill_id: String,
    pub name: String,
    pub action: String,
    pub started_ms: i64,
    /// 0 while it is under way.
    pub ended_ms: i64,
    pub outcome: String,
    pub detail: String,
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    pub run_id: &'a str,
    pub reason: &'a str,
    pub actor: &'a str,
    pub seed: i64,
    pub drill_ids: &'a [String],
    pub plan: &'a RunPlan,
    pub started_ms: i64,
}

impl Journal {
    /// Opens `folder`/drill.db.
    ///
    /// # Errors
    /// Names the path and the remedy.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = thunes_store::open(&folder.join("drill.db"), &MIGRATIONS).await?;
        Ok(Self {
            database,
            folder: folder.to_owned(),
        })
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Makes this process the only one that runs or recovers drills of this journal.
    ///
    /// # Errors
    /// When another process does, or the lock file cannot be made.
    pub fn lock(&self) -> Result<JournalLock, DrillError> {
        let path = self.folder.join("drill.lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|source| DrillError::Lock {
            path: path.clone(),
            source,
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(JournalLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DrillError::Running { path }),
            Err(errno) => Err(DrillError::Lock {
                path,
                source: errno.into(),
            }),
        }
    }

    /// Writes a run down before anything is done for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self, run: &NewRun<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO runs (run_id, state, reason, actor, seed, drill_ids, plan, started_ms) \
             VALUES (?, 'RUNNING', ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.run_id)
        .bind(run.reason)
        .bind(run.actor)
        .bind(run.seed)
        .bind(encode(&run.drill_ids)?)
        .bind(encode(run.plan)?)
        .bind(run.started_ms)
        .execute(&self.database.pool)
        .await?;
        Ok(())
    }

    /// Keeps what the environment was like.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn found(&self, run_id: &str, found: &Found) -> Result<(), StoreError> {
        sqlx::query("UPDATE runs SET found = ? WHERE run_id = ?")
            .bind(encode(found)?)
            .bind(run_id)
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }

    /// # Errors
    /// When the database fails.
    pub async fn rolling_back(&self, run_id: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE runs SET state = 'ROLLING_BACK' WHERE run_id = ?")
            .bind(run_id)
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }

    /// Writes a step down before it is done; returns its number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step_begins(&self, run_id: &str, drill: &str, name: &str, action: &str) -> Result<i64, StoreError> {
        let ordinal: i64 = sqlx::query_scalar(
            "INSERT INTO steps (run_id, ordinal, drill_id, name, action, started_ms) \
             SELECT ?1, COALESCE(MAX(ordinal), 0) + 1, ?2, ?3, ?4, ?5 FROM steps WHERE run_id = ?1 RETURNING ordinal",
        )
        .bind(run_id)
        .bind(drill)
        .bind(name)
        .bind(action)
        .bind(clock::now_ms())
        .fetch_one(&self.database.pool)
        .await?;
        Ok(ordinal)
    }

    /// # Errors
    /// When the database fails.
    pub async fn step_ends(&self, run_id: &str, ordinal: i64, outcome: &str, detail: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE steps SET ended_ms = ?, outcome = ?, detail = ? WHERE run_id = ? AND ordinal = ?")
            .bind(clock::now_ms())
            .bind(outcome)
            .bind(detail)
            .bind(run_id)
            .bind(ordinal)
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }

    /// Ends a run with its report.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, report: &Report, ended_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE runs SET state = 'ENDED', verdict = ?, note = ?, report = ?, ended_ms = ? WHERE run_id = ?",
        )
        .bind(report.verdict.as_str())
        .bind(&report.note)
        .bind(encode(report)?)
        .bind(ended_ms)
        .bind(&report.run_id)
        .execute(&self.database.pool)
        .await?;
        Ok(())
    }

    /// The run of that id.
    ///
    /// # Errors
    /// When the database fails or a stored value cannot be read.
    pub async fn run(&self, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM runs WHERE run_id = ?")
            .bind(run_id)
            .fetch_optional(&self.database.pool)
            .await?;
        row.map(|row| read_run(&row)).transpose()
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the database fails or a stored value cannot be read.
    pub async fn runs(&self, limit: i64, offset: i64) -> Result<Vec<RunRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY started_ms DESC, run_id LIMIT ? OFFSET ?")
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.database.pool)
            .await?;
        rows.iter().map(read_run).collect()
    }

    /// Runs that were cut off. Only who holds the lock may believe it.
    ///
    /// # Errors
    /// When the database fails or a stored value cannot be read.
    pub async fn unfinished(&self, _lock: &JournalLock) -> Result<Vec<RunRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM runs WHERE state <> 'ENDED' ORDER BY started_ms, run_id")
            .fetch_all(&self.database.pool)
            .await?;
        rows.iter().map(read_run).collect()
    }

    /// The steps of a run, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn steps(&self, run_id: &str) -> Result<Vec<StepRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM steps WHERE run_id = ? ORDER BY ordinal")
            .bind(run_id)
            .fetch_all(&self.database.pool)
            .await?;
        let step = |row: &sqlx::sqlite::SqliteRow| -> Result<StepRow, sqlx::Error> {
            Ok(StepRow {
                drill_id: row.try_get("drill_id")?,
                name: row.try_get("name")?,
                action: row.try_get("action")?,
                started_ms: row.try_get("started_ms")?,
                ended_ms: row.try_get("ended_ms")?,
                outcome: row.try_get("outcome")?,
                detail: row.try_get("detail")?,
            })
        };
        rows.iter().map(|row| step(row).map_err(StoreError::from)).collect()
    }
}

fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

fn read_run(row: &sqlx::sqlite::SqliteRow) -> Result<RunRow, StoreError> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let (state, verdict, found, report) = (text("state")?, text("verdict")?, text("found")?, text("report")?);
    let verdict = if verdict.is_empty() {
        None
    } else {
        Some(decode("verdict", &format!("{verdict:?}"))?)
    };
    Ok(RunRow {
        run_id: text("run_id")?,
        ended: state == "ENDED",
        rolling_back: state == "ROLLING_BACK",
        verdict,
        reason: text("reason")?,
        actor: text("actor")?,
        seed: row.try_get("seed")?,
        drill_ids: decode("drill_ids", &text("drill_ids")?)?,
        plan: decode("plan", &text("plan")?)?,
        found: if found.is_empty() {
            None
        } else {
            Some(decode("found", &found)?)
        },
        note: text("note")?,
        report: if report.is_empty() {
            None
        } else {
            Some(decode("report", &report)?)
        },
        started_ms: row.try_get("started_ms")?,
        ended_ms: row.try_get("ended_ms")?,
    })
}
