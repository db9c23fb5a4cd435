use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use thunes_proto::risk::v1::risk_service_server::RiskServiceServer;
use thunes_rpc::{MESSAGE_BYTES_MAX, connect};
use thunes_runtime::clock;
use thunes_store::{Database, Outbox, StoreError, failpoint, run_outbox};
use thunes_telegram::TelegramClient;
use thunes_types::{HaltLevel, MinuteRate, Scope};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::alerts::{Alerts, run_alerts};
use crate::answers::Answers;
use crate::config::RiskConfig;
use crate::domain::decide::{Book, Recent};
use crate::domain::halts::{Author, Halts};
use crate::domain::leases::Leases;
use crate::domain::reservations::Reservations;
use crate::engine::{Engine, State};
use crate::error::RiskError;
use crate::grpc::RiskGrpc;
use crate::metrics::show_metrics;
use crate::stops::UNKNOWN_HOLDER;
use crate::store;
use crate::tasks::{follow_positions, save_until_saved};
use crate::triggering::{save_triggers, watch_triggers};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Runs the risk service until `shutdown`.
///
/// # Errors
/// When its folder cannot be used, or the server fails. A damaged database is set aside, and risk starts halted.
pub async fn serve(config: RiskConfig, listener: TcpListener, shutdown: CancellationToken) -> Result<(), RiskError> {
    let (database, damage) = open_or_set_aside(&config.data_dir).await?;
    let outbox = Outbox::new(database.clone(), "risk");
    let state = restore(&config, &database, damage.as_deref()).await?;
    let pending = store::pending_alerts(&database.pool).await?;
    let (delivered, last) = store::accepted_alerts(&database.pool).await?;
    let receiver = if config.telegram.token.is_some() {
        config.telegram.receiver.as_str()
    } else {
        "none"
    };
    let (alerts, alert_queue) = Alerts::new(receiver, delivered, last);
    let answers = Answers::load(&database.pool).await?;
    let engine = Engine::new(config, database, outbox.clone(), answers, alerts, state);
    for alert in pending {
        engine.alerts.raise(alert);
    }
    let unsaved: Vec<_> = engine
        .state()
        .halts
        .held()
        .filter(|halt| !halt.durable)
        .cloned()
        .collect();
    for halt in &unsaved {
        engine.announce_activation(halt);
    }
    if !unsaved.is_empty() {
        // On disk before anything is served: a second crash must not find a clean, empty database.
        engine.save_unsaved().await;
    }
    let halts = engine.state().halts.clone();
    let (active, scoped) = (
        halts.all().is_some(),
        halts.held().filter(|halt| halt.scope != Scope::All).count(),
    );
    tracing::info!(active, epoch = halts.epoch(), scoped, "kill-switch as restored");

    show_metrics(&engine);
    let config = &engine.config;
    tokio::spawn(run_outbox(outbox, connect(&config.audit_url)?, shutdown.clone()));
    tokio::spawn(follow_positions(
        Arc::clone(&engine),
        connect(&config.position_url)?,
        shutdown.clone(),
    ));
    tokio::spawn(save_until_saved(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(watch_triggers(Arc::clone(&engine), shutdown.clone()));
    tokio::spawn(save_triggers(Arc::clone(&engine), shutdown.clone()));
    if let Some(token) = &config.telegram.token {
        let client = TelegramClient::new(&config.telegram.base_url, token.expose_secret())
            .map_err(|e| RiskError::Telegram(e.to_string()))?;
        tokio::spawn(run_alerts(Arc::clone(&engine), client, alert_queue, shutdown.clone()));
    }
    let grpc = RiskServiceServer::new(RiskGrpc {
        engine,
        shutdown: shutdown.clone(),
    })
    .max_decoding_message_size(MESSAGE_BYTES_MAX);
    thunes_rpc::serve(listener, &["thunes.risk.v1.RiskService"], Routes::new(grpc), shutdown).await?;
    Ok(())
}

/// Opens risk.db. A damaged one is kept under another name, since its state cannot be read and unknown means halted.
async fn open_or_set_aside(folder: &Path) -> Result<(Database, Option<String>), RiskError> {
    let path = folder.join("risk.db");
    match thunes_store::open(&path, &MIGRATIONS).await {
        Ok(database) => match readable(&database).await {
            // An earlier start set a damaged file aside and ended before it had written that it halts.
            Ok(false) if damaged_before(folder) => Ok((
                database,
                Some("risk state unreadable: an earlier start set it aside".into()),
            )),
            Ok(_) => Ok((database, None)),
            Err(error) if error.is_damage() => {
                database.pool.close().await;
                set_aside(&path, &error).await
            }
            Err(error) => Err(error.into()),
        },
        Err(error) if error.is_damage() => set_aside(&path, &error).await,
        Err(error) => Err(error.into()),
    }
}

/// Whether a switch is written there; an error when what is written cannot be read.
async fn readable(database: &Database) -> Result<bool, StoreError> {
    let halts = store::load_halts(&database.pool).await?;
    store::load_limits(&database.pool).await?;
    store::load_triggers(&database.pool).await?;
    Ok(halts.is_some())
}

fn damaged_before(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names
        .into_iter()
        .any(|name| name.to_string_lossy().starts_with("risk.db") && name.to_string_lossy().contains(".damaged-"))
}

async fn set_aside(path: &Path, error: &StoreError) -> Result<(Database, Option<String>), RiskError> {
    let stamp = clock::now_ms();
    // The database itself goes last: a crash in between leaves it damaged, not clean.
    for suffix in ["-wal", "-shm", ""] {
        let from = path.with_file_name(format!("risk.db{suffix}"));
        if from.exists() {
            let to = path.with_file_name(format!("risk.db{suffix}.damaged-{stamp}"));
            std::fs::rename(&from, &to).map_err(RiskError::SetAside)?;
        }
    }
    let reason = format!(
        "risk state unreadable; {} was set aside as .damaged-{stamp}",
        path.display()
    );
    tracing::error!(%error, "{reason}; starting with the kill-switch active");
    Ok((thunes_store::open(path, &MIGRATIONS).await?, Some(reason)))
}

async fn restore(config: &RiskConfig, database: &Database, damage: Option<&str>) -> Result<State, RiskError> {
    let now_ms = clock::now_ms();
    let mut halts = store::load_halts(&database.pool)
        .await?
        .unwrap_or_else(|| Halts::untouched(now_ms));
    if failpoint::pass("risk.restore.forget") == failpoint::Action::Break {
        let quiet = Halts::untouched(now_ms).quiet().clone();
        halts = Halts::restored(halts.epoch() + 1, quiet, Vec::new());
    }
    if let Some(reason) = damage {
        let author = Author {
            reason: reason.chars().take(512).collect(),
            actor: "risk".into(),
            at_ms: now_ms,
            cause: None,
        };
        halts.activate(&Scope::All, HaltLevel::HaltNew, author);
    }
    let limits = match store::load_limits(&database.pool).await? {
        Some(limits) => {
            tracing::info!("limits as changed by request; those of the settings are not in force");
            limits
        }
        None => config.limits.clone(),
    };
    let mut leases = Leases::default();
    let now_boot_ms = clock::boot_ms();
    for (account, gateway_id, incarnation) in store::load_holders(&database.pool).await? {
        leases.restore(&account, &gateway_id, &incarnation, now_boot_ms, config.lease);
    }
    if damage.is_some() {
        // Whoever held a lease is not known any more; somebody may.
        leases.restore(
            UNKNOWN_HOLDER,
            UNKNOWN_HOLDER,
            UNKNOWN_HOLDER,
            now_boot_ms,
            config.lease,
        );
    }
    Ok(State {
        activations: 0,
        halts,
        stops: HashMap::new(),
        health: HashMap::new(),
        triggers: store::load_triggers(&database.pool).await?,
        started_at_ms: now_ms,
        asked: MinuteRate::default(),
        limits,
        leases,
        reservations: Reservations::default(),
        book: Book::default(),
        prices: HashMap::new(),
        recent: Recent::default(),
        live: HashMap::new(),
    })
}
