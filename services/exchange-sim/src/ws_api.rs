//! The WebSocket API: requests in, answers and the user data stream out, on one connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Call, Endpoint, Outcome, Params, account_event, ws_payload};
use crate::domain::{AccountEvent, ApiError};
use crate::faults::FaultKind;
use crate::http::Peer;

/// Bytes a request frame may have.
const MAX_FRAME: usize = 64 * 1024;
/// Subscriptions on one connection.
const MAX_SUBSCRIPTIONS: usize = 100;
/// How long the server waits for a pong.
const PONG_WITHIN: Duration = Duration::from_secs(60);

/// What every stream connection needs besides the API.
pub struct Streams {
    /// The API.
    pub api: Arc<Api>,
    /// Rises when all streams are to be cut.
    pub cut: watch::Sender<u64>,
    /// Faults that strike the open streams at once: id and kind. Each connection counts its own hits.
    pub notices: broadcast::Sender<(u64, FaultKind)>,
    /// Open stream connections.
    pub open: AtomicUsize,
    /// Time between pings.
    pub ping_every: Duration,
    /// Ends all connections.
    pub shutdown: CancellationToken,
}

/// Counts a connection while it lives.
pub struct OpenGuard<'a>(&'a AtomicUsize);

impl<'a> OpenGuard<'a> {
    /// Counts one more.
    pub fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(open)
    }
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Upgrades to the WebSocket API.
pub async fn upgrade(
    State(streams): State<Arc<Streams>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |socket| async move {
            Connection::new(streams, peer).run(socket).await;
        })
}

struct Session {
    api_key: String,
    account: String,
    since_ms: i64,
}

struct Connection {
    streams: Arc<Streams>,
    peer: Peer,
    connected_ms: i64,
    session: Option<Session>,
    subscriptions: BTreeMap<u64, Subscription>,
    next_subscription: u64,
}

struct Subscription {
    account: String,
    // One that came with the session ends with it.
    by_session: bool,
}

