//! The container guard: it alone holds the Docker socket, and offers a few calls on the containers of one compose project
//! that bear the drill label. See `README.md`.

mod config;
mod error;
mod grpc;
mod refusal;
mod service;

pub use config::GuardConfig;
pub use error::GuardError;
pub use service::{SERVICE, serve};
