//! gRPC as every THUNES process speaks it: servers with health, reflection, traces and bounds; clients with deadlines and
//! the caller's trace; errors with google.rpc details and a stable reason.

mod client;
mod error;
mod exposition;
mod method;
mod observed;
mod peer;
mod server;
mod trace;

pub use client::{ClientError, connect, deadline};
pub use error::{Refusal, invalid, invalid_fields, reason_of, refusal, unavailable};
pub use exposition::{METRICS_PATH, metrics_route};
pub use peer::{ACTOR_MAX, actor_of, with_actor};
pub use server::{BindError, Listening, MESSAGE_BYTES_MAX, ServeError, bind, serve};
pub use trace::{Client, TraceLayer};
