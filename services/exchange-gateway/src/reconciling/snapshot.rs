//! Both sides at one moment: read between two readings of the account and of the book that must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_binance as binance;
use thunes_binance::{CallError, ErrorKind};
use thunes_proto::position::v1::{GetBaselineRequest, GetBaselineResponse, ListFillsRequest, ListOpenPositionsRequest};
use thunes_proto::types::v1::{FillSource, Side as WireSide};
use thunes_rpc::deadline;
use thunes_runtime::clock;
use thunes_types::{Symbol, checked_add, parse_decimal};

use super::facts::{self, dust_rule, exchange_order, own_order, trade_fact};
use super::state::Agreed;
use super::{BETWEEN_TRIES, Manner, TRIES, moving, position_away};
use crate::config::Environment;
use crate::domain::order::{OrderState, Side};
use crate::domain::reconcile::trades::{SymbolTrades, compare_symbol, one_sided};
use crate::domain::reconcile::{BookPosition, Comparison, Snapshot, SymbolOutcome, TradeFact};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::questions::NO_TRADE;
use crate::store;
use crate::wire::trade_fill;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Fills on their way to position get this long to arrive before both sides are compared.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(3);
const FILLS_PAGE: i32 = 1000;
/// Orders of strangers that are looked up in one pass; the others wait for the next.
const STRANGERS_PER_PASS: usize = 5;
/// Up to so many symbols asking for each one's open orders costs less than asking for all.
const OPEN_ORDERS_EACH_MAX: usize = 13;
/// How long an order that turned up is shown.
const TURNED_UP_SHOWN_MS: i64 = 24 * 3600 * 1000;

/// A snapshot that held still, and the book revision that it stands on.
pub(super) struct Held {
    pub snapshot: Snapshot,
    pub revision: i64,
    pub baseline_taken_at_ms: i64,
    /// Trades that were read from the exchange one by one.
    pub fills_read: i64,
}

impl Held {
    pub(super) fn open_orders(&self) -> i64 {
        count(self.snapshot.exchange_open.len().max(self.snapshot.own_open.len()))
    }

    /// Where the next pass can go on from: only where no trade differs, and nothing else but doubts.
    pub(super) fn agreed(&self, comparison: &Comparison) -> Option<Agreed> {
        let symbols = &self.snapshot.symbols;
        let same_trades = symbols.iter().all(|s| s.differences.is_empty() && s.left_out == 0);
        (same_trades && comparison.blocking().is_empty()).then(|| Agreed {
            baseline_taken_at_ms: self.baseline_taken_at_ms,
            symbols: symbols.iter().map(|s| (s.symbol.clone(), s.exchange.clone())).collect(),
        })
    }
}

/// What the exchange says of the order of a trade.
enum Whose {
    Ours,
    SomebodyElses,
    /// It has no such order, or not yet.
    Unknown,
}

/// Base and quote asset.
type Assets = (String, String);

/// The book as position has it.
pub(super) struct Book {
    pub revision: i64,
    pub positions: BTreeMap<String, BookPosition>,
    pub assets: BTreeMap<String, Assets>,
}

pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Engine {
    /// Reads everything since the baseline.
    pub(super) async fn held_snapshot(self: &Arc<Self>, manner: Manner) -> Result<Held, GatewayError> {
        let open = self.open_at_exchange(true).await?;
        let denied = self.ask_about_moved(&open, manner).await?;
        self.deliver_all().await;
        for _ in 0..TRIES {
            let book = self.book().await?;
            let before = facts::held(&self.account().await?)?;
            let baseline = self.baseline().await?;
            let mut snapshot = self.around(&baseline).await?;
            let doubts = self.unknown_orders().await?;
            let mut fills_read = 0;
            let cursors: BTreeMap<&str, i64> = baseline
                .cursors
                .iter()
                .map(|c| (c.symbol.as_str(), c.last_trade_id))
                .collect();
            for (symbol, assets) in self.symbols_of(&book)? {
                let cursor = match cursors.get(symbol.as_str()) {
                    Some(cursor) => *cursor,
                    None => self.cursor_without_word(&symbol, baseline.taken_at_ms).await?,
                };
                let outcome = self.read_symbol(&symbol, &assets, cursor, &doubts).await?;
                fills_read += outcome.exchange.count;
                snapshot.symbols.push(outcome);
            }
            self.read_open_orders(&denied, true, &mut snapshot).await?;
            let account = facts::held(&self.account().await?)?;
            let after = self.book().await?;
            if book.revision == after.revision && before == account {
                (snapshot.balances, snapshot.locked) = (account.total, account.locked);
                snapshot.positions = after.positions;
                return Ok(Held {
                    snapshot,
                    revision: after.revision,
                    baseline_taken_at_ms: baseline.taken_at_ms,
                    fills_read,
                });
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(moving("the snapshot"))
    }

    /// What does not depend on a pass: baseline, transfers, rules.
    pub(super) async fn around(&self, baseline: &GetBaselineResponse) -> Result<Snapshot, GatewayError> {
        let mut snapshot = Snapshot {
            stream_gap: self.reconciling.stream_gap.load(Ordering::SeqCst),
            wipe_possible: self.config.environment != Environment::Live,
            transfers: store::transfers_since(&self.database.pool, baseline.taken_at_ms).await?,
            ..Snapshot::default()
        };
        for balance in &baseline.balances {
            let total = checked_add(
                parse_decimal("free", &balance.free)?,
                parse_decimal("locked", &balance.locked)?,
            )?;
            snapshot.baseline.insert(balance.asset.clone(), total);
        }
        for symbol in &self.config.symbols {
            if let Some(rules) = self.rules(symbol.as_str()) {
                let rule = dust_rule(&rules, self.last_price(symbol.as_str()));
                snapshot.dust.insert(symbol.to_string(), rule);
            }
        }
        let since_ms = clock::now_ms() - TURNED_UP_SHOWN_MS;
        for order in store::turned_up_since(&self.database.pool, since_ms).await? {
            let state = order.state()?;
            snapshot.turned_up.push(own_order(order, state, false));
        }
        Ok(snapshot)
    }

    pub(super) async fn baseline(&self) -> Result<GetBaselineResponse, GatewayError> {
        let request = GetBaselineRequest {
            account: self.config.account.clone(),
        };
        let answer = self
            .position
            .clone()
            .get_baseline(deadline(request, CALL_TIMEOUT))
            .await;
        let baseline = answer.map_err(|s| position_away(&s))?.into_inner();
        if baseline.found {
            self.is_the_kept_one(&baseline).await?;
            Ok(baseline)
        } else {
            Err(GatewayError::Dependency(
                "the baseline",
                "it is not recorded yet".into(),
            ))
        }
    }

    pub(super) async fn book(&self) -> Result<Book, GatewayError> {
        let request = deadline(ListOpenPositionsRequest { include_closed: true }, CALL_TIMEOUT);
        let answer = self.position.clone().list_open_positions(request).await;
        let answer = answer.map_err(|s| position_away(&s))?.into_inner();
        let mut book = Book {
            revision: answer.revision,
            positions: BTreeMap::new(),
            assets: BTreeMap::new(),
        };
        for position in answer.positions {
            let quantity = parse_decimal("quantity", &position.quantity)?;
            let short = position.side() == WireSide::Sell;
            let word = BookPosition {
                quantity: if short { -quantity } else { quantity },
                fills: position.fill_count,
            };
            book.positions.insert(position.symbol.clone(), word);
            book.assets
                .insert(position.symbol, (position.base_asset, position.quote_asset));
        }
        Ok(book)
    }

    /// Fills on their way to position get a moment to arrive.
    pub(super) async fn deliver_all(&self) {
        self.fills_waiting.notify_one();
        let start = clock::instant();
        while start.elapsed() < DELIVERY_PATIENCE {
            match store::undelivered_count(&self.database.pool).await {
                Ok(0) | Err(_) => return,
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The symbols of the settings and those of the book, with their assets.
    fn symbols_of(&self, book: &Book) -> Result<Vec<(Symbol, Assets)>, GatewayError> {
        let mut all: BTreeMap<Symbol, Assets> = BTreeMap::new();
        for (name, assets) in &book.assets {
            all.insert(Symbol::parse(name)?, assets.clone());
        }
        let mut listed = false;
        for symbol in &self.config.symbols {
            if let Some(rules) = self.rules(symbol.as_str()) {
                listed = true;
                all.insert(symbol.clone(), (rules.base_asset, rules.quote_asset));
            }
        }
        if listed {
            Ok(all.into_iter().collect())
        } else {
            Err(GatewayError::Starting)
        }
    }

    /// Orders whose fate is not known at this moment, with symbol and side.
    async fn unknown_orders(&self) -> Result<Vec<(String, String, Side)>, GatewayError> {
        let mut unknown = Vec::new();
        for order in store::live_orders(&self.database.pool).await? {
            if order.state()?.is_unknown() {
                unknown.push((order.symbol.clone(), order.client_order_id.clone(), order.side()));
            }
        }
        Ok(unknown)
    }

    async fn read_symbol(
        self: &Arc<Self>,
        symbol: &Symbol,
        assets: &Assets,
        cursor: i64,
        unknown: &[(String, String, Side)],
    ) -> Result<SymbolOutcome, GatewayError> {
        let mut exchange = self.exchange_trades(symbol, assets, cursor).await?;
        // The baseline's last trade is read again: an exchange forgets none.
        let cursor_vanished = cursor > NO_TRADE && exchange.first().map(|t| t.trade_id) != Some(cursor);
        exchange.retain(|trade| trade.trade_id > cursor);
        let book = self.book_fills(symbol).await?;
        let (only_exchange, only_book) = one_sided(&exchange, &book);
        let (own_orders, foreign) = self.own_among(symbol, &only_exchange).await?;
        let gone: Vec<i64> = only_book.iter().map(|fill| fill.trade_id).collect();
        let told_before = store::known_trades(&self.database.pool, symbol.as_str(), &gone).await?;
        let in_doubt: Vec<(String, Side)> = unknown
            .iter()
            .filter(|(of, _, _)| of == symbol.as_str())
            .map(|(_, id, side)| (id.clone(), *side))
            .collect();
        Ok(compare_symbol(&SymbolTrades {
            symbol: symbol.as_str(),
            base_asset: &assets.0,
            exchange: &exchange,
            book: &book,
            own_orders: &own_orders,
            foreign: &foreign,
            told_before: &told_before,
            in_doubt: &in_doubt,
            cursor,
            cursor_vanished,
        })?)
    }

    /// The exchange's trades from this one on, in the order of their ids.
    pub(super) async fn exchange_trades(
        &self,
        symbol: &Symbol,
        assets: &Assets,
        from: i64,
    ) -> Result<Vec<TradeFact>, GatewayError> {
        let mut trades = Vec::new();
        for trade in self.trades_from(symbol, from.max(0)).await? {
            trades.push(trade_fact(&trade_fill(
                &trade,
                &assets.0,
                &assets.1,
                FillSource::Query,
            ))?);
        }
        trades.sort_by_key(|trade: &TradeFact| trade.trade_id);
        trades.dedup_by_key(|trade| trade.trade_id);
        Ok(trades)
    }

    async fn book_fills(&self, symbol: &Symbol) -> Result<Vec<TradeFact>, GatewayError> {
        let mut fills = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListFillsRequest {
                symbol: symbol.to_string(),
                page_size: FILLS_PAGE,
                page_token,
            };
            let page = self.position.clone().list_fills(deadline(request, CALL_TIMEOUT)).await;
            let page = page.map_err(|s| position_away(&s))?.into_inner();
            for fill in &page.fills {
                fills.push(trade_fact(fill)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        fills.sort_by_key(|fill: &TradeFact| fill.trade_id);
        Ok(fills)
    }

    /// Which orders of these trades are ours, and which are known not to be. One that is not known under the exchange's id is
    /// looked up there once: its client id may be that of an order which we think has never arrived.
    async fn own_among(
        self: &Arc<Self>,
        symbol: &Symbol,
        trades: &[&TradeFact],
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), GatewayError> {
        let ids: BTreeSet<&str> = trades.iter().map(|t| t.venue_order_id.as_str()).collect();
        let mut own = store::own_venue_ids(&self.database.pool, symbol.as_str(), &ids).await?;
        let mut foreign = BTreeSet::new();
        let mut looked_up = 0;
        for id in ids {
            if own.contains(id) {
                continue;
            }
            let known = self.reconciling.is_foreign(symbol.as_str(), id);
            if known == Some(true) {
                foreign.insert(id.to_owned());
            }
            if known.is_some() || looked_up >= STRANGERS_PER_PASS {
                continue;
            }
            looked_up += 1;
            match self.whose(symbol, id).await {
                Ok(Whose::Ours) => {
                    own.insert(id.to_owned());
                }
                Ok(Whose::SomebodyElses) => {
                    self.reconciling.looked_up(symbol.as_str(), id, true);
                    foreign.insert(id.to_owned());
                }
                Ok(Whose::Unknown) => self.reconciling.looked_up(symbol.as_str(), id, false),
                // The next pass looks it up.
                Err(error) => {
                    tracing::debug!(%error, venue_order_id = id, "whose order it is cannot be asked now");
                }
            }
        }
        Ok((own, foreign))
    }

    async fn whose(self: &Arc<Self>, symbol: &Symbol, venue_order_id: &str) -> Result<Whose, GatewayError> {
        let Ok(id) = venue_order_id.parse::<i64>() else {
            return Ok(Whose::Unknown);
        };
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self
            .exchange
            .sign_all_orders(symbol, Some(id), 1, timestamp_ms, recv_window_ms);
        let orders = self.exchange.send(request).await.into_result()?;
        let Some(order) = orders.into_iter().find(|order| order.venue_order_id == id) else {
            return Ok(Whose::Unknown);
        };
        Ok(if self.hear_if_ours(&order).await? {
            Whose::Ours
        } else {
            Whose::SomebodyElses
        })
    }

    /// If an order of the exchange's is ours, its present word is taken over, whatever we thought of it.
    async fn hear_if_ours(self: &Arc<Self>, found: &binance::Order) -> Result<bool, GatewayError> {
        match self.order(&found.client_order_id).await {
            Ok(order) => self.take_over(&order, found).await.map(|()| true),
            Err(GatewayError::NoSuchOrder(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The exchange's open orders: of the whole account, or, where that costs less, of the symbols of the settings.
    pub(super) async fn open_at_exchange(&self, whole: bool) -> Result<Vec<binance::Order>, GatewayError> {
        let each = !whole && self.config.symbols.len() <= OPEN_ORDERS_EACH_MAX;
        let asked: Vec<Option<&Symbol>> = if each {
            self.config.symbols.iter().map(Some).collect()
        } else {
            vec![None]
        };
        let mut open = Vec::new();
        for symbol in asked {
            let (timestamp_ms, recv_window_ms) = self.stamp()?;
            let request = self.exchange.sign_open_orders(symbol, timestamp_ms, recv_window_ms);
            open.extend(self.exchange.send(request).await.into_result()?);
        }
        Ok(open)
    }

    /// Orders of ours that the exchange has otherwise than we think are asked for first, so that their fills are not taken
    /// for somebody else's. Gives the ids of those that it had and does not know any more.
    pub(super) async fn ask_about_moved(
        self: &Arc<Self>,
        open: &[binance::Order],
        manner: Manner,
    ) -> Result<BTreeSet<String>, GatewayError> {
        let by_id: BTreeMap<&str, &binance::Order> = open.iter().map(|o| (o.client_order_id.as_str(), o)).collect();
        let mut denied = BTreeSet::new();
        let mut live = BTreeSet::new();
        for order in store::live_orders(&self.database.pool).await? {
            live.insert(order.client_order_id.clone());
            let state = order.state()?;
            let at_exchange = by_id.get(order.client_order_id.as_str());
            if let (Some(found), true) = (at_exchange, state.is_unknown()) {
                self.take_over(&order, found).await?;
                continue;
            }
            let unknown_elsewhere = state.is_unknown() && !manner.ask_doubts;
            let ended = state.is_terminal() && !order.fills_missing;
            let executed = order.belief()?.executed_quantity;
            let as_we_think = at_exchange.is_some_and(|found| found.executed_quantity == executed);
            if unknown_elsewhere || ended || as_we_think {
                continue;
            }
            match self.ask_about(&order).await {
                Ok(()) => {}
                // The exchange does not know it (yet), or cannot tell: it stays in doubt, and is listed as that.
                Err(GatewayError::Exchange(_)) if state.is_unknown() => {}
                Err(GatewayError::Exchange(CallError::Rejected(r))) if r.kind == ErrorKind::NoSuchOrder => {
                    denied.insert(order.client_order_id);
                }
                Err(error) => return Err(error),
            }
        }
        for order in open.iter().filter(|o| !live.contains(&o.client_order_id)) {
            self.hear_if_ours(order).await?;
        }
        Ok(denied)
    }

    pub(super) async fn read_open_orders(
        &self,
        denied: &BTreeSet<String>,
        whole: bool,
        snapshot: &mut Snapshot,
    ) -> Result<(), GatewayError> {
        for order in self.open_at_exchange(whole).await? {
            let rules = self.rules(&order.symbol);
            snapshot.exchange_open.push(exchange_order(&order, rules.as_ref())?);
        }
        for order in store::live_orders(&self.database.pool).await? {
            let state = order.state()?;
            // What is being sent at this moment is nobody's doubt yet.
            let being_sent = state == OrderState::Intent && self.turn(&order.client_order_id).try_lock().is_err();
            if !state.is_terminal() && !being_sent {
                let denied = denied.contains(&order.client_order_id);
                snapshot.own_open.push(own_order(order, state, denied));
            }
        }
        Ok(())
    }
}
