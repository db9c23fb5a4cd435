use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatchConfig, BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider,
};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter};

/// How long one delivery may take; a collector that hangs costs nothing but what waits in the queues.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// What waits at most; what comes on top is dropped.
const SPANS_WAITING_MAX: usize = 8192;
const LOGS_WAITING_MAX: usize = 4096;
const BATCH_MAX: usize = 512;
const BATCH_INTERVAL: Duration = Duration::from_secs(1);

const TRACES: u8 = 1;
const METRICS: u8 = 2;
const LOGS: u8 = 4;

/// Which signals cannot be delivered. Says so once when the first begins to fail, and once when none does any more.
#[derive(Debug, Default)]
struct Health {
    failing: AtomicU8,
}

impl Health {
    fn note(&self, signal: u8, endpoint: &str, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                let before = self.failing.fetch_and(!signal, Ordering::Relaxed);
                if before == signal {
                    tracing::info!(endpoint, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                let before = self.failing.fetch_or(signal, Ordering::Relaxed);
                if before == 0 {
                    tracing::warn!(endpoint, %error, "the collector does not take telemetry; what does not fit is dropped");
                }
            }
        }
    }
}

/// An exporter whose failures are told once, not each time.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    signal: u8,
    collector: Arc<Collector>,
}

impl<E> Watched<E> {
    fn note(&self, result: OTelSdkResult) -> OTelSdkResult {
        self.collector
            .health
            .note(self.signal, &self.collector.endpoint, &result);
        result
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.note(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.note(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.note(result)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

/// Where telemetry goes. Everything made here must be made inside the runtime, and sends from threads of its own.
#[derive(Debug)]
pub(super) struct Collector {
    endpoint: String,
    health: Health,
}

impl Collector {
    pub(super) fn new(endpoint: &str) -> Arc<Self> {
        Arc::new(Self {
            endpoint: endpoint.to_owned(),
            health: Health::default(),
        })
    }

    fn configured<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let builder = builder.with_endpoint(&self.endpoint).with_timeout(EXPORT_TIMEOUT);
        if self.endpoint.starts_with("https:") {
            builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        } else {
            builder
        }
    }

    fn watched<E>(self: &Arc<Self>, inner: E, signal: u8) -> Watched<E> {
        Watched {
            inner,
            signal,
            collector: Arc::clone(self),
        }
    }

    pub(super) fn spans(self: &Arc<Self>) -> Result<BatchSpanProcessor, ExporterBuildError> {
        let exporter = self
            .configured(opentelemetry_otlp::SpanExporter::builder().with_tonic())
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_WAITING_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(BATCH_INTERVAL)
            .build();
        Ok(BatchSpanProcessor::new(self.watched(exporter, TRACES), config))
    }

    pub(super) fn logs(self: &Arc<Self>, resource: Resource) -> Result<SdkLoggerProvider, ExporterBuildError> {
        let exporter = self
            .configured(opentelemetry_otlp::LogExporter::builder().with_tonic())
            .build()?;
        let config = LogBatchConfig::default()
            .with_max_queue_size(LOGS_WAITING_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(BATCH_INTERVAL)
            .build();
        let processor = BatchLogProcessor::builder(self.watched(exporter, LOGS))
            .with_batch_config(config)
            .build();
        Ok(SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_log_processor(processor)
            .build())
    }

    pub(super) fn metrics(
        self: &Arc<Self>,
        interval: Duration,
    ) -> Result<PeriodicReader<impl PushMetricExporter>, ExporterBuildError> {
        let exporter = self
            .configured(opentelemetry_otlp::MetricExporter::builder().with_tonic())
            .build()?;
        let watched = self.watched(exporter, METRICS);
        Ok(PeriodicReader::builder(watched).with_interval(interval).build())
    }
}
