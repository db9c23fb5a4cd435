//! A command as the root of its trace.

use std::time::Duration;

use clap::ArgMatches;
use thunes_runtime::{Settings, Telemetry, TelemetryConfig, init_traces};
use tracing::Span;

use crate::call::Context;

/// How long a command that has its answer still waits for the collector.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// These start telemetry themselves, or call nobody.
const NOT_COMMANDS: &[&str] = &["serve", "guard", "up", "measure", "config", "health"];
/// These make traces of their own: one for each order or step, none for the whole.
const MANY_TRACES: &[&str] = &["trade loop", "drill run"];

/// A command under way. Its trace reaches as far as its calls; without a collector nothing is sent.
pub struct Traced {
    telemetry: Telemetry,
    span: Span,
}

impl Traced {
    /// `path` names the command, such as `trade` or `kill-switch activate`; its arguments are nobody's business.
    pub fn start(path: &str, context: &Context) -> Self {
        let first = path.split(' ').next().unwrap_or_default();
        if NOT_COMMANDS.contains(&first) {
            return Self::nothing();
        }
        // Settings that cannot be used must not keep anybody from stopping trade; `thunes config check` names them.
        let settings = Settings::load(context.config.as_deref()).unwrap_or_default();
        let config = TelemetryConfig::read(&settings).map(|(config, _)| config);
        let telemetry = config.ok().and_then(|config| init_traces("thunes-cli", &config).ok());
        let Some(telemetry) = telemetry else {
            return Self::nothing();
        };
        let span = if MANY_TRACES.contains(&path) {
            Span::none()
        } else {
            let name = format!("thunes {path}");
            tracing::info_span!(
                "command",
                otel.name = name,
                exit_code = tracing::field::Empty,
                otel.status_code = tracing::field::Empty
            )
        };
        Self { telemetry, span }
    }

    fn nothing() -> Self {
        Self {
            telemetry: Telemetry::default(),
            span: Span::none(),
        }
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Ends the trace and sends it.
    pub async fn end(self, exit: &anyhow::Result<u8>) {
        match exit {
            Ok(code) => self.span.record("exit_code", i64::from(*code)),
            Err(_) => self.span.record("otel.status_code", "ERROR"),
        };
        drop(self.span);
        self.telemetry.shutdown(FLUSH_MAX).await;
    }
}

/// The words of the command, without its arguments.
pub fn command_path(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut level = matches.subcommand();
    while let Some((word, inner)) = level {
        words.push(word);
        level = inner.subcommand();
    }
    words.join(" ")
}
