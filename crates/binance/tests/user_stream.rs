//! The user data stream against a WebSocket server that speaks the exchange's protocol and breaks by plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use thunes_binance::{
    Credentials, DisconnectWhy, ErrorKind, ExecutionType, OrderStatus, PrivateKey, StreamEvent, Subscribe,
    UserStreamConfig, run_user_stream,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};
use tokio_util::sync::CancellationToken;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    listener: TcpListener,
    events: mpsc::Receiver<StreamEvent>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    async fn start() -> Rig {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut UserStreamConfig)) -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/ws-api/v3", listener.local_addr().expect("an address"));
        let mut config = UserStreamConfig::new(url, Credentials::hmac("the-key".into(), "the-secret".into()));
        change(&mut config);
        let (tx, events) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let now = move || clock.fetch_add(1, Ordering::SeqCst);
        let task = tokio::spawn(run_user_stream(config, now, tx, shutdown.clone()));
        Rig {
            listener,
            events,
            shutdown,
            task,
        }
    }

    async fn accept(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .expect("in time")
            .expect("a connection");
        accept_async(stream).await.expect("a handshake")
    }

    async fn next(&mut self) -> StreamEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("in time")
            .expect("an event")
    }

    /// Accepts a connection and answers its subscription.
    async fn subscribed(&mut self) -> WebSocketStream<TcpStream> {
        let mut socket = self.accept().await;
        assert_eq!(self.next().await, StreamEvent::Connected);
        let request = read_json(&mut socket).await;
        let answer = json!({"id": request["id"], "status": 200, "result": {"subscriptionId": 3}, "rateLimits": []});
        send(&mut socket, &answer).await;
        assert_eq!(self.next().await, StreamEvent::Subscribed { subscription_id: 3 });
        socket
    }

    async fn disconnected(&mut self) -> DisconnectWhy {
        match self.next().await {
            StreamEvent::Disconnected { why } => why,
            other => panic!("{other:?}"),
        }
    }
}

