use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use opentelemetry::propagation::{Extractor, Injector};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::method::Method;
use crate::observed::{End, Observed, ObservedBody};

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<ObservedBody<B>>, E>> + Send>>;

/// A span with what OpenTelemetry calls the parts of a call; the kind must be a literal.
macro_rules! call_span {
    ($kind:literal, $method:expr, $address:expr) => {
        tracing::info_span!(
            "rpc",
            otel.name = format!("{}/{}", $method.service, $method.name),
            otel.kind = $kind,
            otel.status_code = tracing::field::Empty,
            otel.status_description = tracing::field::Empty,
            rpc.system = "grpc",
            rpc.service = $method.service,
            rpc.method = $method.name,
            rpc.grpc.status_code = tracing::field::Empty,
            server.address = $address,
        )
    };
}

/// A channel that passes the caller's trace on, with a span for each call. It connects when it is first used and again
/// after every loss.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    authority: String,
}

impl Client {
    pub(crate) fn new(channel: Channel, authority: String) -> Self {
        Self { channel, authority }
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<ObservedBody<Body>>;
    type Error = tonic::transport::Error;
    type Future = Answer<Body, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = Method::of(request.uri().path());
        let span = if method.is_traced() {
            call_span!("client", method, self.authority.as_str())
        } else {
            Span::none()
        };
        let context = span.context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Outgoing(request.headers_mut()));
        });
        let mut call = Observed::new(method, End::Client, span.clone());
        let answer = self.channel.call(request);
        let observed = async move {
            match answer.await {
                Ok(response) => {
                    call.answered(response.headers());
                    Ok(response.map(|body| ObservedBody::new(body, Some(call))))
                }
                Err(error) => {
                    call.failed(&error);
                    Err(error)
                }
            }
        };
        Box::pin(observed.instrument(span))
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::from_bytes(key.as_bytes()), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Opens a span for every call, as a child of the caller's, and counts and times it to the end of its answer.
#[derive(Debug, Clone, Copy)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for TraceService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Send,
{
    type Response = Response<ObservedBody<B>>;
    type Error = S::Error;
    type Future = Answer<B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if !is_grpc(request.headers()) {
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(answer.await?.map(|body| ObservedBody::new(body, None))) });
        }
        let method = Method::of(request.uri().path());
        let span = if method.is_traced() {
            let span = call_span!("server", method, tracing::field::Empty);
            let parent = opentelemetry::global::get_text_map_propagator(|p| p.extract(&Incoming(request.headers())));
            // Without a subscriber there is no span to hang on; the call goes on untraced.
            let _ = span.set_parent(parent);
            span
        } else {
            Span::none()
        };
        let mut call = Observed::new(method, End::Server, span.clone());
        let answer = self.inner.call(request);
        let observed = async move {
            let response = answer.await?;
            call.answered(response.headers());
            Ok(response.map(|body| ObservedBody::new(body, Some(call))))
        };
        Box::pin(observed.instrument(span))
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
