use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use pin_project_lite::pin_project;
use thunes_runtime::{clock, meter, process_name};
use tonic::Code;
use tracing::Span;

use crate::method::Method;

/// Seconds; from what a local call takes to what nobody waits for.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

struct Instruments {
    requests: Counter<u64>,
    duration: Histogram<f64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments {
    requests: meter()
        .u64_counter("thunes_rpc_requests_total")
        .with_description("RPCs that were answered or given up, by their gRPC status")
        .build(),
    duration: meter()
        .f64_histogram("thunes_rpc_duration_seconds")
        .with_unit("s")
        .with_description("From the request to the end of its answer; streams are counted, not timed")
        .with_boundaries(BUCKETS.to_vec())
        .build(),
});

/// Which end of the call this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

/// A call under way. It ends once: with its status, or as canceled when nobody goes on with it.
#[derive(Debug)]
pub(crate) struct Observed {
    method: Method,
    end: End,
    begun: Instant,
    span: Option<Span>,
    ended: bool,
}

impl Observed {
    pub(crate) fn new(method: Method, end: End, span: Span) -> Self {
        Self {
            method,
            end,
            begun: clock::instant(),
            span: Some(span),
            ended: false,
        }
    }

    /// The answer has begun. What a stream still carries belongs to no span: it may go on for days.
    pub(crate) fn answered(&mut self, headers: &HeaderMap) {
        if let Some(code) = status_in(headers) {
            return self.finish(code);
        }
        if self.method.streaming {
            self.end_span(Code::Ok);
        }
    }

    pub(crate) fn failed(&mut self, error: &dyn std::fmt::Display) {
        if let Some(span) = &self.span {
            span.record("otel.status_description", tracing::field::display(error));
        }
        self.finish(Code::Unavailable);
    }

    fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.end_span(code);
        if self.end == End::Server {
            self.count(code);
        }
    }

    fn end_span(&mut self, code: Code) {
        let Some(span) = self.span.take() else { return };
        span.record("rpc.grpc.status_code", code as i32);
        if is_error(self.end, code) {
            span.record("otel.status_code", "ERROR");
        }
    }

    fn count(&self, code: Code) {
        let labels = [
            KeyValue::new("service", process_name()),
            KeyValue::new("rpc_service", self.method.service),
            KeyValue::new("rpc_method", self.method.name),
            KeyValue::new("code", name_of(code)),
        ];
        INSTRUMENTS.requests.add(1, &labels);
        if !self.method.streaming {
            INSTRUMENTS.duration.record(self.begun.elapsed().as_secs_f64(), &labels);
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

/// A refusal is the caller's affair and no fault of the server's.
fn is_error(end: End, code: Code) -> bool {
    match code {
        Code::Ok => false,
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => end == End::Client,
    }
}

fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn status_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

pin_project! {
    /// An answer whose end is noticed.
    pub struct ObservedBody<B> {
        #[pin]
        inner: B,
        // None: not a call that is observed.
        call: Option<Observed>,
    }
}

impl<B> ObservedBody<B> {
    pub(crate) fn new(inner: B, call: Option<Observed>) -> Self {
        Self { inner, call }
    }
}

impl<B: Body> Body for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.trailers_ref().and_then(status_in),
            Poll::Ready(Some(Err(_)) | None) => Some(Code::Unknown),
            Poll::Pending => None,
        };
        if let (Some(code), Some(call)) = (ended, this.call.as_mut()) {
            call.finish(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use thunes_runtime::{Settings, TelemetryConfig, init_telemetry, metrics_text};

    use super::*;

    /// A body of these frames.
    struct Frames(Vec<Frame<Bytes>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(if self.0.is_empty() {
                None
            } else {
                Some(Ok(self.0.remove(0)))
            })
        }
    }

    fn read(frames: Vec<Frame<Bytes>>, call: Observed) {
        let mut body = std::pin::pin!(ObservedBody::new(Frames(frames), Some(call)));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx) {}
    }

    fn call(name: &'static str, streaming: bool) -> Observed {
        let method = Method {
            service: "s",
            name,
            streaming,
        };
        Observed::new(method, End::Server, Span::none())
    }

    fn status(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static(text),
        )])
    }

    #[tokio::test]
    async fn a_call_counts_once_with_the_status_of_its_end_wherever_that_stands() {
        let (config, _) = TelemetryConfig::read(&Settings::default()).expect("defaults");
        let _nothing_to_deliver = init_telemetry("risk", &config).expect("no exporter");
        let data = || Frame::data(Bytes::from_static(b"x"));
        read(vec![data(), Frame::trailers(status("0"))], call("InTrailers", false));
        read(vec![data(), Frame::trailers(status("13"))], call("Broken", false));
        read(vec![data()], call("WithoutTrailers", false));
        let mut refused = call("InHeaders", false);
        refused.answered(&status("9"));
        read(vec![], refused);
        let mut stream = call("Stream", true);
        stream.answered(&HeaderMap::new());
        read(vec![data(), data(), Frame::trailers(status("0"))], stream);
        drop(call("GivenUp", false));
        let text = metrics_text();
        let count = |name: &str, code: &str| {
            let labels = format!("{{code=\"{code}\",rpc_method=\"{name}\",rpc_service=\"s\",service=\"risk\"}} 1\n");
            let total = text.contains(&format!("thunes_rpc_requests_total{labels}"));
            let timed = text.contains(&format!("thunes_rpc_duration_seconds_count{labels}"));
            (total, timed)
        };
        assert_eq!(count("InTrailers", "OK"), (true, true), "{text}");
        assert_eq!(count("Broken", "INTERNAL"), (true, true));
        assert_eq!(count("WithoutTrailers", "UNKNOWN"), (true, true));
        assert_eq!(count("InHeaders", "FAILED_PRECONDITION"), (true, true));
        assert_eq!(count("Stream", "OK"), (true, false), "streams are not timed");
        assert_eq!(count("GivenUp", "CANCELLED"), (true, true));
        assert_eq!(
            text.matches("thunes_rpc_requests_total{").count(),
            6,
            "each counts once"
        );
    }
}
