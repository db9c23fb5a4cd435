//! Durable state as every THUNES service keeps it: an SQLite database, answers to repeated requests, an outbox of audit
//! events that are written in the transaction of the change that they tell of, and failpoints for crash tests.

mod database;
mod outbox;
mod requests;

pub use database::{Database, StoreError, begin_write, open};
pub use thunes_failpoint as failpoint;

pub use outbox::{Outbox, OutboxEvent, OutboxStatus, run_outbox};
pub use requests::{Repeated, remember_answer, repeated_answer};
