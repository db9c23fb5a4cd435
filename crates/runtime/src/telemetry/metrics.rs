use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use prometheus::{Registry, TextEncoder};

use crate::telemetry::start::process_name;

/// What `GET /metrics` answers with.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const SCOPE: &str = "thunes";

/// Holds what every reader of `/metrics` sees.
pub(super) fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// The source of every instrument. Prometheus and the collector read the same ones.
pub fn meter() -> Meter {
    opentelemetry::global::meter(SCOPE)
}

/// The metrics of this process in Prometheus' text format.
pub fn metrics_text() -> String {
    TextEncoder::new()
        .encode_to_string(&registry().gather())
        .unwrap_or_default()
}

/// Takes one value with its labels.
pub type Observe<'a> = dyn FnMut(f64, &[(&'static str, &str)]) + 'a;

/// A figure that is read when somebody looks. None: it is not known, and does not show. `read` must not wait.
pub fn gauge(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    gauges(name, unit, meaning, move |observe| {
        if let Some(value) = read() {
            observe(value, &[]);
        }
    });
}

/// Like [`gauge`], for a figure that has labels: `read` gives each value with its own.
pub fn gauges(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    read: impl Fn(&mut Observe<'_>) + Send + Sync + 'static,
) {
    let observe = move |instrument: &dyn AsyncInstrument<f64>| {
        read(&mut |value, labels| {
            let own = labels
                .iter()
                .map(|(key, value)| KeyValue::new(*key, (*value).to_owned()));
            let all: Vec<KeyValue> = own.chain([KeyValue::new("service", process_name())]).collect();
            instrument.observe(value, &all);
        });
    };
    meter()
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(meaning)
        .with_callback(observe)
        .build();
}

/// 1 or 0, as metrics say yes and no.
pub fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Whole numbers as metrics have them.
pub fn whole(number: i64) -> f64 {
    // Exact up to 2^53, which no count of ours reaches.
    number as f64
}

/// Milliseconds in the unit of metrics.
pub fn seconds(ms: i64) -> f64 {
    whole(ms) / 1000.0
}
