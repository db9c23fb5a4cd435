use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use thunes_runtime::clock;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::frame::{Frame, read_frame};
use super::requests::{Subscribe, subscribe_request};
use crate::budget::{Cost, Purpose};
use crate::classify::shorten;
use crate::{Credentials, DisconnectWhy, HeldBack, SharedBudget, StreamEvent};

/// The largest frame that is read; events are a kilobyte or so.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The longest that a wait which the exchange asks for is honoured before trying again.
const WAIT_MS_MAX: u64 = 600_000;

/// A subscription, logged on or not; it is how fills are heard of, so it may use what is kept for stopping.
const SUBSCRIBE: Cost = Cost {
    weight: 4,
    orders: 0,
    purpose: Purpose::Stop,
};
/// The exchange ends a connection after 24 h, at a moment of its own choice.
const AGE_MS_MAX: u64 = 23 * 3_600_000;

/// Where the WebSocket API is, who asks, and how long to wait.
#[derive(Debug, Clone)]
pub struct UserStreamConfig {
    /// Such as `wss://ws-api.testnet.binance.vision/ws-api/v3`.
    pub ws_url: String,
    pub credentials: Credentials,
    /// The receive window of the subscription.
    pub recv_window_ms: i64,
    pub connect_timeout_ms: u64,
    /// For the answer to the subscription.
    pub subscribe_timeout_ms: u64,
    /// A connection without any frame (the exchange pings every 20 s) for this long is given up.
    pub silence_max_ms: u64,
    pub subscribe: Subscribe,
    /// A connection that is this old is replaced.
    pub age_max_ms: u64,
    /// The limits of the address; nothing is sent while the exchange wants silence from it.
    pub budget: Option<SharedBudget>,
}

impl UserStreamConfig {
    /// The usual waits: 10 s to connect, 10 s to subscribe, 65 s of silence; renewed after 23 h. Logs on where the key can.
    pub fn new(ws_url: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            subscribe: Subscribe::usual(&credentials),
            age_max_ms: AGE_MS_MAX,
            budget: None,
            ws_url: ws_url.into(),
            credentials,
            recv_window_ms: 5_000,
            connect_timeout_ms: 10_000,
            subscribe_timeout_ms: 10_000,
            silence_max_ms: 65_000,
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How one connection ended.
enum End {
    /// The caller wants no more.
    Stop,
    Lost {
        why: DisconnectWhy,
        subscribed_at: Option<Instant>,
        asked_wait_ms: Option<i64>,
    },
}

/// Keeps a subscription to the account's events until `shutdown`, or until nobody listens; connects again by itself.
/// `now_exchange_ms` gives the exchange's time for signing. A slow receiver holds the stream up; nothing is dropped.
pub async fn run_user_stream(
    config: UserStreamConfig,
    now_exchange_ms: impl Fn() -> i64 + Send + Sync,
    tx: mpsc::Sender<StreamEvent>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        let end = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            end = connection(&config, &now_exchange_ms, &tx) => end,
        };
        let End::Lost {
            why,
            subscribed_at,
            asked_wait_ms,
        } = end
        else {
            return;
        };
        tracing::warn!(%why, "user data stream lost");
        backoff.ended(subscribed_at.map(|at| at.elapsed()));
        let wait_ms = wait_ms(&backoff, asked_wait_ms);
        let told = async { tx.send(StreamEvent::Disconnected { why }).await.is_ok() };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            told = told => if !told { return },
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tx.closed() => return,
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        }
    }
}

fn wait_ms(backoff: &Backoff, asked_wait_ms: Option<i64>) -> u64 {
    let asked = asked_wait_ms
        .and_then(|ms| u64::try_from(ms).ok())
        .unwrap_or(0)
        .min(WAIT_MS_MAX);
    backoff.wait_ms(rand::random_range(0..=1000)).max(asked)
}

async fn connection(
    config: &UserStreamConfig,
    now_exchange_ms: &(impl Fn() -> i64 + Send + Sync),
    tx: &mpsc::Sender<StreamEvent>,
) -> End {
    if let Some(shared) = &config.budget {
        let admitted = shared.with(|budget, now| {
            let ticket = budget.admit(SUBSCRIBE, now)?;
            // The answers of this connection tell no header, so it counts at once.
            budget.answered(&ticket, false, |_| None, now);
            Ok::<(), HeldBack>(())
        });
        if let Err(held) = admitted {
            return End::Lost {
                why: DisconnectWhy::HeldBack { message: held.message },
                subscribed_at: None,
                asked_wait_ms: Some(held.retry_after_ms),
            };
        }
    }
    connected(config, now_exchange_ms, tx).await
}

async fn connected(
    config: &UserStreamConfig,
    now_exchange_ms: &(impl Fn() -> i64 + Send + Sync),
    tx: &mpsc::Sender<StreamEvent>,
) -> End {
    let mut socket = match connect(config).await {
        Ok(socket) => socket,
        Err(message) => return lost(DisconnectWhy::CouldNotConnect { message }),
    };
    if tx.send(StreamEvent::Connected).await.is_err() {
        return End::Stop;
    }
    let request = config
        .subscribe
        .first_request(&config.credentials, now_exchange_ms(), config.recv_window_ms);
    let subscribe_timeout = Duration::from_millis(config.subscribe_timeout_ms);
    match timeout(subscribe_timeout, socket.send(Message::text(request))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return lost(why_lost(&error)),
        Err(_) => return lost(DisconnectWhy::SubscribeTimedOut),
    }
    let mut session = Session {
        tx,
        subscribed_at: None,
        asked_wait_ms: None,
    };
    let ended = session.listen(&mut socket, config).await;
    match ended {
        None => {
            // A courtesy: the exchange notices a dropped socket as well.
            let _ = timeout(Duration::from_millis(100), socket.close(None)).await;
            End::Stop
        }
        Some(why) => End::Lost {
            why,
            subscribed_at: session.subscribed_at,
            asked_wait_ms: session.asked_wait_ms,
        },
    }
}

