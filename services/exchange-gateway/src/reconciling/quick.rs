//! A pass over what is new: cheap enough to be made all the time. It can say that both sides agree, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thunes_types::Symbol;

use super::facts;
use super::snapshot::count;
use super::state::Agreed;
use super::{BETWEEN_TRIES, Manner, Pass, moving};
use crate::domain::reconcile::{Snapshot, Sums, SymbolOutcome, compare, symbols_to_ask};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::questions::NO_TRADE;
use crate::store;

const TRIES: u32 = 4;
/// Up to so many symbols are all asked about in each pass, and of more so many in turn.
const SYMBOLS_PER_PASS: usize = 10;

static ROUND: AtomicU64 = AtomicU64::new(0);

/// What the new trades of one symbol say.
enum New {
    Sums(Sums),
    /// Something is not as it was: everything has to be looked at.
    LookCloser,
}

impl Engine {
    /// Compares what came since both sides last agreed. None when they do not agree now, or never did: then everything has
    /// to be compared.
    ///
    /// # Errors
    /// When a side cannot be read, or does not hold still.
    pub(super) async fn quick_pass(self: &Arc<Self>, manner: Manner) -> Result<Option<Pass>, GatewayError> {
        let Some(agreed) = self.reconciling.agreed() else {
            return Ok(None);
        };
        let open = self.open_at_exchange(false).await?;
        let denied = self.ask_about_moved(&open, manner).await?;
        if !denied.is_empty() {
            return Ok(None);
        }
        self.deliver_all().await;
        for _ in 0..TRIES {
            let book = self.book().await?;
            let before = facts::held(&self.account().await?)?;
            let baseline = self.baseline().await?;
            if baseline.taken_at_ms != agreed.baseline_taken_at_ms {
                return Ok(None);
            }
            let mut snapshot = self.around(&baseline).await?;
            let Some(next) = self.read_new(&agreed, &book.positions, &mut snapshot).await? else {
                return Ok(None);
            };
            self.read_open_orders(&BTreeSet::new(), false, &mut snapshot).await?;
            let account = facts::held(&self.account().await?)?;
            let after = self.book().await?;
            if book.revision != after.revision || before != account {
                tokio::time::sleep(BETWEEN_TRIES).await;
                continue;
            }
            (snapshot.balances, snapshot.locked) = (account.total, account.locked);
            snapshot.positions = after.positions;
            return self.quick_verdict(&agreed, next, &snapshot, after.revision);
        }
        Err(moving("the snapshot"))
    }

    fn quick_verdict(
        &self,
        agreed: &Agreed,
        next: Agreed,
        snapshot: &Snapshot,
        revision: i64,
    ) -> Result<Option<Pass>, GatewayError> {
        let comparison = compare(snapshot)?;
        if !comparison.blocking().is_empty() {
            return Ok(None);
        }
        let total = |a: &Agreed| a.symbols.values().map(|sums| sums.count).sum::<i64>();
        Ok(Some(Pass {
            first: comparison.clone(),
            after: comparison,
            failures: BTreeMap::new(),
            adopted: false,
            full: false,
            revision,
            fills_compared: total(&next),
            fills_agreed_before: total(agreed),
            open_orders: count(snapshot.exchange_open.len().max(snapshot.own_open.len())),
            agreed: Some(next),
        }))
    }

    /// Adds the trades since the agreement to its sums. None when there is something that it does not know.
    async fn read_new(
        &self,
        agreed: &Agreed,
        positions: &BTreeMap<String, crate::domain::reconcile::BookPosition>,
        snapshot: &mut Snapshot,
    ) -> Result<Option<Agreed>, GatewayError> {
        let mut next = agreed.clone();
        let listed = |symbol: &&Symbol| self.rules(symbol.as_str()).is_some();
        let names: Vec<String> = self
            .config
            .symbols
            .iter()
            .filter(listed)
            .map(ToString::to_string)
            .collect();
        let unknown = |symbol: &String| !agreed.symbols.contains_key(symbol);
        if names.iter().any(unknown) || positions.keys().any(unknown) {
            return Ok(None);
        }
        let round = ROUND.fetch_add(1, Ordering::Relaxed);
        for name in symbols_to_ask(&names, &agreed.symbols, positions, round, SYMBOLS_PER_PASS) {
            let before = agreed.symbols.get(name).cloned().unwrap_or_default();
            match self.new_trades(name, before).await? {
                New::Sums(sums) => next.symbols.insert(name.to_owned(), sums),
                New::LookCloser => return Ok(None),
            };
        }
        for (symbol, sums) in &next.symbols {
            let rules = self.rules(symbol);
            snapshot.symbols.push(SymbolOutcome {
                symbol: symbol.clone(),
                base_asset: rules.map(|r| r.base_asset).unwrap_or_default(),
                exchange: sums.clone(),
                ..SymbolOutcome::default()
            });
        }
        Ok(Some(next))
    }

    async fn new_trades(&self, name: &str, mut sums: Sums) -> Result<New, GatewayError> {
        let symbol = Symbol::parse(name)?;
        let Some(rules) = self.rules(name) else {
            return Ok(New::LookCloser);
        };
        let last = sums.last_trade_id;
        let assets = (rules.base_asset, rules.quote_asset);
        let mut trades = self.exchange_trades(&symbol, &assets, last).await?;
        // The last one is read again: an exchange forgets none, unless the account was wiped.
        if last > NO_TRADE && trades.first().map(|t| t.trade_id) != Some(last) {
            return Ok(New::LookCloser);
        }
        trades.retain(|trade| trade.trade_id > last);
        let ids: Vec<i64> = trades.iter().map(|t| t.trade_id).collect();
        let kept = store::fills_by_ids(&self.database.pool, name, &ids).await?;
        for trade in &trades {
            let ours = kept.get(&trade.trade_id).map(facts::trade_fact).transpose()?;
            // The book gets what the journal has, number by number.
            let same = ours.is_some_and(|ours| {
                ours.quantity == trade.quantity
                    && ours.quote_quantity == trade.quote_quantity
                    && ours.commission == trade.commission
                    && ours.commission_asset == trade.commission_asset
                    && ours.side == trade.side
            });
            if !same {
                return Ok(New::LookCloser);
            }
            sums.add(trade)?;
        }
        Ok(New::Sums(sums))
    }
}
