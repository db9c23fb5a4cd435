//! What the exchange allows per interval, what is used of it, and who may use the rest. Pure: time comes with the calls.

use std::collections::VecDeque;
use std::fmt;

use crate::RateLimit;

/// The limits that hold until the exchange has told its own.
const WEIGHT_PER_MINUTE_ASSUMED: u32 = 6_000;
/// A 429 without `Retry-After` is over when the minute is.
const WAIT_MS_ASSUMED: i64 = 60_000;
/// The shortest ban.
const BAN_MS_ASSUMED: i64 = 120_000;
/// The longest wait that is believed: bans last up to three days.
const WAIT_MS_MAX: i64 = 3 * 86_400_000;
/// Parts of an interval in which what is sent is counted together.
const SLICES: i64 = 60;
/// Most limits that are kept: the exchange has four.
const LIMITS_MAX: usize = 16;

/// What a request is for. It decides how much of the weight it must leave to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Cancels, orders that close, and the clock that they are signed by: they may use everything.
    Stop,
    /// Finding out what became of an order: leaves half of the reserve.
    Resolve,
    /// Orders that open a position: leaves the reserve.
    Open,
    /// Prices, balances, trades, rules: leaves the reserve.
    Read,
}

/// What one request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub weight: u32,
    /// New orders in it: 0 or 1.
    pub orders: u32,
    pub purpose: Purpose,
}

impl Cost {
    pub(crate) fn read(weight: u32) -> Self {
        Self {
            weight,
            orders: 0,
            purpose: Purpose::Read,
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Weight,
    Orders,
    RawRequests,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "REQUEST_WEIGHT" => Some(Self::Weight),
            "ORDERS" => Some(Self::Orders),
            "RAW_REQUESTS" => Some(Self::RawRequests),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Weight => "REQUEST_WEIGHT",
            Self::Orders => "ORDERS",
            Self::RawRequests => "RAW_REQUESTS",
        }
    }

    fn share(self, cost: Cost) -> u64 {
        match self {
            Self::Weight => u64::from(cost.weight),
            Self::Orders => u64::from(cost.orders),
            Self::RawRequests => 1,
        }
    }
}

/// One limit with what is used of it.
#[derive(Debug, Clone)]
struct Counter {
    kind: Kind,
    interval_count: u32,
    /// S, M, H or D.
    letter: char,
    interval_ms: i64,
    limit: u64,
    /// When how much was used, oldest first: the exchange's last word, and what was sent since without one. Each counts
    /// for a whole interval, so that it is never forgotten before the exchange, which counts by full minutes, forgets it.
    used: VecDeque<(i64, u64)>,
    /// Sent and not yet answered.
    in_flight: u64,
    /// The newest request whose answer told the count.
    told_by: u64,
}

impl Counter {
    fn new(limit: &RateLimit) -> Option<Self> {
        let (letter, unit_ms) = match limit.interval.as_str() {
            "SECOND" => ('s', 1_000),
            "MINUTE" => ('m', 60_000),
            "HOUR" => ('h', 3_600_000),
            "DAY" => ('d', 86_400_000),
            _ => return None,
        };
        (limit.interval_count > 0).then_some(())?;
        Some(Self {
            kind: Kind::parse(&limit.rate_limit_type)?,
            interval_count: limit.interval_count,
            letter,
            interval_ms: unit_ms * i64::from(limit.interval_count),
            limit: u64::from(limit.limit),
            used: VecDeque::new(),
            in_flight: 0,
            told_by: 0,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.kind, self.interval_count, self.letter) == (other.kind, other.interval_count, other.letter)
    }

    fn name(&self) -> String {
        format!(
            "{} per {} {}",
            self.kind.as_str(),
            self.interval_count,
            self.letter.to_ascii_uppercase()
        )
    }

    /// The header that tells its count; the exchange tells none for raw requests.
    fn header(&self) -> Option<String> {
        let start = match self.kind {
            Kind::Weight => "x-mbx-used-weight",
            Kind::Orders => "x-mbx-order-count",
            Kind::RawRequests => return None,
        };
        Some(format!("{start}-{}{}", self.interval_count, self.letter))
    }

    fn used(&self) -> u64 {
        let amounts = self.used.iter().map(|(_, amount)| *amount);
        amounts.fold(0, u64::saturating_add)
    }

    fn roll(&mut self, now_boot_ms: i64) {
        while self
            .used
            .front()
            .is_some_and(|(at, _)| now_boot_ms - at >= self.interval_ms)
        {
            self.used.pop_front();
        }
    }

    /// Counts what was sent and of which the exchange told no count.
    fn add(&mut self, amount: u64, now_boot_ms: i64) {
        if amount == 0 {
            return;
        }
        // What comes close together makes one entry, so that memory is bounded, and counts from its slice's end.
        let slice_ms = (self.interval_ms / SLICES).max(1);
        let slice_end = (now_boot_ms.div_euclid(slice_ms) + 1) * slice_ms;
        match self.used.back_mut() {
            Some((at, counted)) if *at == slice_end => *counted = counted.saturating_add(amount),
            _ => self.used.push_back((slice_end, amount)),
        }
    }

    /// Takes the exchange's count. Answers can overtake each other: an older one may only raise it.
    fn told(&mut self, count: u64, ticket: u64, now_boot_ms: i64) {
        if ticket < self.told_by && count <= self.used() {
            return;
        }
        self.used = VecDeque::from([(now_boot_ms, count)]);
        self.told_by = self.told_by.max(ticket);
    }

    fn allowed(&self, purpose: Purpose, reserve_weight: u64) -> u64 {
        let reserve = match self.kind {
            // Never more than half: whatever was configured, some reading must go on.
            Kind::Weight | Kind::RawRequests => reserve_weight.min(self.limit / 2),
            // Opening leaves a fifth to closing, and closing is never held back by a count of ours: what a flattening may
            // still send is for the exchange to say.
            Kind::Orders => {
                return match purpose {
                    Purpose::Open => self.limit - self.limit / 5,
                    Purpose::Stop | Purpose::Resolve | Purpose::Read => u64::MAX,
                };
            }
        };
        let kept = match purpose {
            Purpose::Stop => 0,
            Purpose::Resolve => reserve / 2,
            Purpose::Open | Purpose::Read => reserve,
        };
        self.limit - kept
    }

    fn remaining_ms(&self, now_boot_ms: i64) -> i64 {
        self.used
            .front()
            .map_or(1, |(at, _)| (at + self.interval_ms - now_boot_ms).max(1))
    }
}

/// Why a request did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldWhy {
    /// The exchange banned this address (HTTP 418).
    Banned,
    /// The exchange asked this address to wait (HTTP 429).
    ToldToWait,
    /// The exchange said that the account has too many unfilled orders.
    TooManyOrders,
    /// It would go beyond a limit, or into what is kept for cancelling.
    Budget,
}

