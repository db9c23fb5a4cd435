//! Where the baseline ends in each symbol, also in one that was not asked about when it was taken.

use thunes_binance::{Trade, TradesFilter};
use thunes_proto::position::v1::{GetBaselineResponse, RecordBaselineRequest};
use thunes_store::{StoreError, begin_write, failpoint};
use thunes_types::Symbol;

use crate::engine::Engine;
use crate::error::GatewayError;
use crate::questions::NO_TRADE;
use crate::start::{FACT_BASELINE, baseline_cursor_name};
use crate::store;

/// Most trades in one question.
const PAGE: u32 = 1000;

/// Trades of one page that the baseline includes, and whether newer ones are in it.
fn included(page: &[Trade], taken_at_ms: i64) -> (Vec<i64>, bool) {
    let ids: Vec<i64> = page
        .iter()
        .filter(|trade| trade.time_ms <= taken_at_ms)
        .map(|trade| trade.trade_id)
        .collect();
    let newer = ids.len() < page.len();
    (ids, newer)
}

impl Engine {
    /// A baseline that was replaced at position is not the one that this journal, its fills and its holdings stand on: a
    /// comparison with it would show what is not there.
    pub(super) async fn is_the_kept_one(&self, baseline: &GetBaselineResponse) -> Result<(), GatewayError> {
        let Some(kept) = store::fact(&self.database.pool, FACT_BASELINE).await? else {
            return Ok(());
        };
        let kept: RecordBaselineRequest =
            serde_json::from_str(&kept).map_err(|e| StoreError::Corrupt(format!("the kept baseline: {e}")))?;
        if kept.taken_at_ms == baseline.taken_at_ms {
            return Ok(());
        }
        Err(GatewayError::Dependency(
            "position",
            format!(
                "the baseline was replaced: it has one of {} ms, and this gateway's journal stands on that of {} ms; record \
                 that one again, or start over in a new data folder",
                baseline.taken_at_ms, kept.taken_at_ms
            ),
        ))
    }

    /// The newest trade that the baseline includes of a symbol that it says nothing of: it had no trades, or it was added
    /// to the settings later, and then its trades of before are in the balances already.
    pub(super) async fn cursor_without_word(&self, symbol: &Symbol, taken_at_ms: i64) -> Result<i64, GatewayError> {
        let name = baseline_cursor_name(symbol.as_str());
        if let Some(text) = store::fact(&self.database.pool, &name).await? {
            let cursor = text.parse();
            return Ok(cursor.map_err(|_| StoreError::Corrupt(format!("baseline cursor of {symbol}: {text:?}")))?);
        }
        let ids = self.trades_until(symbol, taken_at_ms).await?;
        let in_journal = store::known_trades(&self.database.pool, symbol.as_str(), &ids).await?;
        // What was taken into the book already cannot be part of the baseline as well.
        let cursor = match ids.iter().max() {
            Some(newest) if in_journal.is_empty() => *newest,
            Some(_) | None => NO_TRADE,
        };
        let mut tx = begin_write(&self.database.pool).await?;
        store::set_fact(&mut tx, &name, &cursor.to_string()).await?;
        store::set_holding_cursor(&mut tx, symbol.as_str(), cursor).await?;
        failpoint::pass("gateway.cursor.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.cursor.after_commit");
        Ok(cursor)
    }

    /// The newest trades up to that time, at most a page.
    async fn trades_until(&self, symbol: &Symbol, taken_at_ms: i64) -> Result<Vec<i64>, GatewayError> {
        let full = |page: &[Trade]| page.len() >= PAGE as usize;
        let page = self.some_trades(symbol, TradesFilter::Recent).await?;
        let (mut newest, _) = included(&page, taken_at_ms);
        if !newest.is_empty() || !full(&page) {
            return Ok(newest);
        }
        let mut from = 0;
        loop {
            let page = self.some_trades(symbol, TradesFilter::FromTradeId(from)).await?;
            let (ids, newer) = included(&page, taken_at_ms);
            if !ids.is_empty() {
                newest = ids;
            }
            match page.iter().map(|trade| trade.trade_id).max() {
                Some(last) if full(&page) && !newer => from = last + 1,
                Some(_) | None => return Ok(newest),
            }
        }
    }

    async fn some_trades(&self, symbol: &Symbol, filter: TradesFilter) -> Result<Vec<Trade>, GatewayError> {
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self
            .exchange
            .sign_my_trades(symbol, filter, PAGE, timestamp_ms, recv_window_ms);
        Ok(self.exchange.send(request).await.into_result()?)
    }
}

#[cfg(test)]
mod tests {
    use thunes_store::begin_write;

    use super::*;

    static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

    fn trade(id: i64, time_ms: i64) -> Trade {
        let text = format!(
            r#"{{"symbol":"AB","id":{id},"orderId":7,"price":"1","qty":"1","quoteQty":"1","commission":"0",
            "commissionAsset":"A","time":{time_ms},"isBuyer":true,"isMaker":false}}"#
        );
        serde_json::from_str(&text).expect("a trade")
    }

    #[test]
    fn p9_trades_up_to_the_baseline_are_part_of_it() {
        let page = [trade(4, 100), trade(5, 200), trade(6, 201)];
        assert_eq!(included(&page, 200), (vec![4, 5], true));
        assert_eq!(included(&page, 201), (vec![4, 5, 6], false));
        assert_eq!(included(&page, 99), (vec![], true));
        assert_eq!(included(&[], 99), (vec![], false));
    }

    #[tokio::test]
    async fn p9_the_first_word_on_what_the_holdings_include_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = thunes_store::open(&folder.path().join("gateway.db"), &MIGRATIONS)
            .await
            .expect("opened");
        let mut tx = begin_write(&database.pool).await.expect("a transaction");
        store::set_holding_cursor(&mut tx, "AB", 9).await.expect("written");
        store::set_holding_cursor(&mut tx, "AB", NO_TRADE)
            .await
            .expect("written");
        assert!(!store::moves_holdings(&mut tx, "AB", 9).await.expect("read"));
        assert!(store::moves_holdings(&mut tx, "AB", 10).await.expect("read"));
    }
}
