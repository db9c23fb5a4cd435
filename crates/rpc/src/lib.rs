//! gRPC as every THUNES process speaks it: servers with health, reflection, traces and bounds; clients with deadlines and
//! the caller's trace; errors with google.rpc details and a stable reason.

mod bind;
mod client;
mod error;
mod peer;
mod server;
mod trace;
mod unix;

pub use bind::{BindError, Listening, bind};
pub use client::{Client, ClientError, connect, connect_unix, deadline};
pub use error::{Refusal, invalid, invalid_fields, reason_of, refusal, unavailable};
pub use peer::{ACTOR_MAX, actor_of, with_actor};
pub use server::{MESSAGE_BYTES_MAX, ServeError, serve};
pub use trace::{Propagate, TraceLayer};
pub use unix::{BindUnixError, UnixListening, UnixPeer, bind_unix, serve_unix, unix_peer};