/// A request that was not sent, to keep within the exchange's limits: definitely not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    pub why: HeldWhy,
    /// The limit, with its numbers.
    pub message: String,
    /// When it makes sense to try again, at the latest.
    pub retry_after_ms: i64,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not sent: {} (try again after {} ms)",
            self.message, self.retry_after_ms
        )
    }
}

/// A request on its way; its answer settles it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket {
    number: u64,
    cost: Cost,
}

/// What the last answers say about the request weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetStatus {
    /// Weight used in the current minute, requests on their way included.
    pub weight_used: u64,
    /// What the exchange allows in it.
    pub weight_limit: u64,
    /// What of it is kept for stopping.
    pub weight_reserve: u64,
    /// For how long nothing may leave; 0 when it may.
    pub blocked_ms: i64,
    /// For how long no new order may leave; 0 when it may.
    pub orders_blocked_ms: i64,
    /// Requests that were held back since the start.
    pub held_back: u64,
}

/// The exchange's limits and what is used of them.
#[derive(Debug)]
pub(crate) struct Budget {
    counters: Vec<Counter>,
    reserve_weight: u64,
    tickets: u64,
    blocked: Option<(i64, HeldWhy)>,
    orders_blocked_until_boot_ms: i64,
    held_back: u64,
}

impl Budget {
    pub(crate) fn new(reserve_weight: u32) -> Self {
        let assumed = RateLimit {
            rate_limit_type: "REQUEST_WEIGHT".to_owned(),
            interval: "MINUTE".to_owned(),
            interval_count: 1,
            limit: WEIGHT_PER_MINUTE_ASSUMED,
        };
        Self {
            counters: Counter::new(&assumed).into_iter().collect(),
            reserve_weight: u64::from(reserve_weight),
            tickets: 0,
            blocked: None,
            orders_blocked_until_boot_ms: i64::MIN,
            held_back: 0,
        }
    }

    /// Takes over the limits that the exchange tells; what was counted against the same limit stays counted. Limits of a
    /// kind or interval that is not known here are left to the exchange.
    pub(crate) fn set_limits(&mut self, limits: &[RateLimit]) {
        let mut told: Vec<Counter> = limits.iter().take(LIMITS_MAX).filter_map(Counter::new).collect();
        if !told.iter().any(|counter| counter.kind == Kind::Weight) {
            told.extend(
                self.counters
                    .iter()
                    .find(|counter| counter.kind == Kind::Weight)
                    .cloned(),
            );
        }
        for counter in &mut told {
            if let Some(before) = self.counters.iter().find(|before| before.is_same(counter)) {
                *counter = Counter {
                    limit: counter.limit,
                    ..before.clone()
                };
            }
        }
        self.counters = told;
    }

    /// Lets a request leave, or says why not.
    pub(crate) fn admit(&mut self, cost: Cost, now_boot_ms: i64) -> Result<Ticket, HeldBack> {
        if let Err(held) = self.check(cost, now_boot_ms) {
            self.held_back = self.held_back.saturating_add(1);
            return Err(held);
        }
        self.tickets += 1;
        for counter in &mut self.counters {
            counter.in_flight += counter.kind.share(cost);
        }
        Ok(Ticket {
            number: self.tickets,
            cost,
        })
    }

