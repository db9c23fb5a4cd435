//! Rate limits: request weight per address and minute, unfilled orders per account.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::domain::ApiError;

/// Addresses remembered; more than that and the stale ones go.
const MAX_ADDRESSES: usize = 10_000;
const MINUTE_MS: i64 = 60_000;
const TEN_SECONDS_MS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;

/// The limits in force.
#[derive(Debug, Clone, Copy)]
pub struct LimitRules {
    /// Weight a minute.
    pub weight_per_minute: u64,
    /// Unfilled orders in ten seconds.
    pub orders_per_10s: u64,
    /// Unfilled orders a day.
    pub orders_per_day: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    bucket: i64,
    used: u64,
}

impl Window {
    fn at(&mut self, now_ms: i64, length_ms: i64) -> &mut u64 {
        let bucket = now_ms.div_euclid(length_ms);
        if self.bucket != bucket {
            *self = Self { bucket, used: 0 };
        }
        &mut self.used
    }
}

#[derive(Debug, Default)]
struct Used {
    weight: HashMap<IpAddr, Window>,
    orders: HashMap<String, (Window, Window)>,
}

/// Counters and their limits.
#[derive(Debug)]
pub struct Limits {
    rules: LimitRules,
    used: Mutex<Used>,
}

/// Unfilled orders of an account in the present ten seconds and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderCount {
    /// Ten seconds.
    pub in_10s: u64,
    /// Day.
    pub in_day: u64,
}

impl Limits {
    /// Nothing used yet.
    pub fn new(rules: LimitRules) -> Self {
        Self {
            rules,
            used: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses weight; gives what is used in this minute.
    ///
    /// # Errors
    /// -1003 with HTTP 429 when the minute's weight is used up.
    pub fn use_weight(&self, address: IpAddr, weight: u64, now_ms: i64) -> Result<u64, ApiError> {
        let mut used = self.lock();
        if used.weight.len() >= MAX_ADDRESSES {
            let minute = now_ms.div_euclid(MINUTE_MS);
            used.weight.retain(|_, window| window.bucket == minute);
        }
        let in_minute = used.weight.entry(address).or_default().at(now_ms, MINUTE_MS);
        *in_minute += weight;
        if *in_minute <= self.rules.weight_per_minute {
            return Ok(*in_minute);
        }
        let wait_s = u64::try_from((MINUTE_MS - now_ms.rem_euclid(MINUTE_MS) + 999) / 1_000).unwrap_or(60);
        let limit = self.rules.weight_per_minute;
        let msg = format!(
            "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. \
             Please use WebSocket Streams for live updates to avoid polling the API."
        );
        Err(ApiError::new(-1003, msg).with_status(429).with_retry_after(wait_s))
    }

    /// Gives weight back: placing and canceling cost nothing when they succeed.
    pub fn refund_weight(&self, address: IpAddr, weight: u64, now_ms: i64) -> u64 {
        let mut used = self.lock();
        let in_minute = used.weight.entry(address).or_default().at(now_ms, MINUTE_MS);
        *in_minute = in_minute.saturating_sub(weight);
        *in_minute
    }

    /// Weight used in this minute.
    pub fn weight(&self, address: IpAddr, now_ms: i64) -> u64 {
        *self.lock().weight.entry(address).or_default().at(now_ms, MINUTE_MS)
    }

    /// Counts a new order.
    ///
    /// # Errors
    /// -1015 with HTTP 429 when too many are unfilled.
    pub fn use_order(&self, account: &str, now_ms: i64) -> Result<OrderCount, ApiError> {
        let mut used = self.lock();
        let (short, day) = used.orders.entry(account.to_owned()).or_default();
        let (in_10s, in_day) = (short.at(now_ms, TEN_SECONDS_MS), day.at(now_ms, DAY_MS));
        let refuse = |limit: u64, span: &str| {
            let msg = format!("Too many new orders; current limit is {limit} orders per {span}.");
            Err(ApiError::new(-1015, msg).with_status(429))
        };
        if *in_10s >= self.rules.orders_per_10s {
            return refuse(self.rules.orders_per_10s, "10 SECOND");
        }
        if *in_day >= self.rules.orders_per_day {
            return refuse(self.rules.orders_per_day, "1 DAY");
        }
        *in_10s += 1;
        *in_day += 1;
        Ok(OrderCount {
            in_10s: *in_10s,
            in_day: *in_day,
        })
    }

    /// An order that filled (or was refused) no longer counts.
    pub fn release_order(&self, account: &str, now_ms: i64) -> OrderCount {
        let mut used = self.lock();
        let (short, day) = used.orders.entry(account.to_owned()).or_default();
        let (in_10s, in_day) = (short.at(now_ms, TEN_SECONDS_MS), day.at(now_ms, DAY_MS));
        *in_10s = in_10s.saturating_sub(1);
        *in_day = in_day.saturating_sub(1);
        OrderCount {
            in_10s: *in_10s,
            in_day: *in_day,
        }
    }

    /// The account's present count.
    pub fn orders(&self, account: &str, now_ms: i64) -> OrderCount {
        let mut used = self.lock();
        let (short, day) = used.orders.entry(account.to_owned()).or_default();
        OrderCount {
            in_10s: *short.at(now_ms, TEN_SECONDS_MS),
            in_day: *day.at(now_ms, DAY_MS),
        }
    }

    /// The `rateLimits` of exchangeInfo.
    pub fn rules_json(&self) -> Value {
        let LimitRules {
            weight_per_minute,
            orders_per_10s,
            orders_per_day,
        } = self.rules;
        json!([
            { "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_per_minute },
            { "rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": orders_per_10s },
            { "rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": orders_per_day },
        ])
    }

    /// The ORDERS limits with their counts.
    pub fn orders_json(&self, count: OrderCount) -> Value {
        json!([
            { "rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.rules.orders_per_10s, "count": count.in_10s },
            { "rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": self.rules.orders_per_day, "count": count.in_day },
        ])
    }

    /// The REQUEST_WEIGHT limit with its count.
    pub fn weight_json(&self, used: u64) -> Value {
        json!({ "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                "limit": self.rules.weight_per_minute, "count": used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_and_orders_are_refused_at_their_bound_and_start_anew() {
        let limits = Limits::new(LimitRules {
            weight_per_minute: 10,
            orders_per_10s: 2,
            orders_per_day: 3,
        });
        let address = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(limits.use_weight(address, 10, 59_000), Ok(10));
        let refused = limits.use_weight(address, 1, 59_000).unwrap_err();
        assert_eq!(
            (refused.status, refused.code, refused.retry_after_s),
            (429, -1003, Some(1))
        );
        assert_eq!(limits.use_weight(address, 1, 60_000), Ok(1));
        assert!(limits.use_order("a", 0).is_ok() && limits.use_order("a", 1).is_ok());
        assert_eq!(limits.use_order("a", 2).unwrap_err().code, -1015);
        assert!(limits.use_order("b", 2).is_ok() && limits.use_order("a", 10_000).is_ok());
        assert!(limits.use_order("a", 20_000).unwrap_err().msg.contains("1 DAY"));
    }
}