async fn read_json(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = timeout(PATIENCE, socket.next())
        .await
        .expect("in time")
        .expect("open")
        .expect("a message");
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

async fn send(socket: &mut WebSocketStream<TcpStream>, value: &Value) {
    socket.send(Message::text(value.to_string())).await.expect("sent");
}

fn fill() -> Value {
    json!({"subscriptionId": 3, "event": {
        "e": "executionReport", "E": 1_499_405_658_658_i64, "s": "BTCUSDT", "c": "T-1", "S": "BUY", "o": "LIMIT",
        "f": "GTC", "q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
        "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 4_293_153, "l": "0.25000000", "z": "0.50000000",
        "L": "0.10000000", "n": "0.00025", "N": "BTC", "T": 1_499_405_658_657_i64, "t": 77, "I": 8_641_984, "w": true,
        "m": false, "M": true, "O": 1_499_405_658_600_i64, "Z": "0.05000000", "Y": "0.02500000", "Q": "0.00000000",
        "W": 1_499_405_658_657_i64, "V": "NONE"
    }})
}

#[tokio::test]
async fn it_subscribes_with_a_signature_over_sorted_parameters() {
    let rig = Rig::start().await;
    let mut socket = rig.accept().await;
    let request = read_json(&mut socket).await;
    assert_eq!(request["method"], "userDataStream.subscribe.signature");
    assert_eq!(request["params"]["apiKey"], "the-key");
    assert_eq!(request["params"]["timestamp"], 1_700_000_000_000_i64);
    assert_eq!(request["params"]["recvWindow"], 5000);
    // printf 'apiKey=the-key&recvWindow=5000&timestamp=1700000000000' | openssl dgst -sha256 -hmac the-secret
    assert_eq!(
        request["params"]["signature"],
        "5a06c1cb2ad12d8d67fde8cfc6b1abfa7d0440fc0e92d2d415466d59b3987b7a"
    );
}

#[tokio::test]
async fn events_are_read_with_everything_that_a_fill_needs() {
    let mut rig = Rig::start().await;
    let mut socket = rig.subscribed().await;
    send(&mut socket, &fill()).await;
    let StreamEvent::ExecutionReport(report) = rig.next().await else {
        panic!("no report")
    };
    assert_eq!(
        (report.trade_id(), report.venue_order_id, report.order_client_id()),
        (Some(77), 4_293_153, "T-1")
    );
    assert_eq!(
        (report.execution_type, report.status),
        (ExecutionType::Trade, OrderStatus::PartiallyFilled)
    );
    assert_eq!(
        (report.last_quantity.to_string(), report.last_price.to_string()),
        ("0.25000000".into(), "0.10000000".into())
    );
    assert_eq!(
        (report.last_quote.to_string(), report.cumulative_quantity.to_string()),
        ("0.02500000".into(), "0.50000000".into())
    );
    assert_eq!(
        (report.commission.to_string(), report.commission_asset.as_deref()),
        ("0.00025".into(), Some("BTC"))
    );
    assert_eq!(
        (report.transaction_time_ms, report.is_maker),
        (1_499_405_658_657, false)
    );

    let mut cancel = fill();
    for (field, value) in [
        ("x", json!("CANCELED")),
        ("X", json!("CANCELED")),
        ("c", json!("web_1")),
        ("C", json!("T-1")),
        ("N", Value::Null),
        ("t", json!(-1)),
    ] {
        cancel["event"][field] = value;
    }
    send(&mut socket, &cancel).await;
    let StreamEvent::ExecutionReport(report) = rig.next().await else {
        panic!("no report")
    };
    assert_eq!(
        (
            report.trade_id(),
            report.order_client_id(),
            report.commission_asset.clone()
        ),
        (None, "T-1", None)
    );

    send(
        &mut socket,
        &json!({"subscriptionId": 3, "event": {"e": "outboundAccountPosition", "E": 2, "u": 1,
        "B": [{"a": "BTC", "f": "1.5", "l": "0.5"}]}}),
    )
    .await;
    let StreamEvent::AccountPosition(position) = rig.next().await else {
        panic!("no position")
    };
    assert_eq!(
        (position.update_time_ms, position.balances[0].locked.to_string()),
        (1, "0.5".into())
    );

    send(
        &mut socket,
        &json!({"subscriptionId": 3, "event": {"e": "balanceUpdate", "E": 2, "a": "BTC", "d": "-1.5", "T": 1}}),
    )
    .await;
    let StreamEvent::BalanceUpdate(update) = rig.next().await else {
        panic!("no update")
    };
    assert_eq!((update.delta.to_string(), update.clear_time_ms), ("-1.5".into(), 1));

    send(
        &mut socket,
        &json!({"subscriptionId": 3, "event": {"e": "externalLockUpdate", "E": 2}}),
    )
    .await;
    assert_eq!(rig.next().await, StreamEvent::Other("externalLockUpdate".into()));
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let mut rig = Rig::start().await;
    let mut socket = rig.subscribed().await;
    socket.send(Message::Ping(vec![7, 8].into())).await.expect("sent");
    let pong = timeout(PATIENCE, socket.next())
        .await
        .expect("in time")
        .expect("open")
        .expect("a message");
    assert_eq!(pong, Message::Pong(vec![7, 8].into()));
}

#[tokio::test]
async fn p5_a_broken_connection_is_told_and_made_anew() {
    let mut rig = Rig::start().await;
    let socket = rig.subscribed().await;
    drop(socket);
    assert!(matches!(rig.disconnected().await, DisconnectWhy::ConnectionLost { .. }));
    let mut socket = rig.subscribed().await;
    socket.close(None).await.expect("closed");
    assert!(matches!(rig.disconnected().await, DisconnectWhy::ClosedByServer { .. }));
    let mut socket = rig.subscribed().await;
    send(
        &mut socket,
        &json!({"subscriptionId": 3, "event": {"e": "eventStreamTerminated", "E": 1}}),
    )
    .await;
    assert_eq!(rig.disconnected().await, DisconnectWhy::Terminated);
    rig.subscribed().await;
}

#[tokio::test]
async fn p5_what_cannot_be_read_may_be_a_fill_and_breaks_the_stream() {
    let mut without_trade_id = fill();
    without_trade_id["event"]
        .as_object_mut()
        .expect("an object")
        .remove("t");
    let mut with_float = fill();
    with_float["event"]["l"] = json!(0.25);
    for text in [
        "garbage".to_owned(),
        "{}".to_owned(),
        without_trade_id.to_string(),
        with_float.to_string(),
    ] {
        let mut rig = Rig::start().await;
        let mut socket = rig.subscribed().await;
        socket.send(Message::text(text.clone())).await.expect("sent");
        assert!(
            matches!(rig.disconnected().await, DisconnectWhy::Unreadable { .. }),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_refused_subscription_says_why_and_is_tried_again_with_a_new_timestamp() {
    let mut rig = Rig::start().await;
    let mut socket = rig.accept().await;
    assert_eq!(rig.next().await, StreamEvent::Connected);
    let first = read_json(&mut socket).await;
    let refusal =
        json!({"id": "subscribe", "status": 400, "error": {"code": -1021, "msg": "outside of the recvWindow"}});
    send(&mut socket, &refusal).await;
    let why = rig.disconnected().await;
    assert!(
        matches!(
            why,
            DisconnectWhy::SubscribeRefused {
                kind: ErrorKind::InvalidTimestamp,
                code: -1021,
                ..
            }
        ),
        "{why:?}"
    );
    let mut socket = rig.accept().await;
    let second = read_json(&mut socket).await;
    assert!(second["params"]["timestamp"].as_i64() > first["params"]["timestamp"].as_i64());
    assert_ne!(second["params"]["signature"], first["params"]["signature"]);
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let mut rig = Rig::start_with(|config| config.silence_max_ms = 50).await;
    let _socket = rig.subscribed().await;
    assert_eq!(rig.disconnected().await, DisconnectWhy::Silent);
}

#[tokio::test]
async fn a_subscription_that_is_never_answered_is_given_up() {
    let mut rig = Rig::start_with(|config| config.subscribe_timeout_ms = 50).await;
    let _socket = rig.accept().await;
    assert_eq!(rig.next().await, StreamEvent::Connected);
    assert_eq!(rig.disconnected().await, DisconnectWhy::SubscribeTimedOut);
}

#[tokio::test]
async fn p5_a_slow_reader_loses_nothing() {
    let mut rig = Rig::start().await;
    let mut socket = rig.subscribed().await;
    for trade_id in 0..200 {
        let mut event = fill();
        event["event"]["t"] = json!(trade_id);
        send(&mut socket, &event).await;
    }
    for trade_id in 0..200 {
        let StreamEvent::ExecutionReport(report) = rig.next().await else {
            panic!("no report")
        };
        assert_eq!(report.trade_id(), Some(trade_id));
    }
}

#[tokio::test]
async fn it_ends_when_told_and_when_nobody_listens() {
    let mut rig = Rig::start().await;
    let _socket = rig.subscribed().await;
    rig.shutdown.cancel();
    timeout(PATIENCE, &mut rig.task)
        .await
        .expect("in time")
        .expect("no panic");

    let mut rig = Rig::start().await;
    let _socket = rig.subscribed().await;
    rig.events.close();
    timeout(PATIENCE, &mut rig.task)
        .await
        .expect("in time")
        .expect("no panic");
}

/// The example key of RFC 8410.
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----";

fn use_ed25519(config: &mut UserStreamConfig) {
    let key = PrivateKey::from_pem(ED25519_PEM).expect("a key");
    config.credentials = Credentials::private("the-key".into(), key);
    config.subscribe = Subscribe::usual(&config.credentials);
}

#[tokio::test]
async fn an_ed25519_key_logs_on_then_subscribes_and_the_logon_is_no_subscription() {
    let mut rig = Rig::start_with(use_ed25519).await;
    let mut socket = rig.accept().await;
    assert_eq!(rig.next().await, StreamEvent::Connected);
    let log_on = read_json(&mut socket).await;
    assert_eq!(log_on["method"], "session.logon");
    // openssl pkeyutl -sign -rawin over apiKey=the-key&recvWindow=5000&timestamp=1700000000000
    assert_eq!(
        log_on["params"]["signature"],
        "XrxGhpq0yKrOMg5cHCmGAzwmbWfHRewAyY/VUrSlZVvMh39go3jEMNYd219OUE5vfq+uf95Rutf5wBQfUhCnDA=="
    );
    let answer = json!({"id": log_on["id"], "status": 200, "result": {"apiKey": "the-key"}});
    send(&mut socket, &answer).await;
    let subscribe = read_json(&mut socket).await;
    assert_eq!(subscribe["method"], "userDataStream.subscribe");
    assert!(subscribe.get("params").is_none(), "the session signs");
    send(
        &mut socket,
        &json!({"id": subscribe["id"], "status": 200, "result": {"subscriptionId": 0}}),
    )
    .await;
    assert_eq!(rig.next().await, StreamEvent::Subscribed { subscription_id: 0 });
}

#[tokio::test]
async fn an_ed25519_key_can_be_made_to_subscribe_by_signature() {
    let rig = Rig::start_with(|config| {
        use_ed25519(config);
        config.subscribe = Subscribe::Signature;
    })
    .await;
    let mut socket = rig.accept().await;
    let request = read_json(&mut socket).await;
    assert_eq!(request["method"], "userDataStream.subscribe.signature");
    assert_eq!(
        request["params"]["signature"],
        "XrxGhpq0yKrOMg5cHCmGAzwmbWfHRewAyY/VUrSlZVvMh39go3jEMNYd219OUE5vfq+uf95Rutf5wBQfUhCnDA=="
    );
}

#[tokio::test]
async fn a_refused_logon_is_told_and_nothing_is_subscribed() {
    let mut rig = Rig::start_with(use_ed25519).await;
    let mut socket = rig.accept().await;
    assert_eq!(rig.next().await, StreamEvent::Connected);
    let log_on = read_json(&mut socket).await;
    let refusal = json!({"id": log_on["id"], "status": 401, "error": {"code": -2015, "msg": "no"}});
    send(&mut socket, &refusal).await;
    assert!(matches!(
        rig.disconnected().await,
        DisconnectWhy::SubscribeRefused {
            kind: ErrorKind::RejectedApiKey,
            ..
        }
    ));
}

#[tokio::test]
async fn p5_a_shutdown_that_is_announced_and_an_old_connection_are_left_before_they_end() {
    let mut rig = Rig::start().await;
    let mut socket = rig.subscribed().await;
    send(&mut socket, &json!({"event": {"e": "serverShutdown", "E": 1}})).await;
    assert_eq!(rig.disconnected().await, DisconnectWhy::ServerShutdown);
    rig.subscribed().await;

    let mut rig = Rig::start_with(|config| config.age_max_ms = 300).await;
    let _socket = rig.subscribed().await;
    assert_eq!(rig.disconnected().await, DisconnectWhy::Renewal);
    rig.subscribed().await;
}