impl Connection {
    fn new(streams: Arc<Streams>, peer: Peer) -> Self {
        let connected_ms = streams.api.exchange_now_ms();
        Self {
            streams,
            peer,
            connected_ms,
            session: None,
            subscriptions: BTreeMap::new(),
            next_subscription: 0,
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let streams = self.streams.clone();
        let _open = OpenGuard::new(&streams.open);
        let mut events = streams.api.engine.account_events();
        let mut cut = streams.cut.subscribe();
        let mut notices = streams.notices.subscribe();
        let mut pings = interval_at(Instant::now() + streams.ping_every, streams.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_pong = Instant::now();
        loop {
            let sent = tokio::select! {
                biased;
                () = streams.shutdown.cancelled() => {
                    let _ = socket.send(Message::Close(None)).await;
                    return;
                }
                _ = cut.changed() => return,
                Ok((fault, kind)) = notices.recv() => self.take_notice(&mut socket, fault, kind).await,
                // Requests go first: a request's answer is ready before the events that it caused are read here.
                message = socket.recv() => match message {
                    None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return,
                    Some(Ok(Message::Text(text))) => self.answer(&mut socket, text.as_str()).await,
                    Some(Ok(Message::Pong(_))) => { last_pong = Instant::now(); Ok(()) }
                    Some(Ok(Message::Binary(_) | Message::Ping(_))) => Ok(()),
                },
                event = events.recv() => match event {
                    Ok(event) => self.forward(&mut socket, &event).await,
                    // A client that cannot keep up is cut off, as on the exchange; it must take a new snapshot.
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => return,
                },
                _ = pings.tick() => {
                    if last_pong.elapsed() > PONG_WITHIN {
                        return;
                    }
                    let payload = streams.api.exchange_now_ms().to_string();
                    socket.send(Message::Ping(payload.into_bytes().into())).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// What a fault says to an open connection, counted as its hits.
    async fn take_notice(&mut self, socket: &mut WebSocket, fault: u64, kind: FaultKind) -> Result<(), axum::Error> {
        match kind {
            FaultKind::TerminateUserStreams => {
                let ended = self.subscriptions.len();
                self.end_subscriptions(socket, |_| true).await;
                let faults = &self.streams.api.faults;
                faults.record_hits(fault, u64::try_from(ended).unwrap_or(u64::MAX));
                Ok(())
            }
            FaultKind::ServerShutdown => {
                let event = json!({ "e": "serverShutdown", "E": self.streams.api.exchange_now_ms() });
                let frame = json!({ "event": event });
                socket.send(Message::Text(frame.to_string().into())).await?;
                self.streams.api.faults.record_hits(fault, 1);
                Ok(())
            }
            // The others strike requests or events, never a connection.
            _ => Ok(()),
        }
    }

    async fn forward(&self, socket: &mut WebSocket, event: &AccountEvent) -> Result<(), axum::Error> {
        for (id, subscription) in &self.subscriptions {
            if subscription.account == event.account() {
                let event = account_event(event, self.streams.api.exchange_now_ms());
                let frame = json!({ "subscriptionId": id, "event": event });
                socket.send(Message::Text(frame.to_string().into())).await?;
            }
        }
        Ok(())
    }

    async fn answer(&mut self, socket: &mut WebSocket, text: &str) -> Result<(), axum::Error> {
        let mut frame = match parse(text) {
            Ok(request) => {
                let id = request.id.clone();
                match self.handle(socket, request).await {
                    Some(frame) => frame,
                    None => {
                        self.peer.cut();
                        tracing::debug!(%id, "connection cut by a fault");
                        return Err(axum::Error::new(std::io::Error::from(
                            std::io::ErrorKind::ConnectionAborted,
                        )));
                    }
                }
            }
            Err(refusal) => json!({ "id": null, "status": 400, "error": refusal.body() }),
        };
        if frame.get("rateLimits").is_some_and(Value::is_null)
            && let Some(map) = frame.as_object_mut()
        {
            map.remove("rateLimits");
        }
        socket.send(Message::Text(frame.to_string().into())).await
    }

    /// The answer's frame; none when a fault cuts the connection.
    async fn handle(&mut self, socket: &mut WebSocket, request: WsRequest) -> Option<Value> {
        let method = request.method.strip_prefix("v3/").unwrap_or(&request.method).to_owned();
        let api = self.streams.api.clone();
        if let Some((endpoint, verb, path)) = Endpoint::of_ws(&method) {
            let payload = ws_payload(&request.params);
            let session = self.session.as_ref().map(|s| s.account.as_str());
            let api_key = request.params.get("apiKey");
            let address = self.peer.address;
            let call = Call {
                method: verb,
                path,
                params: &request.params,
                api_key,
                payload: &payload,
                session,
                address,
            };
            let handled = api.handle(&call, Ok(endpoint)).await;
            let result = match handled.outcome {
                Outcome::Answer(result) => result,
                Outcome::Firewall => Err(ApiError::new(-1000, "Forbidden.").with_status(403)),
                Outcome::Hang => return None,
            };
            let mut limits = handled.order_count.map_or_else(Vec::new, |count| {
                api.limits.orders_json(count).as_array().cloned().unwrap_or_default()
            });
            limits.push(api.limits.weight_json(handled.used_weight));
            return Some(frame(&request, result, limits));
        }
        let now_ms = api.exchange_now_ms();
        let weight = if method.starts_with("userDataStream") || method.starts_with("session") {
            2
        } else {
            1
        };
        let result = match api.limits.use_weight(self.peer.address, weight, now_ms) {
            Ok(_) => self.session_method(socket, &method, &request.params, now_ms).await,
            Err(refusal) => Err(refusal),
        };
        let limits = vec![api.limits.weight_json(api.limits.weight(self.peer.address, now_ms))];
        Some(frame(&request, result, limits))
    }

    async fn session_method(
        &mut self,
        socket: &mut WebSocket,
        method: &str,
        params: &Params,
        now_ms: i64,
    ) -> Result<Value, ApiError> {
        match method {
            "session.logon" => self.log_on(params, now_ms),
            "session.status" => Ok(self.session_json(now_ms)),
            "session.logout" => {
                self.end_subscriptions(socket, |subscription| subscription.by_session)
                    .await;
                self.session = None;
                Ok(self.session_json(now_ms))
            }
            "session.subscriptions" => {
                let ids = self.subscriptions.keys().map(|id| json!({ "subscriptionId": id }));
                Ok(Value::Array(ids.collect()))
            }
            "userDataStream.subscribe" => {
                let session = self.session.as_ref().ok_or_else(not_logged_on)?;
                let account = session.account.clone();
                self.subscribe(account, true)
            }
            "userDataStream.subscribe.signature" => {
                let caller = self.authenticate(params)?;
                self.subscribe(caller, false)
            }
            "userDataStream.unsubscribe" => {
                let wanted = params.integer("subscriptionId")?;
                if wanted.is_some_and(|id| !self.subscriptions.contains_key(&id)) {
                    return Err(ApiError::new(
                        -1130,
                        "Data sent for parameter 'subscriptionId' is not valid.",
                    ));
                }
                let ids: Vec<u64> = self
                    .subscriptions
                    .keys()
                    .copied()
                    .filter(|id| wanted.is_none_or(|w| w == *id))
                    .collect();
                for id in ids {
                    self.end_subscription(socket, id).await;
                }
                Ok(json!({}))
            }
            "userDataStream.start" | "userDataStream.ping" | "userDataStream.stop" => {
                let msg = "This method is retired; use userDataStream.subscribe or userDataStream.subscribe.signature.";
                Err(ApiError::new(-1020, msg).with_status(410))
            }
            _ => Err(ApiError::new(-1020, "Unknown method.")),
        }
    }

    fn authenticate(&self, params: &Params) -> Result<String, ApiError> {
        let payload = ws_payload(params);
        let api_key = params.get("apiKey");
        let address = self.peer.address;
        let call = Call {
            method: "WS",
            path: "/ws-api/v3",
            params,
            api_key,
            payload: &payload,
            session: None,
            address,
        };
        self.streams.api.authenticate(&call).map(|caller| caller.account)
    }

    fn log_on(&mut self, params: &Params, now_ms: i64) -> Result<Value, ApiError> {
        let account = self.authenticate(params)?;
        let api_key = params.get("apiKey").unwrap_or_default().to_owned();
        if !self.streams.api.keys.is_ed25519(&api_key) {
            return Err(ApiError::new(-4056, "HMAC_SHA256 API key is not supported."));
        }
        self.session = Some(Session {
            api_key,
            account,
            since_ms: now_ms,
        });
        Ok(self.session_json(now_ms))
    }

    fn session_json(&self, now_ms: i64) -> Value {
        json!({
            "apiKey": self.session.as_ref().map(|s| s.api_key.as_str()),
            "authorizedSince": self.session.as_ref().map(|s| s.since_ms),
            "connectedSince": self.connected_ms,
            "returnRateLimits": true,
            "serverTime": now_ms,
            "userDataStream": self.subscriptions.values().any(|s| s.by_session),
        })
    }

    fn subscribe(&mut self, account: String, by_session: bool) -> Result<Value, ApiError> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(ApiError::new(
                -1191,
                format!(
                    "Too many subscriptions. Connection may create up to '{MAX_SUBSCRIPTIONS}' subscriptions at a time."
                ),
            ));
        }
        if self.subscriptions.values().any(|s| s.account == account) {
            return Err(ApiError::new(-2035, "User Data Stream subscription already active."));
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        self.subscriptions.insert(id, Subscription { account, by_session });
        Ok(json!({ "subscriptionId": id }))
    }

    async fn end_subscriptions(&mut self, socket: &mut WebSocket, ends: impl Fn(&Subscription) -> bool) {
        let ids: Vec<u64> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| ends(s))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end_subscription(socket, id).await;
        }
    }

    async fn end_subscription(&mut self, socket: &mut WebSocket, id: u64) {
        self.subscriptions.remove(&id);
        let event = json!({ "e": "eventStreamTerminated", "E": self.streams.api.exchange_now_ms() });
        let frame = json!({ "subscriptionId": id, "event": event });
        // The answer that follows fails too if the connection is gone.
        let _ = socket.send(Message::Text(frame.to_string().into())).await;
    }
}

fn not_logged_on() -> ApiError {
    ApiError::new(-1002, "You are not authorized to execute this request. Use session.logon with an Ed25519 key, or userDataStream.subscribe.signature.")
        .with_status(401)
}

struct WsRequest {
    id: Value,
    method: String,
    params: Params,
    wants_limits: bool,
}

fn parse(text: &str) -> Result<WsRequest, ApiError> {
    let bad = |msg: &str| ApiError::new(-1135, msg);
    let request: Value = serde_json::from_str(text).map_err(|_| bad("Invalid JSON Request"))?;
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let legal_id = id.is_null() || id.is_i64() || id.as_str().is_some_and(|text| text.len() <= 36);
    let method = request
        .get("method")
        .and_then(Value::as_str)
        .ok_or_else(|| bad("Invalid JSON Request"))?;
    if !legal_id {
        return Err(ApiError::illegal("id", "^[a-zA-Z0-9-_]{1,36}$"));
    }
    let mut params = Params::default();
    let mut wants_limits = true;
    match request.get("params") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (name, value) in map {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Null => continue,
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
                };
                if name == "returnRateLimits" {
                    wants_limits = text != "false";
                }
                params.push(name.clone(), text)?;
            }
        }
        Some(_) => return Err(bad("JSON sent for parameter 'params' is not valid")),
    }
    Ok(WsRequest {
        id,
        method: method.to_owned(),
        params,
        wants_limits,
    })
}

fn frame(request: &WsRequest, result: Result<Value, ApiError>, limits: Vec<Value>) -> Value {
    let limits = if request.wants_limits {
        Value::Array(limits)
    } else {
        Value::Null
    };
    match result {
        Ok(result) => json!({ "id": request.id, "status": 200, "result": result, "rateLimits": limits }),
        Err(refusal) => {
            json!({ "id": request.id, "status": refusal.status, "error": refusal.body(), "rateLimits": limits })
        }
    }
}
