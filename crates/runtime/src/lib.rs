//! What every process needs: a clock, settings, logs, traces and metrics, an orderly end.

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
pub use telemetry::{
    LogFormat, METRICS_CONTENT_TYPE, OTLP_ENDPOINT_ENV, Observe, Telemetry, TelemetryConfig, TelemetryError,
    continue_trace, current_trace_id, current_traceparent, flag, gauge, gauges, init_telemetry, init_traces, meter,
    metrics_text, process_name, seconds, trace_id_of, whole,
};
