//! gRPC as every THUNES process speaks it: servers with health, reflection, traces and bounds; clients with deadlines and
//! the caller's trace; errors with google.rpc details and a stable reason.

mod bind;
mod client;
mod error;
mod exposition;
mod method;
mod observed;
mod peer;
mod server;
mod trace;
mod unix;

pub use bind::{BindError, Listening, bind};
pub use client::{ClientError, connect, connect_unix, deadline};
pub use error::{Refusal, invalid, invalid_fields, reason_of, refusal, unavailable};
pub use exposition::{METRICS_PATH, metrics_route};
pub use peer::{ACTOR_MAX, actor_of, with_actor};
pub use server::{MESSAGE_BYTES_MAX, ServeError, serve};
pub use trace::{Client, TraceLayer};
pub use unix::{BindUnixError, UnixListening, UnixPeer, bind_unix, serve_unix, unix_peer};
