//! The whole state of the exchange and the record of what a step changed in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::Rng;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::account::Balance;
use super::events::{AccountEvent, ExecutionType, MarketEvent};
use super::market::Market;
use super::money::ZERO;
use super::order::{Fill, Order, Transfer};
use super::walk::rng_for;
use crate::config::CommissionIn;

/// Trade ids set aside with one write, so that public trades need no write each.
const TRADE_ID_BLOCK: u64 = 10_000;

/// What a step changed; the ledger writes it in one transaction and only then it is told to anybody.
#[derive(Debug, Default)]
pub struct Changes {
    /// Orders made or changed.
    pub orders: BTreeSet<u64>,
    /// Fills made.
    pub fills: Vec<Fill>,
    /// Account and asset of balances touched.
    pub balances: BTreeSet<(String, String)>,
    /// Transfers made.
    pub transfers: Vec<Transfer>,
    /// Account and asset of external locks touched.
    pub external_locks: BTreeSet<(String, String)>,
    /// Symbols whose price, tick or reserved trade id must be written.
    pub markets: BTreeSet<String>,
    /// Everything older is to be removed first.
    pub wiped: bool,
    /// For the user data streams.
    pub events: Vec<AccountEvent>,
    /// For the market streams.
    pub market_events: Vec<MarketEvent>,
}

impl Changes {
    /// Whether the ledger has to write.
    pub fn needs_commit(&self) -> bool {
        self.wiped
            || !(self.orders.is_empty()
                && self.fills.is_empty()
                && self.balances.is_empty()
                && self.transfers.is_empty()
                && self.external_locks.is_empty()
                && self.markets.is_empty())
    }
}

/// Ids that rise for ever, over restarts and wipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NextIds {
    /// Of orders.
    pub order: u64,
    /// Of events about orders.
    pub execution: u64,
}

/// What the ledger keeps of a market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketState {
    /// The walk's price.
    pub mid: Decimal,
    /// Ticks so far.
    pub tick: u64,
    /// Trade ids below this may have been shown.
    pub reserved_trade_id: u64,
}

/// How fees are taken.
#[derive(Debug, Clone, Copy)]
pub struct CommissionRules {
    /// Hundredths of a percent.
    pub bps: Decimal,
    /// In which asset.
    pub paid_in: CommissionIn,
}

/// The exchange.
#[derive(Debug)]
pub struct Exchange {
    pub(super) seed: u64,
    /// Fees.
    pub commission: CommissionRules,
    /// Markets by symbol.
    pub markets: BTreeMap<String, Market>,
    /// Balances by account and asset.
    pub balances: BTreeMap<String, BTreeMap<String, Balance>>,
    /// What each account began with; a wipe goes back to it.
    pub grants: BTreeMap<String, BTreeMap<String, Decimal>>,
    /// Every order.
    pub orders: BTreeMap<u64, Order>,
    /// Those that can still fill.
    pub open: BTreeSet<u64>,
    /// Fills by account and symbol, oldest first.
    pub fills: BTreeMap<(String, String), Vec<Fill>>,
    /// Transfers, oldest first.
    pub transfers: Vec<Transfer>,
    /// What other systems of the exchange hold locked, by account and asset; a part of the locked balance.
    pub external_locks: BTreeMap<String, BTreeMap<String, Decimal>>,
    by_client: HashMap<(String, String, String), u64>,
    pub(super) next_order_id: u64,
    pub(super) next_priority: u64,
    next_execution_id: u64,
    pub(super) changes: Changes,
    pending_positions: BTreeSet<(String, String)>,
}

impl Exchange {
    /// An exchange with these markets and grants, and nothing traded yet.
    pub fn new(
        seed: u64,
        commission: CommissionRules,
        markets: BTreeMap<String, Market>,
        grants: BTreeMap<String, BTreeMap<String, Decimal>>,
    ) -> Self {
        Self {
            seed,
            commission,
            markets,
            balances: BTreeMap::new(),
            grants,
            orders: BTreeMap::new(),
            open: BTreeSet::new(),
            fills: BTreeMap::new(),
            transfers: Vec::new(),
            external_locks: BTreeMap::new(),
            by_client: HashMap::new(),
            next_order_id: 1,
            next_priority: 1,
            next_execution_id: 1,
            changes: Changes::default(),
            pending_positions: BTreeSet::new(),
        }
    }

