use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thunes_proto::gateway::v1::ReconcileVerdict;
use thunes_store::{Database, StoreError};
use thunes_types::Decimal;
use tokio::sync::watch;

use crate::domain::reconcile::Sums;
use crate::domain::reconcile::gate::{Ended, Override, ReconcileGate};
use crate::store;

pub(super) const FACT_OVERRIDE: &str = "reconcile_override";
pub(super) const FACT_AGREED: &str = "reconcile_agreed";
pub(super) const FACT_WIPED: &str = "account_wiped";
/// Orders of strangers that are remembered, so that each is looked up once.
const STRANGERS_MAX: usize = 4_096;

/// What the last reconciliation said, in short: what risk and an operator want to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReconciliationState {
    /// UNSPECIFIED before the first of this run.
    pub verdict: ReconcileVerdict,
    /// Discrepancies without the orders in doubt.
    pub mismatches: i64,
    /// What balances that nothing explains are worth, in `unexplained_asset`.
    pub unexplained_quote: Decimal,
    pub unexplained_asset: String,
    /// Above `gateway.reconcile.tolerance_quote`, or not to be valued.
    pub above_tolerance: bool,
    /// UTC; 0 before the first verdict of this run.
    pub finished_at_ms: i64,
    /// Why the last pass came to no verdict; empty when it did. The figures are those of the last verdict.
    pub undetermined_reason: String,
}

impl Default for ReconciliationState {
    fn default() -> Self {
        Self {
            verdict: ReconcileVerdict::Unspecified,
            mismatches: 0,
            unexplained_quote: Decimal::ZERO,
            unexplained_asset: String::new(),
            above_tolerance: false,
            finished_at_ms: 0,
            undetermined_reason: String::new(),
        }
    }
}

/// Up to where both sides agreed when they were last compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreed {
    /// Of which baseline; another one begins anew.
    pub baseline_taken_at_ms: i64,
    pub symbols: BTreeMap<String, Sums>,
}

/// What reconciliation keeps between its passes.
#[derive(Debug)]
pub(crate) struct Reconciling {
    /// One pass at a time.
    pub one: tokio::sync::Mutex<()>,
    gate: Mutex<ReconcileGate>,
    agreed: Mutex<Option<Agreed>>,
    /// By symbol and venue id: whether the exchange has named an order that is not ours.
    strangers: Mutex<BTreeMap<(String, String), bool>>,
    pub latest: watch::Sender<ReconciliationState>,
    /// What the last pass found, to tell news from what is known.
    told: Mutex<Option<BTreeSet<String>>>,
    /// The end of an override whose event is not written yet.
    untold: Mutex<Option<Ended>>,
    /// When a wipe of the account was last noticed, UTC; 0 when none was.
    pub wiped_at_ms: AtomicI64,
    /// The user stream was away since both sides last agreed.
    pub stream_gap: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reconciling {
    /// As the last run left it. What cannot be read counts as never written: then everything is compared anew.
    pub(crate) async fn load(database: &Database) -> Result<Self, StoreError> {
        let overridden: Option<Override> = read(database, FACT_OVERRIDE).await?;
        let wiped_at_ms: i64 = read(database, FACT_WIPED).await?.unwrap_or(0);
        Ok(Self {
            one: tokio::sync::Mutex::new(()),
            gate: Mutex::new(ReconcileGate::restored(overridden)),
            agreed: Mutex::new(read(database, FACT_AGREED).await?),
            strangers: Mutex::default(),
            latest: watch::Sender::new(ReconciliationState::default()),
            told: Mutex::default(),
            untold: Mutex::default(),
            wiped_at_ms: AtomicI64::new(wiped_at_ms),
            stream_gap: AtomicBool::new(true),
        })
    }

    /// What the last reconciliation said.
    pub(crate) fn state(&self) -> ReconciliationState {
        self.latest.borrow().clone()
    }

    pub(crate) fn gate<T>(&self, use_it: impl FnOnce(&mut ReconcileGate) -> T) -> T {
        use_it(&mut lock(&self.gate))
    }

    pub(crate) fn agreed(&self) -> Option<Agreed> {
        lock(&self.agreed).clone()
    }

    pub(super) fn set_agreed(&self, agreed: Option<Agreed>) {
        *lock(&self.agreed) = agreed;
    }

    /// Keeps the end of an override until its event is written, and gives what is still to be written.
    pub(super) fn keep_ended(&self, ended: Option<Ended>) -> Option<Ended> {
        let mut untold = lock(&self.untold);
        if ended.is_some() {
            *untold = ended;
        }
        untold.clone()
    }

    pub(super) fn ended_is_told(&self) {
        *lock(&self.untold) = None;
    }

    /// Whether these are other discrepancies than those that were told of last.
    pub(super) fn is_news(&self, found: &BTreeSet<String>) -> bool {
        lock(&self.told).as_ref() != Some(found)
    }

    /// These are written down.
    pub(super) fn is_told(&self, found: BTreeSet<String>) {
        *lock(&self.told) = Some(found);
    }

    /// An order at the exchange that was looked up: whether it is somebody else's; false when the exchange did not have it
    /// then. None when it was not looked up.
    pub(super) fn is_foreign(&self, symbol: &str, venue_order_id: &str) -> Option<bool> {
        lock(&self.strangers)
            .get(&(symbol.to_owned(), venue_order_id.to_owned()))
            .copied()
    }

    /// Remembers what looking up an order at the exchange came to.
    pub(super) fn looked_up(&self, symbol: &str, venue_order_id: &str, foreign: bool) {
        let mut strangers = lock(&self.strangers);
        if strangers.len() >= STRANGERS_MAX {
            strangers.clear();
        }
        strangers.insert((symbol.to_owned(), venue_order_id.to_owned()), foreign);
    }
}

async fn read<T: for<'de> Deserialize<'de>>(database: &Database, name: &str) -> Result<Option<T>, StoreError> {
    let kept = store::fact(&database.pool, name).await?;
    Ok(kept.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A value as the facts keep it.
///
/// # Errors
/// When it cannot be written as JSON, which is a defect.
pub(super) fn kept<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

    async fn fresh() -> Reconciling {
        let folder = tempfile::tempdir().expect("a folder");
        let database = thunes_store::open(&folder.path().join("gateway.db"), &MIGRATIONS)
            .await
            .expect("opened");
        Reconciling::load(&database).await.expect("loaded")
    }

    #[tokio::test]
    async fn p7_what_was_found_stays_news_until_it_is_written_down() {
        let reconciling = fresh().await;
        let found: BTreeSet<String> = ["a".to_owned()].into();
        assert!(reconciling.is_news(&found));
        assert!(reconciling.is_news(&found), "nobody has written it down yet");
        reconciling.is_told(found.clone());
        assert!(!reconciling.is_news(&found));
        assert!(reconciling.is_news(&BTreeSet::new()));
    }

    #[tokio::test]
    async fn p9_an_order_that_was_looked_up_is_remembered_with_whose_it_is() {
        let reconciling = fresh().await;
        assert_eq!(reconciling.is_foreign("AB", "7"), None);
        reconciling.looked_up("AB", "7", true);
        reconciling.looked_up("AB", "8", false);
        assert_eq!(reconciling.is_foreign("AB", "7"), Some(true));
        assert_eq!(reconciling.is_foreign("AB", "8"), Some(false));
        assert_eq!(reconciling.is_foreign("CD", "7"), None);
    }
}
