//! gRPC as every THUNES process speaks it: servers with health, reflection, traces and bounds; clients with deadlines and
//! the caller's trace; errors with google.rpc details and a stable reason.

mod client;
mod error;
mod peer;
mod server;
mod trace;

pub use client::{connect, deadline, Client, ClientError};
pub use error::{invalid, invalid_fields, reason_of, refusal, unavailable, Refusal};
pub use peer::{actor_of, with_actor, ACTOR_MAX};
pub use server::{bind, serve, BindError, Listening, ServeError, MESSAGE_BYTES_MAX};
pub use trace::{Propagate, TraceLayer};
