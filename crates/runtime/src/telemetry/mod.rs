//! Logs, traces and metrics of a process, and their export to a collector where one is configured.

mod config;
mod context;
mod export;
mod json_lines;
mod metrics;
mod start;

pub use config::{LogFormat, OTLP_ENDPOINT_ENV, TelemetryConfig};
pub use context::{continue_trace, current_trace_id, current_traceparent, trace_id_of};
pub use metrics::{METRICS_CONTENT_TYPE, Observe, flag, gauge, gauges, meter, metrics_text, seconds, whole};
pub use start::{Telemetry, TelemetryError, init_telemetry, init_traces, process_name};
