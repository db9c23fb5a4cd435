use std::io::IsTerminal;
use std::time::Duration;

use crate::{ConfigFaults, KeyDoc, Settings};

/// The variable by which other software names its collector; it counts where ours does not.
pub const OTLP_ENDPOINT_ENV: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How log lines look; both go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// The section `[telemetry]`, which every process reads.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryConfig {
    /// None: nothing is exported, and nothing is said about it.
    pub otlp_endpoint: Option<String>,
    /// None: text at a terminal, JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// How often metrics are sent to the collector.
    pub export_interval: Duration,
    /// Share of the traces that are exported, 0 to 1; a caller's decision is kept.
    pub traces_sample_ratio: f64,
}

impl TelemetryConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// Every fault of the section at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("telemetry");
        let doc = "An OpenTelemetry collector for traces, metrics and logs, OTLP over gRPC, such as http://127.0.0.1:4317; \
                   empty: nothing is exported. OTEL_EXPORTER_OTLP_ENDPOINT counts where this is not set.";
        let ours = reader.raw("otlp_endpoint", "", doc);
        let endpoint = ours.or_else(|| settings.environment.get(OTLP_ENDPOINT_ENV).cloned());
        let otlp_endpoint = endpoint.filter(|text| !text.is_empty());
        if let Some(text) = &otlp_endpoint
            && let Err(rule) = accepted_endpoint(text)
        {
            reader.refuse("otlp_endpoint", text, rule);
        }
        let doc = "Log lines on standard error: text, json, or auto: text at a terminal and json elsewhere.";
        let log_format = reader.parsed("log_format", "auto", doc, |text| match text {
            "auto" => Ok(None),
            "text" => Ok(Some(LogFormat::Text)),
            "json" => Ok(Some(LogFormat::Json)),
            _ => Err("auto, text or json".into()),
        });
        let doc = "How often metrics are sent to the collector.";
        let export_interval_ms = reader.integer("export_interval_ms", 10_000, 100..=3_600_000, doc);
        let doc = "Share of the traces that are exported, from 0 to 1; what a caller has decided is kept.";
        let traces_sample_ratio = reader.parsed("traces_sample_ratio", "1", doc, |text| {
            let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.ok_or_else(|| "a number from 0 to 1".into())
        });
        let docs = reader.finish()?;
        let config = Self {
            otlp_endpoint,
            log_format,
            export_interval: Duration::from_millis(u64::try_from(export_interval_ms).unwrap_or(10_000)),
            traces_sample_ratio,
        };
        Ok((config, docs))
    }

    /// The format to use: as set, else by what standard error is.
    pub fn format(&self) -> LogFormat {
        self.log_format.unwrap_or_else(|| {
            if std::io::stderr().is_terminal() {
                LogFormat::Text
            } else {
                LogFormat::Json
            }
        })
    }
}

fn accepted_endpoint(text: &str) -> Result<(), &'static str> {
    let rule = "an address such as http://127.0.0.1:4317, with http or https and without a path";
    let uri: http::Uri = text.parse().map_err(|_| rule)?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if scheme && uri.host().is_some() && bare {
        Ok(())
    } else {
        Err(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &Settings) -> TelemetryConfig {
        TelemetryConfig::read(settings).expect("no faults").0
    }

    #[test]
    fn our_own_endpoint_wins_over_the_standard_variable_also_when_it_is_empty() {
        let mut settings = Settings::default();
        assert_eq!(read(&settings).otlp_endpoint, None);
        settings
            .environment
            .insert(OTLP_ENDPOINT_ENV.into(), "http://127.0.0.1:1".into());
        assert_eq!(read(&settings).otlp_endpoint.as_deref(), Some("http://127.0.0.1:1"));
        let ours = settings.clone().with("telemetry.otlp_endpoint", "http://127.0.0.1:2");
        assert_eq!(read(&ours).otlp_endpoint.as_deref(), Some("http://127.0.0.1:2"));
        let none = settings.with("telemetry.otlp_endpoint", "");
        assert_eq!(read(&none).otlp_endpoint, None);
    }

    #[test]
    fn every_mistake_is_named_with_its_rule() {
        let settings = Settings::default()
            .with("telemetry.otlp_endpoint", "127.0.0.1:4317")
            .with("telemetry.log_format", "xml")
            .with("telemetry.export_interval_ms", "1")
            .with("telemetry.traces_sample_ratio", "1.5");
        let faults = TelemetryConfig::read(&settings).expect_err("four").faults;
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let all = [
            "otlp_endpoint",
            "log_format",
            "export_interval_ms",
            "traces_sample_ratio",
        ];
        assert_eq!(keys, all.map(|key| format!("telemetry.{key}")));
        for bad in ["ftp://a", "http://", "http://a/v1/traces", "http://a?x=1", "nonsense"] {
            assert!(accepted_endpoint(bad).is_err(), "{bad}");
        }
        for good in [
            "http://127.0.0.1:4317",
            "https://collector.example/",
            "http://otel-collector:4317",
        ] {
            assert!(accepted_endpoint(good).is_ok(), "{good}");
        }
    }
}