    /// The same question without taking anything.
    pub(crate) fn check(&mut self, cost: Cost, now_boot_ms: i64) -> Result<(), HeldBack> {
        if let Some((until, why)) = self.blocked.filter(|(until, _)| now_boot_ms < *until) {
            let message = match why {
                HeldWhy::Banned => "the exchange has banned this address for a time",
                HeldWhy::ToldToWait | HeldWhy::TooManyOrders | HeldWhy::Budget => {
                    "the exchange asked this address to wait"
                }
            };
            return Err(HeldBack {
                why,
                message: message.to_owned(),
                retry_after_ms: until - now_boot_ms,
            });
        }
        if cost.orders > 0 && now_boot_ms < self.orders_blocked_until_boot_ms {
            return Err(HeldBack {
                why: HeldWhy::TooManyOrders,
                message: "the exchange said that there are too many unfilled orders".to_owned(),
                retry_after_ms: self.orders_blocked_until_boot_ms - now_boot_ms,
            });
        }
        let reserve_weight = self.reserve_weight;
        for counter in &mut self.counters {
            counter.roll(now_boot_ms);
            let share = counter.kind.share(cost);
            let allowed = counter.allowed(cost.purpose, reserve_weight);
            let after = counter.used().saturating_add(counter.in_flight).saturating_add(share);
            if share > 0 && after > allowed {
                return Err(HeldBack {
                    why: HeldWhy::Budget,
                    message: format!(
                        "{}: {} used and {share} more would be above {allowed} of {}, the rest is kept for cancelling and closing",
                        counter.name(),
                        after - share,
                        counter.limit
                    ),
                    retry_after_ms: counter.remaining_ms(now_boot_ms),
                });
            }
        }
        Ok(())
    }

    /// Takes note of an answer. `header` reads a response header; where it tells no count, our own is kept.
    /// `free` says that the exchange took no weight for it, as it does for orders and cancels that succeed.
    pub(crate) fn answered(
        &mut self,
        ticket: &Ticket,
        free: bool,
        header: impl Fn(&str) -> Option<u64>,
        now_boot_ms: i64,
    ) {
        for counter in &mut self.counters {
            let share = counter.kind.share(ticket.cost);
            counter.in_flight = counter.in_flight.saturating_sub(share);
            counter.roll(now_boot_ms);
            match counter.header().and_then(|name| header(&name)) {
                Some(count) => counter.told(count, ticket.number, now_boot_ms),
                None if free && counter.kind == Kind::Weight => {}
                None => counter.add(share, now_boot_ms),
            }
        }
    }

    /// The exchange answered that this address is too fast: nothing leaves until the wait is over.
    pub(crate) fn told_to_wait(&mut self, retry_after_ms: Option<i64>, banned: bool, now_boot_ms: i64) {
        let (assumed, why) = if banned {
            (BAN_MS_ASSUMED, HeldWhy::Banned)
        } else {
            (WAIT_MS_ASSUMED, HeldWhy::ToldToWait)
        };
        let until = now_boot_ms + retry_after_ms.unwrap_or(assumed).clamp(0, WAIT_MS_MAX);
        // A later answer to an earlier request must not shorten the wait.
        if self.blocked.is_none_or(|(before, _)| until > before) {
            self.blocked = Some((until, why));
        }
    }

    /// The exchange answered that the account has too many unfilled orders: it does not say for how long, so the shortest
    /// of its intervals is waited for.
    pub(crate) fn too_many_orders(&mut self, retry_after_ms: Option<i64>, now_boot_ms: i64) {
        let intervals = self
            .counters
            .iter()
            .filter(|c| c.kind == Kind::Orders)
            .map(|c| c.interval_ms);
        let wait_ms = retry_after_ms
            .or(intervals.min())
            .unwrap_or(10_000)
            .clamp(0, WAIT_MS_MAX);
        self.orders_blocked_until_boot_ms = self.orders_blocked_until_boot_ms.max(now_boot_ms + wait_ms);
    }

    pub(crate) fn status(&mut self, now_boot_ms: i64) -> BudgetStatus {
        let left = |until: i64| until.saturating_sub(now_boot_ms).max(0);
        let reserve_weight = self.reserve_weight;
        let weight = self.counters.iter_mut().find(|counter| counter.kind == Kind::Weight);
        let (weight_used, weight_limit, weight_reserve) = weight.map_or((0, 0, 0), |counter| {
            counter.roll(now_boot_ms);
            let kept = counter.limit - counter.allowed(Purpose::Read, reserve_weight);
            (counter.used() + counter.in_flight, counter.limit, kept)
        });
        let blocked_ms = self.blocked.map_or(0, |(until, _)| left(until));
        BudgetStatus {
            weight_used,
            weight_limit,
            weight_reserve,
            blocked_ms,
            orders_blocked_ms: blocked_ms.max(left(self.orders_blocked_until_boot_ms)),
            held_back: self.held_back,
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
