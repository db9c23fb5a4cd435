//! A whole environment on this machine: every service a child process, started in order, each waited for.

mod endpoints;
mod environment;
mod folder_lock;
mod link;
mod plan;
mod ports;
mod restart;
mod service;
mod targets;
mod wiring;

pub use endpoints::{Endpoints, ServiceEndpoint};
pub use environment::{Environment, Progress};
pub use link::Link;
pub use plan::{Exchange, Plan, Telegram};
pub use ports::{PortChoice, Ports};
pub use restart::{RestartEvent, RestartPolicy};
pub use service::Service;
pub use wiring::{SIM_API_KEY, SIM_API_SECRET, STANDIN_CHAT_ID, STANDIN_TOKEN};
