use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::telemetry::config::{LogFormat, TelemetryConfig};
use crate::telemetry::export::Collector;
use crate::telemetry::json_lines::JsonLines;
use crate::telemetry::metrics::registry;

/// Our own spans and log lines begin so; those of libraries are not exported, above all not those of the exporter itself.
const OUR_TARGETS: &str = "thunes";
const LEVELS_ENV: &str = "THUNES_LOG";
const DEFAULT_LEVELS: &str = "info,h2=warn,hyper=warn,sqlx=warn";

static PROCESS: OnceLock<&'static str> = OnceLock::new();

/// What this process is called in its metrics; `thunes` before telemetry is started.
pub fn process_name() -> &'static str {
    PROCESS.get().copied().unwrap_or("thunes")
}

/// What has to be delivered before the process ends.
#[derive(Debug, Default)]
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Delivers what waits for the collector, for `limit` at most. Returns at once where nothing is exported.
    pub async fn shutdown(self, limit: Duration) {
        let (done, ended) = mpsc::channel::<()>();
        // Threads of their own: one signal that hangs must not hold up the others, and nobody waits past the limit.
        if let Some(traces) = self.traces {
            let done = done.clone();
            std::thread::spawn(move || (traces.shutdown_with_timeout(limit), done));
        }
        if let Some(metrics) = self.metrics {
            let done = done.clone();
            std::thread::spawn(move || (metrics.shutdown(), done));
        }
        if let Some(logs) = self.logs {
            let done = done.clone();
            std::thread::spawn(move || (logs.shutdown_with_timeout(limit), done));
        }
        drop(done);
        // Ends when every sender is gone, which is when all have delivered.
        let _ = tokio::task::spawn_blocking(move || ended.recv_timeout(limit)).await;
    }
}

/// Telemetry cannot be exported to where the settings say.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: no exporter can be made for it: {0}; correct it, or leave it empty")]
pub struct TelemetryError(#[from] ExporterBuildError);

/// Starts logs, traces and metrics of a service. Levels come from `THUNES_LOG` (default `info`). Spans always have W3C ids
/// and pass them on; they are exported, with logs and metrics, where a collector is configured. Must be called inside the
/// runtime; a second start in one process (tests) keeps the first.
///
/// # Errors
/// When there can be no exporter for the endpoint.
pub fn init_telemetry(process: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let resource = start(process);
    let collector = config.otlp_endpoint.as_deref().map(Collector::new);
    let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone());
    let mut exported = Telemetry::default();
    if let Some(collector) = &collector {
        metrics = metrics.with_reader(collector.metrics(config.export_interval)?);
        exported.logs = Some(collector.logs(resource.clone())?);
    }
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(registry().clone())
        .without_units()
        .without_counter_suffixes()
        .scope_info_enabled(false)
        .build();
    // Fails only when this process has a reader of the registry already.
    if let Ok(prometheus) = prometheus {
        let provider = metrics.with_reader(prometheus).build();
        opentelemetry::global::set_meter_provider(provider.clone());
        exported.metrics = collector.is_some().then_some(provider);
    }
    let provider = tracer_provider(collector.as_ref(), config, resource)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format() {
        LogFormat::Text => lines.with_target(false).with_ansi(false).boxed(),
        LogFormat::Json => lines.event_format(JsonLines { service: process }).boxed(),
    };
    let logs = exported.logs.as_ref().map(|provider| {
        let bridge = OpenTelemetryTracingBridge::new(provider);
        bridge.with_filter(levels()).with_filter(filter_fn(is_ours))
    });
    let _ = tracing_subscriber::registry()
        .with(traces_layer(provider.tracer(process)))
        .with(lines.with_filter(levels()))
        .with(logs)
        .try_init();
    exported.traces = collector.is_some().then_some(provider);
    Ok(exported)
}

/// Starts traces alone, for a command: nothing is printed. Spans have W3C ids and pass them on; without a collector that is
/// all, no thread is started and nothing is sent.
///
/// # Errors
/// When there can be no exporter for the endpoint.
pub fn init_traces(process: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let resource = start(process);
    let collector = config.otlp_endpoint.as_deref().map(Collector::new);
    let provider = tracer_provider(collector.as_ref(), config, resource)?;
    let _ = tracing_subscriber::registry()
        .with(traces_layer(provider.tracer(process)))
        .try_init();
    Ok(Telemetry {
        traces: collector.is_some().then_some(provider),
        ..Telemetry::default()
    })
}

/// Names the process, and what it is.
fn start(process: &'static str) -> Resource {
    let _ = PROCESS.set(process);
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", process),
            KeyValue::new("service.namespace", "thunes"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .build()
}

fn tracer_provider(
    collector: Option<&std::sync::Arc<Collector>>,
    config: &TelemetryConfig,
    resource: Resource,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let root = Sampler::TraceIdRatioBased(config.traces_sample_ratio);
    let mut builder = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(root)));
    if let Some(collector) = collector {
        builder = builder.with_span_processor(collector.spans()?);
    }
    let provider = builder.build();
    opentelemetry::global::set_tracer_provider(provider.clone());
    Ok(provider)
}

fn traces_layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours =
        |metadata: &Metadata<'_>| metadata.is_span() && *metadata.level() <= tracing::Level::INFO && is_ours(metadata);
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(ours))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OUR_TARGETS)
}

fn levels() -> EnvFilter {
    EnvFilter::try_from_env(LEVELS_ENV).unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVELS))
}
