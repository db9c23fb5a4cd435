use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::telemetry::context::present;

/// One JSON object a line: when, how bad, from where, what, the fields, and the span with its W3C ids.
#[derive(Debug)]
pub(super) struct JsonLines {
    pub service: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".into(), clock::iso_utc(clock::now_ms()).into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("target".into(), metadata.target().into());
        // Its place in the line, before the fields.
        line.insert("message".into(), Value::Null);
        line.insert("service".into(), self.service.into());
        if let Some(span) = ctx.lookup_current() {
            line.insert("span".into(), span.name().into());
        }
        if let Some(ids) = present() {
            line.insert("trace_id".into(), ids.trace_id().to_string().into());
            line.insert("span_id".into(), ids.span_id().to_string().into());
        }
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        for (name, value) in fields.0 {
            // A field must not pass itself off as one of ours.
            let taken = name != "message" && line.contains_key(&name);
            line.insert(if taken { format!("field.{name}") } else { name }, value);
        }
        if line.get("message").is_some_and(Value::is_null) {
            line.remove("message");
        }
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn line_of(say: impl FnOnce()) -> Value {
        let kept = Kept::default();
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(kept.clone())
            .event_format(JsonLines { service: "risk" });
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(tracer))
            .with(lines);
        tracing::subscriber::with_default(subscriber, say);
        let text = String::from_utf8(kept.0.lock().expect("whole").clone()).expect("text");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn a_line_inside_a_span_has_its_name_and_ids() {
        let line = line_of(|| {
            tracing::info_span!("order").in_scope(|| tracing::warn!(count = 3, ok = true, who = "a\"b", "said\nthis"));
        });
        assert_eq!(line["message"], "said\nthis");
        assert_eq!((&line["level"], &line["service"]), (&"WARN".into(), &"risk".into()));
        assert_eq!(
            (&line["count"], &line["ok"], &line["who"]),
            (&3.into(), &true.into(), &"a\"b".into())
        );
        assert_eq!(line["span"], "order");
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
    }

    #[test]
    fn a_line_outside_every_span_has_no_ids() {
        let line = line_of(|| tracing::info!("alone"));
        assert!(line.get("trace_id").is_none() && line.get("span").is_none(), "{line}");
    }

    #[test]
    fn a_field_cannot_take_the_place_of_one_of_ours() {
        let line = line_of(|| tracing::info!(service = "position", level = "none", "x"));
        assert_eq!((&line["service"], &line["level"]), (&"risk".into(), &"INFO".into()));
        assert_eq!(line["field.service"], "position");
    }
}
