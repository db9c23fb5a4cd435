//! One symbol's market: its price, its synthetic levels, the accounts' resting orders and the public trades.

use std::collections::{BTreeSet, VecDeque};

use rust_decimal::Decimal;

use super::candles::Candles;
use super::filters::SymbolRules;
use super::liquidity::{Level, LiquidityRules, draw};
use super::order::{Order, Side};
use super::walk::{WalkRules, next_price};

/// Public trades kept in memory.
const MAX_PUBLIC_TRADES: usize = 1_000;

/// Whether a symbol takes orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolStatus {
    /// Open.
    Trading,
    /// Refuses new orders and does not match; cancels are taken.
    Halt,
    /// The same, as between two sessions.
    Break,
    /// The same; only cancels are taken.
    CancelOnly,
}

impl SymbolStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trading => "TRADING",
            Self::Halt => "HALT",
            Self::Break => "BREAK",
            Self::CancelOnly => "CANCEL_ONLY",
        }
    }
}

/// A trade as everybody sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicTrade {
    /// Rises per symbol.
    pub id: u64,
    /// Price.
    pub price: Decimal,
    /// Base quantity.
    pub qty: Decimal,
    /// UTC ms.
    pub time_ms: i64,
    /// Whether the buyer was resting.
    pub buyer_is_maker: bool,
}

/// Where the next price comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum PriceSource {
    /// The seeded walk.
    Walk(WalkRules),
    /// A fixed list, one price a tick; the last one stays.
    Replay(Vec<Decimal>),
}

/// A resting order's place: better price first, then earlier. Bids carry the negated price.
pub type BookKey = (Decimal, u64, u64);

/// One symbol's market.
#[derive(Debug)]
pub struct Market {
    /// Trading rules.
    pub rules: SymbolRules,
    /// Shape of the synthetic book.
    pub liquidity: LiquidityRules,
    /// Where prices come from.
    pub source: PriceSource,
    /// The walk's price: the middle of the book.
    pub mid: Decimal,
    /// Price of the last trade.
    pub last_price: Decimal,
    /// Ticks so far.
    pub tick: u64,
    /// Whether orders are taken.
    pub status: SymbolStatus,
    /// Synthetic levels, best first.
    pub bids: Vec<Level>,
    /// Synthetic levels, best first.
    pub asks: Vec<Level>,
    /// Resting orders, best first.
    pub resting_bids: BTreeSet<BookKey>,
    /// Resting orders, best first.
    pub resting_asks: BTreeSet<BookKey>,
    /// Stop orders that wait.
    pub waiting_stops: BTreeSet<u64>,
    /// Next trade id.
    pub next_trade_id: u64,
    /// Trade ids below this may have been shown; the ledger holds it, so that no id is given twice.
    pub reserved_trade_id: u64,
    /// Latest public trades, oldest first.
    pub trades: VecDeque<PublicTrade>,
    /// Bars.
    pub candles: Candles,
    /// Rises with each change of the book.
    pub update_id: u64,
    /// The last one that the market streams were told of.
    pub told_update_id: u64,
}

impl Market {
    /// A fresh market at its first price.
    pub fn new(rules: SymbolRules, liquidity: LiquidityRules, source: PriceSource) -> Self {
        let mid = match &source {
            PriceSource::Walk(walk) => walk.start_price,
            PriceSource::Replay(prices) => prices.first().copied().unwrap_or(rules.tick_size),
        };
        Self {
            rules,
            liquidity,
            source,
            mid,
            last_price: mid,
            tick: 0,
            status: SymbolStatus::Trading,
            bids: Vec::new(),
            asks: Vec::new(),
            resting_bids: BTreeSet::new(),
            resting_asks: BTreeSet::new(),
            waiting_stops: BTreeSet::new(),
            next_trade_id: 1,
            reserved_trade_id: 1,
            trades: VecDeque::new(),
            candles: Candles::default(),
            update_id: 1,
            told_update_id: 1,
        }
    }

    /// Draws the synthetic levels anew around the present price.
    pub fn redraw(&mut self, seed: u64) {
        let (bids, asks) = draw(&self.liquidity, seed, &self.rules.symbol, self.tick, self.mid);
        self.bids = bids;
        self.asks = asks;
        self.update_id += 1;
    }

    /// Moves to the next price.
    pub fn step(&mut self, seed: u64) {
        self.tick += 1;
        self.mid = match &self.source {
            PriceSource::Walk(walk) => next_price(
                walk,
                seed,
                &self.rules.symbol,
                self.tick,
                self.mid,
                self.rules.tick_size,
            ),
            PriceSource::Replay(prices) => {
                let at = usize::try_from(self.tick)
                    .unwrap_or(usize::MAX)
                    .min(prices.len().saturating_sub(1));
                prices.get(at).copied().unwrap_or(self.mid)
            }
        };
        self.redraw(seed);
    }

    /// The synthetic levels that a taker of `side` would hit.
    pub fn levels_against(&mut self, side: Side) -> &mut Vec<Level> {
        match side {
            Side::Buy => &mut self.asks,
            Side::Sell => &mut self.bids,
        }
    }

    /// The resting orders that a taker of `side` would hit.
    pub fn resting_against(&self, side: Side) -> &BTreeSet<BookKey> {
        match side {
            Side::Buy => &self.resting_asks,
            Side::Sell => &self.resting_bids,
        }
    }

    /// Puts an order on the book.
    pub fn rest(&mut self, order: &Order) {
        let key = book_key(order);
        match order.side {
            Side::Buy => self.resting_bids.insert(key),
            Side::Sell => self.resting_asks.insert(key),
        };
        self.update_id += 1;
    }

    /// Takes an order off the book or out of the waiting stops.
    pub fn remove(&mut self, order: &Order) {
        let key = book_key(order);
        match order.side {
            Side::Buy => self.resting_bids.remove(&key),
            Side::Sell => self.resting_asks.remove(&key),
        };
        self.waiting_stops.remove(&order.order_id);
        self.update_id += 1;
    }

    /// Records a public trade and gives its id.
    pub fn print_trade(&mut self, price: Decimal, qty: Decimal, time_ms: i64, buyer_is_maker: bool) -> PublicTrade {
        let trade = PublicTrade {
            id: self.next_trade_id,
            price,
            qty,
            time_ms,
            buyer_is_maker,
        };
        self.next_trade_id += 1;
        // What trades leaves the book, be it a level or a part of a resting order.
        self.update_id += 1;
        self.last_price = price;
        self.candles.record(&trade);
        if self.trades.len() == MAX_PUBLIC_TRADES {
            self.trades.pop_front();
        }
        self.trades.push_back(trade.clone());
        trade
    }
}

fn book_key(order: &Order) -> BookKey {
    let price = match order.side {
        Side::Buy => -order.price,
        Side::Sell => order.price,
    };
    (price, order.priority, order.order_id)
}
