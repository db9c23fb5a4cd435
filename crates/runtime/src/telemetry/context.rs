use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The W3C trace id of the present span: 32 hex digits, or empty when there is none.
pub fn current_trace_id() -> String {
    present()
        .map(|context| context.trace_id().to_string())
        .unwrap_or_default()
}

/// The present span as a W3C `traceparent`, to be kept with work that is done later; empty when there is none.
pub fn current_traceparent() -> String {
    present().map(|context| traceparent(&context)).unwrap_or_default()
}

/// The trace id in a `traceparent`; empty when it has none.
pub fn trace_id_of(traceparent: &str) -> String {
    parse(traceparent)
        .map(|context| context.trace_id().to_string())
        .unwrap_or_default()
}

/// Hangs a span that was not entered yet under the span of `traceparent`. With an unreadable one it stays as it is.
pub fn continue_trace(span: &Span, traceparent: &str) {
    if let Some(parent) = parse(traceparent) {
        // Without a subscriber there is no span to hang up.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// The ids of the present span, when it has any.
pub(super) fn present() -> Option<SpanContext> {
    Context::map_current(|context| {
        let span = context.span().span_context().clone();
        span.is_valid().then_some(span)
    })
}

fn traceparent(context: &SpanContext) -> String {
    let sampled = u8::from(context.is_sampled());
    format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id())
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_back_as_it_was_written() {
        let context = parse(GOOD).expect("well formed");
        assert_eq!(traceparent(&context), GOOD);
        assert_eq!(trace_id_of(GOOD), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for bad in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert_eq!(current_traceparent(), "", "no span");
    }
}
