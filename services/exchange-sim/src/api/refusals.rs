//! The latest refused orders and cancels, for drills that must show that a late order was refused, and where.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::Call;
use crate::domain::ApiError;

/// Refusals kept; they live in memory only.
const MAX_KEPT: usize = 1_000;

/// Where a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Key, signature, time or parameters.
    Arrival,
    /// The receive window had passed when matching would have taken it.
    BeforeMatching,
    /// The order itself.
    Order,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// This machine's clock, UTC ms.
    pub at_ms: i64,
    /// Where.
    pub stage: Stage,
    /// The exchange's code.
    pub code: i32,
    /// The exchange's message.
    pub msg: String,
    /// What was asked.
    pub method: String,
    /// See `method`.
    pub path: String,
    /// As sent, if sent.
    pub api_key: Option<String>,
    /// See `api_key`.
    pub client_order_id: Option<String>,
    /// See `api_key`.
    pub symbol: Option<String>,
    /// See `api_key`.
    pub side: Option<String>,
    /// See `api_key`.
    pub timestamp: Option<String>,
    /// See `api_key`.
    pub recv_window: Option<String>,
}

/// The latest refusals.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    /// Keeps one.
    pub fn record(&self, call: &Call<'_>, stage: Stage, refusal: &ApiError, at_ms: i64) {
        let sent = |name: &str| {
            call.params
                .get(name)
                .map(|value| value.chars().take(64).collect::<String>())
        };
        let kept = Refusal {
            at_ms,
            stage,
            code: refusal.code,
            msg: refusal.msg.clone(),
            method: call.method.to_owned(),
            path: call.path.to_owned(),
            api_key: call.api_key.map(|key| key.chars().take(128).collect()),
            client_order_id: sent("newClientOrderId").or_else(|| sent("origClientOrderId")),
            symbol: sent("symbol"),
            side: sent("side"),
            timestamp: sent("timestamp"),
            recv_window: sent("recvWindow"),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_KEPT {
            all.pop_front();
        }
        all.push_back(kept);
    }

    /// All kept, oldest first.
    pub fn all(&self) -> Vec<Refusal> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}