    /// Takes up what the ledger kept, and grants the balances of accounts that are new.
    pub fn restore(
        &mut self,
        orders: Vec<Order>,
        fills: Vec<Fill>,
        transfers: Vec<Transfer>,
        balances: BTreeMap<String, BTreeMap<String, Balance>>,
        markets: &BTreeMap<String, MarketState>,
        next_ids: NextIds,
    ) {
        self.next_order_id = next_ids.order.max(1);
        self.next_execution_id = next_ids.execution.max(1);
        self.next_priority = self.next_order_id;
        for (symbol, state) in markets {
            if let Some(market) = self.markets.get_mut(symbol) {
                market.mid = state.mid;
                market.last_price = state.mid;
                market.tick = state.tick;
                market.next_trade_id = state.reserved_trade_id;
                market.reserved_trade_id = state.reserved_trade_id;
            }
        }
        for fill in fills {
            self.fills
                .entry((fill.account.clone(), fill.symbol.clone()))
                .or_default()
                .push(fill);
        }
        self.transfers = transfers;
        self.balances = balances;
        for order in orders {
            self.next_order_id = self.next_order_id.max(order.order_id + 1);
            self.next_priority = self.next_priority.max(order.priority + 1);
            self.index(&order);
            self.orders.insert(order.order_id, order);
        }
        self.grant_missing();
        let seed = self.seed;
        for market in self.markets.values_mut() {
            market.redraw(seed);
            // Nobody can have known another book before the first one is served.
            market.told_update_id = market.update_id;
        }
    }

    fn index(&mut self, order: &Order) {
        let key = (
            order.account.clone(),
            order.symbol.clone(),
            order.client_order_id.clone(),
        );
        self.by_client.insert(key, order.order_id);
        if !order.status.is_open() {
            return;
        }
        self.open.insert(order.order_id);
        let Some(market) = self.markets.get_mut(&order.symbol) else {
            return;
        };
        if order.is_working {
            market.rest(order);
        } else {
            market.waiting_stops.insert(order.order_id);
        }
    }

    pub(super) fn forget_client_ids(&mut self) {
        self.by_client.clear();
    }

    /// Asks the ledger to keep the present prices, so that a restart goes on near them.
    pub fn keep_prices(&mut self) {
        self.changes.markets.extend(self.markets.keys().cloned());
    }

    /// The ids that come next.
    pub fn next_ids(&self) -> NextIds {
        NextIds {
            order: self.next_order_id,
            execution: self.next_execution_id,
        }
    }

    /// Gives every account that has no balances its grant.
    pub(super) fn grant_missing(&mut self) {
        for (account, assets) in self.grants.clone() {
            let held = self.balances.entry(account.clone()).or_default();
            let fresh = held.is_empty();
            for (asset, amount) in assets {
                if !held.contains_key(&asset) {
                    let free = if fresh { amount } else { ZERO };
                    held.insert(asset.clone(), Balance { free, locked: ZERO });
                    self.changes.balances.insert((account.clone(), asset));
                }
            }
        }
    }

    /// The record of what changed since it was last taken.
    pub fn take_changes(&mut self) -> Changes {
        for (symbol, market) in &mut self.markets {
            if market.told_update_id != market.update_id {
                market.told_update_id = market.update_id;
                self.changes.market_events.push(MarketEvent::Book(symbol.clone()));
            }
            if market.next_trade_id > market.reserved_trade_id {
                market.reserved_trade_id = market.next_trade_id + TRADE_ID_BLOCK;
                self.changes.markets.insert(symbol.clone());
            }
        }
        std::mem::take(&mut self.changes)
    }

    /// What the ledger keeps of a market.
    pub fn market_state(&self, symbol: &str) -> Option<MarketState> {
        let market = self.markets.get(symbol)?;
        Some(MarketState {
            mid: market.mid,
            tick: market.tick,
            reserved_trade_id: market.reserved_trade_id,
        })
    }

