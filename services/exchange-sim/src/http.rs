//! The HTTP side: a listener whose connections can be cut without an answer, and the REST entry.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use axum::serve::{IncomingStream, Listener};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::api::{Api, Call, Endpoint, Handled, Outcome, Params, rest_payload};
use crate::domain::ApiError;

/// Bytes a request body may have.
const MAX_BODY: usize = 64 * 1024;

/// How long a request's body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A connection that can be told to break instead of answering.
pub struct Cuttable {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

/// What a handler knows of its connection.
#[derive(Clone)]
pub struct Peer {
    /// The other side.
    pub address: IpAddr,
    cut: Arc<AtomicBool>,
}

impl Peer {
    /// From now on every write fails, so that the server closes the connection with nothing sent.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// A listener of such connections.
pub struct CuttableListener(pub TcpListener);

impl Listener for CuttableListener {
    type Io = Cuttable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are small and must not wait for the next packet.
        let _ = stream.set_nodelay(true);
        (
            Cuttable {
                stream,
                cut: Arc::default(),
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        Self {
            address: stream.remote_addr().ip(),
            cut: stream.io().cut.clone(),
        }
    }
}

impl Cuttable {
    fn refuse_if_cut(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Every REST request.
pub async fn rest(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return answer(Err(refusal)),
    };
    // What has arrived is carried out, whether or not the caller is still there for the answer.
    let carried_out = tokio::spawn(async move { carry_out(&api, &head, &body, &peer).await });
    carried_out.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request ended in a panic");
        answer(Err(ApiError::new(
            -1000,
            "An unknown error occurred while processing the request.",
        )
        .with_status(500)))
    })
}

async fn carry_out(api: &Api, head: &Parts, body: &str, peer: &Peer) -> Response<Body> {
    let query = head.uri.query().unwrap_or("");
    let params = match Params::from_query_and_body(query, body) {
        Ok(params) => params,
        Err(refusal) => return answer(Err(refusal)),
    };
    let (method, path) = (head.method.as_str(), head.uri.path());
    let payload = rest_payload(query, body);
    let api_key = head.headers.get("x-mbx-apikey").and_then(|value| value.to_str().ok());
    let call = Call {
        method,
        path,
        params: &params,
        api_key,
        payload: &payload,
        session: None,
        address: peer.address,
    };
    let handled = api.handle(&call, Endpoint::of_rest(method, path)).await;
    to_response(handled, peer)
}

async fn read_body(body: Body) -> Result<String, ApiError> {
    let late = || ApiError::new(-1101, format!("The body did not arrive within {BODY_WITHIN:?}.")).with_status(408);
    let arrived = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY)).await;
    let bytes = arrived.map_err(|_| late())?.map_err(|_| {
        ApiError::new(
            -1101,
            format!("The body is larger than {MAX_BODY} bytes or was cut off."),
        )
        .with_status(413)
    })?;
    String::from_utf8(bytes.to_vec()).map_err(|_| ApiError::new(-1100, "Illegal characters found in a parameter."))
}

fn to_response(handled: Handled, peer: &Peer) -> Response<Body> {
    let mut response = match handled.outcome {
        Outcome::Answer(result) => answer(result),
        Outcome::Hang => {
            peer.cut();
            Response::new(Body::empty())
        }
        Outcome::Firewall => return firewall(),
    };
    let headers = response.headers_mut();
    for name in ["x-mbx-used-weight", "x-mbx-used-weight-1m"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(handled.used_weight));
    }
    if let Some(count) = handled.order_count {
        headers.insert(
            HeaderName::from_static("x-mbx-order-count-10s"),
            HeaderValue::from(count.in_10s),
        );
        headers.insert(
            HeaderName::from_static("x-mbx-order-count-1d"),
            HeaderValue::from(count.in_day),
        );
    }
    response
}

fn firewall() -> Response<Body> {
    let mut response = Response::new(Body::from("<html><body><h1>403 Forbidden</h1></body></html>"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// An answer as JSON.
pub fn answer(result: Result<Value, ApiError>) -> Response<Body> {
    let (status, body, retry_after_s) = match result {
        Ok(body) => (200, body, None),
        Err(refusal) => (refusal.status, refusal.body(), refusal.retry_after_s),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
