//! Klines and 24-hour statistics, folded from the public trades into one-minute bars.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use super::market::PublicTrade;
use super::money::{ZERO, times};

const MINUTE_MS: i64 = 60_000;
/// Minute bars kept: one day and a little, so that the 24-hour ticker is whole.
const MAX_MINUTES: usize = 1_500;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// UTC ms.
    pub open_time_ms: i64,
    /// UTC ms, inclusive.
    pub close_time_ms: i64,
    /// Prices.
    pub open: Decimal,
    /// See `open`.
    pub high: Decimal,
    /// See `open`.
    pub low: Decimal,
    /// See `open`.
    pub close: Decimal,
    /// Base quantity.
    pub volume: Decimal,
    /// Quote amount.
    pub quote_volume: Decimal,
    /// Of it, bought by takers.
    pub taker_base: Decimal,
    /// See `taker_base`.
    pub taker_quote: Decimal,
    /// Trades.
    pub count: u64,
    /// First and last trade id.
    pub first_id: u64,
    /// See `first_id`.
    pub last_id: u64,
}

/// Length of a kline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub i64);

impl Interval {
    /// Reads `1m` … `1w`; months are not whole numbers of ms and are not kept.
    pub fn parse(text: &str) -> Option<Self> {
        let minutes = match text {
            "1m" => 1,
            "3m" => 3,
            "5m" => 5,
            "15m" => 15,
            "30m" => 30,
            "1h" => 60,
            "2h" => 120,
            "4h" => 240,
            "6h" => 360,
            "8h" => 480,
            "12h" => 720,
            "1d" => 1_440,
            "3d" => 4_320,
            "1w" => 10_080,
            _ => return None,
        };
        Some(Self(minutes * MINUTE_MS))
    }
}

/// The minute bars of one symbol.
#[derive(Debug, Default)]
pub struct Candles {
    minutes: VecDeque<Candle>,
}

impl Candles {
    /// Folds a trade in.
    pub fn record(&mut self, trade: &PublicTrade) {
        let open_time_ms = trade.time_ms - trade.time_ms.rem_euclid(MINUTE_MS);
        let bar = bar_of(trade, open_time_ms, MINUTE_MS);
        match self.minutes.back_mut() {
            Some(last) if last.open_time_ms >= open_time_ms => merge(last, &bar),
            _ => {
                if self.minutes.len() == MAX_MINUTES {
                    self.minutes.pop_front();
                }
                self.minutes.push_back(bar);
            }
        }
    }

    /// The bars of an interval, oldest first.
    pub fn bars(&self, interval: Interval) -> Vec<Candle> {
        let mut bars: Vec<Candle> = Vec::new();
        for minute in &self.minutes {
            let open_time_ms = minute.open_time_ms - minute.open_time_ms.rem_euclid(interval.0);
            match bars.last_mut() {
                Some(last) if last.open_time_ms == open_time_ms => merge(last, minute),
                _ => bars.push(Candle {
                    open_time_ms,
                    close_time_ms: open_time_ms + interval.0 - 1,
                    ..minute.clone()
                }),
            }
        }
        bars
    }

    /// All that is known of the last `window_ms`, as one bar.
    pub fn window(&self, now_ms: i64, window_ms: i64) -> Option<Candle> {
        let mut minutes = self.minutes.iter().filter(|m| m.close_time_ms > now_ms - window_ms);
        let mut sum = minutes.next()?.clone();
        minutes.for_each(|minute| merge(&mut sum, minute));
        Some(Candle {
            open_time_ms: now_ms - window_ms,
            close_time_ms: now_ms,
            ..sum
        })
    }
}

fn bar_of(trade: &PublicTrade, open_time_ms: i64, length_ms: i64) -> Candle {
    let quote = times(trade.price, trade.qty);
    let (taker_base, taker_quote) = if trade.buyer_is_maker {
        (ZERO, ZERO)
    } else {
        (trade.qty, quote)
    };
    Candle {
        open_time_ms,
        close_time_ms: open_time_ms + length_ms - 1,
        open: trade.price,
        high: trade.price,
        low: trade.price,
        close: trade.price,
        volume: trade.qty,
        quote_volume: quote,
        taker_base,
        taker_quote,
        count: 1,
        first_id: trade.id,
        last_id: trade.id,
    }
}

fn merge(into: &mut Candle, next: &Candle) {
    into.high = into.high.max(next.high);
    into.low = into.low.min(next.low);
    into.close = next.close;
    into.volume += next.volume;
    into.quote_volume += next.quote_volume;
    into.taker_base += next.taker_base;
    into.taker_quote += next.taker_quote;
    into.count += next.count;
    into.last_id = next.last_id;
}
