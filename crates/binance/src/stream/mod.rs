mod backoff;
mod event;
mod frame;
mod run;

pub use event::{AccountPosition, BalanceUpdate, DisconnectWhy, ExecutionReport, ExecutionType, StreamEvent};
pub use run::{UserStreamConfig, run_user_stream};