    /// An account's balance of an asset.
    pub fn balance(&self, account: &str, asset: &str) -> Balance {
        self.balances
            .get(account)
            .and_then(|held| held.get(asset))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn change_balance(&mut self, account: &str, asset: &str, change: impl FnOnce(&mut Balance)) {
        let held = self.balances.entry(account.to_owned()).or_default();
        let balance = held.entry(asset.to_owned()).or_default();
        change(balance);
        // One amount has one form, in memory as in the ledger.
        *balance = Balance {
            free: balance.free.normalize(),
            locked: balance.locked.normalize(),
        };
        let key = (account.to_owned(), asset.to_owned());
        self.pending_positions.insert(key.clone());
        self.changes.balances.insert(key);
    }

    /// Ends a step: tells each account whose balances moved what it holds now.
    pub(super) fn tell_positions(&mut self, time_ms: i64) {
        let mut by_account: BTreeMap<String, Vec<(String, Decimal, Decimal)>> = BTreeMap::new();
        for (account, asset) in std::mem::take(&mut self.pending_positions) {
            let balance = self.balance(&account, &asset);
            by_account
                .entry(account)
                .or_default()
                .push((asset, balance.free, balance.locked));
        }
        let events = by_account
            .into_iter()
            .map(|(account, balances)| AccountEvent::Position {
                account,
                balances,
                time_ms,
            });
        self.changes.events.extend(events);
    }

    pub(super) fn tell_execution(&mut self, order_id: u64, what: ExecutionType, fill: Option<Fill>) {
        self.changes.orders.insert(order_id);
        let Some(order) = self.orders.get(&order_id) else {
            return;
        };
        let order = Box::new(order.clone());
        let execution_id = self.next_execution_id;
        self.next_execution_id += 1;
        self.changes.events.push(AccountEvent::Execution {
            order,
            what,
            fill,
            execution_id,
        });
    }

    pub(super) fn add_order(&mut self, order: Order) {
        self.next_order_id = order.order_id + 1;
        let key = (
            order.account.clone(),
            order.symbol.clone(),
            order.client_order_id.clone(),
        );
        self.by_client.insert(key, order.order_id);
        self.open.insert(order.order_id);
        self.changes.orders.insert(order.order_id);
        self.orders.insert(order.order_id, order);
    }

    pub(super) fn next_priority(&mut self) -> u64 {
        self.next_priority += 1;
        self.next_priority - 1
    }

    pub(super) fn order_mut(&mut self, order_id: u64) -> &mut Order {
        self.changes.orders.insert(order_id);
        self.orders
            .get_mut(&order_id)
            .expect("an order is never removed while it is worked on")
    }

    pub(super) fn market_mut(&mut self, symbol: &str) -> &mut Market {
        self.markets
            .get_mut(symbol)
            .expect("an order's symbol was checked when it was accepted")
    }

    /// The latest order that carried a client id.
    pub fn order_by_client_id(&self, account: &str, symbol: &str, client_order_id: &str) -> Option<&Order> {
        let key = (account.to_owned(), symbol.to_owned(), client_order_id.to_owned());
        self.by_client.get(&key).and_then(|id| self.orders.get(id))
    }

    /// An order by id, by client id, or by both (then both must fit).
    pub fn find_order(&self, account: &str, symbol: &str, id: Option<u64>, client_id: Option<&str>) -> Option<&Order> {
        let found = match (id, client_id) {
            (Some(id), _) => self.orders.get(&id),
            (None, Some(client_id)) => self.order_by_client_id(account, symbol, client_id),
            (None, None) => None,
        }?;
        let fits = found.account == account
            && found.symbol == symbol
            && client_id.is_none_or(|client_id| found.client_order_id == client_id);
        fits.then_some(found)
    }

    /// The open orders of an account, oldest first; of one symbol if given.
    pub fn open_orders(&self, account: &str, symbol: Option<&str>) -> impl Iterator<Item = &Order> {
        self.open
            .iter()
            .filter_map(|id| self.orders.get(id))
            .filter(move |order| order.account == account && symbol.is_none_or(|symbol| order.symbol == symbol))
    }

    /// A client id for a request that named none.
    pub(super) fn made_up_id(&self, purpose: u64) -> String {
        const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut rng = rng_for(
            self.seed,
            "client-id",
            self.next_order_id ^ (self.next_execution_id << 20),
            purpose,
        );
        (0..22)
            .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
            .collect()
    }
}
