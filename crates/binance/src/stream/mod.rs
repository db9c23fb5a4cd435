mod backoff;
mod event;
mod frame;
mod requests;
mod run;

pub use event::{AccountPosition, BalanceUpdate, DisconnectWhy, ExecutionReport, ExecutionType, StreamEvent};
pub use requests::Subscribe;
pub use run::{UserStreamConfig, run_user_stream};
