//! What every process needs: a clock, settings, logs and traces, an orderly end.

pub mod clock;
mod listen;
mod reader;
mod settings;
mod shutdown;
mod telemetry;

pub use listen::{ListenAddress, ListenAddressError};
pub use reader::{ConfigFaults, Fault, KeyDoc, Reader};
pub use settings::{Settings, SettingsError};
pub use shutdown::shutdown_on_signal;
pub use telemetry::{LogFormat, current_trace_id, init_telemetry};
