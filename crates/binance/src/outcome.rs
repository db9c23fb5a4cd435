use std::fmt;

use crate::{ErrorKind, HeldBack};

/// How a call ended. Each variant says something else about whether the request had an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T> {
    Answer(T),
    /// The exchange turned it away: definitely not executed.
    Rejected(Rejection),
    /// No connection could be made, so not a byte left: definitely not executed.
    NotSent {
        why: String,
    },
    /// It may have been executed: ask the exchange before anything else.
    Unknown(Doubt),
    /// Too many requests or orders: definitely not executed.
    RateLimited(RateLimited),
    /// Kept from leaving, to stay within the exchange's limits: definitely not executed.
    HeldBack(HeldBack),
}

/// The same, for callers who only read and treat every other ending alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the exchange rejected the request: {0}")]
    Rejected(Rejection),
    #[error("the exchange cannot be reached: {why}")]
    NotSent { why: String },
    #[error("the exchange's answer is unclear: {0}")]
    Unknown(Doubt),
    #[error("the exchange limits the rate: {0}")]
    RateLimited(RateLimited),
    #[error("{0}")]
    HeldBack(HeldBack),
}

impl<T> Outcome<T> {
    /// The answer, or how the call ended instead.
    ///
    /// # Errors
    /// Everything but [`Outcome::Answer`].
    pub fn into_result(self) -> Result<T, CallError> {
        match self {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Rejected(rejection) => Err(CallError::Rejected(rejection)),
            Outcome::NotSent { why } => Err(CallError::NotSent { why }),
            Outcome::Unknown(doubt) => Err(CallError::Unknown(doubt)),
            Outcome::RateLimited(limited) => Err(CallError::RateLimited(limited)),
            Outcome::HeldBack(held) => Err(CallError::HeldBack(held)),
        }
    }

    /// Changes the answer and keeps every other ending.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Answer(answer) => Outcome::Answer(change(answer)),
            Outcome::Rejected(rejection) => Outcome::Rejected(rejection),
            Outcome::NotSent { why } => Outcome::NotSent { why },
            Outcome::Unknown(doubt) => Outcome::Unknown(doubt),
            Outcome::RateLimited(limited) => Outcome::RateLimited(limited),
            Outcome::HeldBack(held) => Outcome::HeldBack(held),
        }
    }
}

/// A refusal of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub kind: ErrorKind,
    pub http_status: u16,
    /// None when the firewall answered.
    pub code: Option<i32>,
    /// The exchange's words.
    pub message: String,
}

impl Rejection {
    /// The filter that failed (such as `LOT_SIZE`), if one did.
    pub fn filter(&self) -> Option<&str> {
        self.message
            .strip_prefix("Filter failure: ")
            .map(|name| name.trim_end_matches('.').trim())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code} {}", self.message),
            None => write!(f, "HTTP {} {}", self.http_status, self.message),
        }
    }
}

/// Why nobody can tell whether the request had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DoubtWhy {
    /// No answer in time.
    TimedOut,
    /// The connection broke after it was made.
    ConnectionLost,
    /// HTTP 5xx.
    ServerError,
    /// The exchange says itself that it does not know (-1006, -1007 and the like).
    ExecutionUnknown,
    /// An answer that cannot be read: no JSON, fields missing, or larger than the bound.
    UnreadableAnswer,
    /// A redirect or another status that the API does not use.
    UnexpectedStatus,
    /// The client order id is open already: that order was accepted.
    DuplicateOrderSent,
    /// An error that is not documented.
    UnlistedError,
}

/// An unclear ending, with all that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub why: DoubtWhy,
    pub http_status: Option<u16>,
    pub code: Option<i32>,
    /// For people; holds no key, signature or address.
    pub message: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.why)?;
        if let Some(status) = self.http_status {
            write!(f, ", HTTP {status}")?;
        }
        if let Some(code) = self.code {
            write!(f, ", {code}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A refusal for being too fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimited {
    /// How long to wait, where the exchange says it. Order limits (-1015) don't.
    pub retry_after_ms: Option<i64>,
    /// The address is banned (HTTP 418): anything sent before the wait is over makes it longer.
    pub banned: bool,
    pub http_status: u16,
    pub code: Option<i32>,
    /// The exchange's words.
    pub message: String,
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.banned {
            "banned"
        } else {
            "too many requests or orders"
        };
        write!(f, "{what}, {}", self.message)?;
        match self.retry_after_ms {
            Some(ms) => write!(f, " (retry after {ms} ms)"),
            None => Ok(()),
        }
    }
}