fn lost(why: DisconnectWhy) -> End {
    End::Lost {
        why,
        subscribed_at: None,
        asked_wait_ms: None,
    }
}

async fn connect(config: &UserStreamConfig) -> Result<Socket, String> {
    let tls = crate::tls::tls_config().map_err(|error| error.to_string())?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let connector = Connector::Rustls(Arc::new(tls));
    let connecting = connect_async_tls_with_config(config.ws_url.as_str(), Some(limits), true, Some(connector));
    match timeout(Duration::from_millis(config.connect_timeout_ms), connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(shorten(&error.to_string())),
        Err(_) => Err("timed out".to_owned()),
    }
}

struct Session<'a> {
    tx: &'a mpsc::Sender<StreamEvent>,
    subscribed_at: Option<Instant>,
    asked_wait_ms: Option<i64>,
}

impl Session<'_> {
    /// Passes frames on until the connection breaks (why) or nobody listens (None).
    async fn listen(&mut self, socket: &mut Socket, config: &UserStreamConfig) -> Option<DisconnectWhy> {
        let start = clock::instant();
        let subscribe_by = start + Duration::from_millis(config.subscribe_timeout_ms);
        let renew_at = tokio::time::Instant::from_std(start + Duration::from_millis(config.age_max_ms));
        loop {
            let patience = match self.subscribed_at {
                None => subscribe_by.saturating_duration_since(clock::instant()),
                Some(_) => Duration::from_millis(config.silence_max_ms),
            };
            let next = tokio::select! {
                () = self.tx.closed() => return None,
                () = tokio::time::sleep_until(renew_at) => return Some(DisconnectWhy::Renewal),
                next = timeout(patience, socket.next()) => next,
            };
            let message = match next {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Some(why_lost(&error)),
                Ok(None) => {
                    return Some(DisconnectWhy::ConnectionLost {
                        message: "end of stream".to_owned(),
                    });
                }
                Err(_) if self.subscribed_at.is_none() => return Some(DisconnectWhy::SubscribeTimedOut),
                Err(_) => return Some(DisconnectWhy::Silent),
            };
            match self.pass_on(message, config.budget.as_ref()).await {
                Passed::More => {}
                Passed::LoggedOn => {
                    let sending = timeout(
                        subscribe_by.saturating_duration_since(clock::instant()),
                        socket.send(Message::text(subscribe_request())),
                    );
                    match sending.await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Some(why_lost(&error)),
                        Err(_) => return Some(DisconnectWhy::SubscribeTimedOut),
                    }
                }
                Passed::NobodyListens => return None,
                Passed::Broken(why) => return Some(why),
            }
        }
    }

    async fn pass_on(&mut self, message: Message, budget: Option<&SharedBudget>) -> Passed {
        let text = match message {
            Message::Text(text) => text,
            // Reading a ping has queued its pong, which the next read sends off.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Passed::More,
            Message::Binary(_) => return unreadable("a binary frame"),
            Message::Close(frame) => {
                let message = frame.map_or_else(|| "no reason given".to_owned(), |f| shorten(&f.reason));
                return Passed::Broken(DisconnectWhy::ClosedByServer { message });
            }
        };
        let event = match read_frame(&text) {
            Ok(Frame::Event(event)) => event,
            Ok(Frame::Subscribed { subscription_id }) => {
                self.subscribed_at = Some(clock::instant());
                StreamEvent::Subscribed { subscription_id }
            }
            Ok(Frame::LoggedOn) => return Passed::LoggedOn,
            Ok(Frame::ServerShutdown) => return Passed::Broken(DisconnectWhy::ServerShutdown),
            Ok(Frame::Terminated) => return Passed::Broken(DisconnectWhy::Terminated),
            Ok(Frame::Refused {
                status,
                kind,
                code,
                message,
                retry_after_ms,
            }) => {
                self.asked_wait_ms = retry_after_ms;
                if let (Some(budget), 418 | 429) = (budget, status) {
                    budget.with(|budget, now| budget.told_to_wait(retry_after_ms, status == 418, now));
                }
                return Passed::Broken(DisconnectWhy::SubscribeRefused { kind, code, message });
            }
            Err(why) => return unreadable(&why),
        };
        if self.tx.send(event).await.is_ok() {
            Passed::More
        } else {
            Passed::NobodyListens
        }
    }
}

enum Passed {
    More,
    LoggedOn,
    NobodyListens,
    Broken(DisconnectWhy),
}

fn unreadable(why: &str) -> Passed {
    Passed::Broken(DisconnectWhy::Unreadable { message: shorten(why) })
}

fn why_lost(error: &WsError) -> DisconnectWhy {
    match error {
        WsError::Capacity(_) | WsError::Utf8(_) => DisconnectWhy::Unreadable {
            message: shorten(&error.to_string()),
        },
        _ => DisconnectWhy::ConnectionLost {
            message: shorten(&error.to_string()),
        },
    }
}
