//! What the client makes of an exchange that misbehaves, and that it never says anything twice.

mod standin;

use standin::{Act, Standin};
use thunes_binance::{
    BinanceClient, ClientConfig, Credentials, DoubtWhy, ErrorKind, HeldWhy, NewOrder, NewOrderAnswer, OrderShape,
    Outcome, Side,
};
use thunes_types::{ClientOrderId, Decimal, Symbol};
use tokio::net::{TcpSocket, TcpStream};

const API_KEY: &str = "the-api-key-5b1f";
const SECRET: &str = "the-secret-c07d";
const TIME: &str = r#"{"serverTime":1700000000000}"#;

fn client(base_url: &str) -> BinanceClient {
    let config = ClientConfig {
        connect_timeout_ms: 300,
        order_timeout_ms: 400,
        read_timeout_ms: 2_000,
        ..ClientConfig::new(base_url)
    };
    BinanceClient::new(config, Credentials::hmac(API_KEY.into(), SECRET.into())).expect("a client")
}

fn order() -> NewOrder {
    NewOrder {
        symbol: Symbol::parse("BTCUSDT").expect("a symbol"),
        side: Side::Buy,
        client_order_id: ClientOrderId::parse("T-1").expect("an id"),
        shape: OrderShape::MarketQuote {
            quote_quantity: Decimal::ONE_HUNDRED,
        },
    }
}

async fn send_order(client: &BinanceClient) -> Outcome<NewOrderAnswer> {
    client.send(client.sign_order(&order(), 1_700_000_000_000, 2_000)).await
}

/// Sends one order into `act`, then asks for the time: a second copy of the order would stand between the two.
async fn ending_of(act: Act) -> Outcome<NewOrderAnswer> {
    let exchange = Standin::start(vec![act, Act::ok(TIME)]).await;
    let client = client(&exchange.url());
    let outcome = send_order(&client).await;
    assert!(
        matches!(client.server_time().await, Outcome::Answer(_)),
        "the client still works"
    );
    let seen = exchange.seen();
    let lines: Vec<&str> = seen.iter().map(|s| s.line.as_str()).collect();
    assert_eq!(
        lines,
        ["POST /api/v3/order HTTP/1.1", "GET /api/v3/time HTTP/1.1"],
        "sent exactly once"
    );
    assert!(seen[0].head.contains(API_KEY), "the key left, so it could have leaked");
    let shown = format!("{outcome:?}");
    let signature = seen[0].body.split("signature=").nth(1).expect("signed");
    for secret in [API_KEY, SECRET, signature] {
        assert!(!shown.contains(secret), "{shown} holds a secret");
    }
    outcome
}

async fn doubt_of(act: Act) -> DoubtWhy {
    match ending_of(act).await {
        Outcome::Unknown(doubt) => doubt.why,
        other => panic!("{other:?} is not unknown"),
    }
}

#[tokio::test]
async fn p4_a_lost_answer_is_unknown_and_the_order_is_not_sent_again() {
    assert_eq!(doubt_of(Act::Hang).await, DoubtWhy::TimedOut);
    assert_eq!(doubt_of(Act::Reset).await, DoubtWhy::ConnectionLost);
    assert_eq!(doubt_of(Act::Close).await, DoubtWhy::ConnectionLost);
    assert_eq!(doubt_of(Act::HalfBody).await, DoubtWhy::ConnectionLost);
}

#[tokio::test]
async fn p4_an_unclear_answer_is_unknown_and_the_order_is_not_sent_again() {
    assert_eq!(
        doubt_of(Act::status(503, "<html>busy</html>")).await,
        DoubtWhy::ServerError
    );
    assert_eq!(
        doubt_of(Act::status(500, r#"{"code":-1000,"msg":"x"}"#)).await,
        DoubtWhy::ServerError
    );
    assert_eq!(
        doubt_of(Act::ok("<html>welcome</html>")).await,
        DoubtWhy::UnreadableAnswer
    );
    assert_eq!(
        doubt_of(Act::ok(r#"{"symbol":"BTCUSDT","orderId":1}"#)).await,
        DoubtWhy::UnreadableAnswer
    );
    assert_eq!(
        doubt_of(Act::status(400, r#"{"code":-1007,"msg":"Timeout"}"#)).await,
        DoubtWhy::ExecutionUnknown
    );
    let duplicate = Act::status(400, r#"{"code":-2010,"msg":"Duplicate order sent."}"#);
    assert_eq!(doubt_of(duplicate).await, DoubtWhy::DuplicateOrderSent);
}

#[tokio::test]
async fn p4_an_order_lost_on_a_reused_connection_is_not_sent_again() {
    for act in [Act::Reset, Act::Close] {
        let exchange = Standin::start(vec![Act::ok(TIME), act, Act::ok(TIME)]).await;
        let client = client(&exchange.url());
        assert!(matches!(client.server_time().await, Outcome::Answer(_)));
        let outcome = send_order(&client).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        assert!(matches!(client.server_time().await, Outcome::Answer(_)));
        assert_eq!(exchange.seen().iter().filter(|s| s.line.starts_with("POST")).count(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Standin::start(vec![Act::ok("{}")]).await;
    for status in [301, 302, 307, 308] {
        let location = format!("location: http://{}/api/v3/order\r\n", elsewhere.address);
        let headers: &'static str = Box::leak(location.into_boxed_str());
        let act = Act::Answer {
            status,
            headers,
            body: String::new(),
        };
        assert_eq!(doubt_of(act).await, DoubtWhy::UnexpectedStatus, "{status}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_refusal_is_not_an_unknown() {
    let outcome = ending_of(Act::status(
        400,
        r#"{"code":-1021,"msg":"Timestamp is outside of the recvWindow."}"#,
    ))
    .await;
    let Outcome::Rejected(rejection) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (rejection.kind, rejection.code),
        (ErrorKind::InvalidTimestamp, Some(-1021))
    );
}

/// Every error that the exchange's rules name, as it comes over the wire, and what it says of the order.
#[tokio::test]
async fn p4_every_documented_error_says_what_it_means_for_the_order() {
    let refused = [
        (400, -1013, "Filter failure: LOT_SIZE", ErrorKind::InvalidMessage),
        (400, -1008, "Server is currently overloaded.", ErrorKind::ServerBusy),
        (
            400,
            -1021,
            "Timestamp is outside of the recvWindow.",
            ErrorKind::InvalidTimestamp,
        ),
        (
            400,
            -1022,
            "Signature for this request is not valid.",
            ErrorKind::InvalidSignature,
        ),
        (
            400,
            -1102,
            "Mandatory parameter was not sent.",
            ErrorKind::ParameterMissing,
        ),
        (400, -1111, "Too much precision.", ErrorKind::BadPrecision),
        (400, -1121, "Invalid symbol.", ErrorKind::BadSymbol),
        (
            400,
            -1131,
            "recvWindow must be less than 60000.",
            ErrorKind::ReceiveWindowTooLarge,
        ),
        (400, -1196, "x", ErrorKind::RequestFault),
        (401, -2014, "API-key format invalid.", ErrorKind::BadApiKeyFormat),
        (401, -2015, "Invalid API-key.", ErrorKind::RejectedApiKey),
        (
            400,
            -2010,
            "Account has insufficient balance for requested action.",
            ErrorKind::InsufficientBalance,
        ),
        (400, -2010, "Market is closed.", ErrorKind::MarketClosed),
        (
            400,
            -2010,
            "Order would immediately match and take.",
            ErrorKind::WouldTakeLiquidity,
        ),
        (
            400,
            -2010,
            "This account may not place or cancel orders.",
            ErrorKind::AccountRestricted,
        ),
        (400, -2011, "Unknown order sent.", ErrorKind::CancelRejected),
        (400, -2013, "Order does not exist.", ErrorKind::NoSuchOrder),
        (403, 0, "", ErrorKind::Firewall),
    ];
    for (status, code, text, kind) in refused {
        let body = match code {
            0 => "<html>".to_owned(),
            code => format!(r#"{{"code":{code},"msg":"{text}"}}"#),
        };
        match ending_of(Act::status(status, &body)).await {
            Outcome::Rejected(rejection) => assert_eq!(rejection.kind, kind, "{code} {text}"),
            other => panic!("{code} {text}: {other:?}"),
        }
    }
    for (status, code, text, why) in [
        (400, -1000, "An unknown error occurred.", DoubtWhy::ExecutionUnknown),
        (400, -1001, "Internal error.", DoubtWhy::ExecutionUnknown),
        (400, -1006, "Execution status unknown.", DoubtWhy::ExecutionUnknown),
        (400, -1007, "Send status unknown.", DoubtWhy::ExecutionUnknown),
        (503, -1008, "Overloaded.", DoubtWhy::ServerError),
        (
            400,
            -1016,
            "This service is no longer available.",
            DoubtWhy::ExecutionUnknown,
        ),
        (400, -2010, "Duplicate order sent.", DoubtWhy::DuplicateOrderSent),
        (400, -2010, "Words that nobody documented.", DoubtWhy::UnlistedError),
        (400, -9000, "A code that nobody documented.", DoubtWhy::UnlistedError),
    ] {
        let body = format!(r#"{{"code":{code},"msg":"{text}"}}"#);
        assert_eq!(doubt_of(Act::status(status, &body)).await, why, "{code} {text}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let too_many = r#"{"code":-1003,"msg":"Too much request weight used."}"#;
    for (status, banned) in [(429, false), (418, true)] {
        let act = Act::Answer {
            status,
            headers: "retry-after: 7\r\n",
            body: too_many.to_owned(),
        };
        let exchange = Standin::start(vec![act]).await;
        let outcome = send_order(&client(&exchange.url())).await;
        assert_eq!(exchange.seen().len(), 1, "sent exactly once");
        let Outcome::RateLimited(limited) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((limited.retry_after_ms, limited.banned), (Some(7_000), banned));
    }
}

#[tokio::test]
async fn p4_without_a_connection_nothing_was_sent() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("an address")
    };
    let outcome = send_order(&client(&format!("http://{closed}"))).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
}

#[tokio::test]
async fn p4_a_connection_that_takes_too_long_carried_nothing() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let listener = socket.listen(0).expect("listens");
    let address = listener.local_addr().expect("an address");
    // Nobody accepts: once the queue is full, connecting hangs.
    let mut waiting = Vec::new();
    let mut full = false;
    while !full {
        assert!(waiting.len() < 64, "the queue never fills");
        let attempt = tokio::time::timeout(std::time::Duration::from_millis(200), TcpStream::connect(address)).await;
        full = attempt.is_err();
        waiting.push(attempt);
    }
    let outcome = send_order(&client(&format!("http://{address}"))).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
}

#[tokio::test]
async fn p4_a_failed_tls_handshake_carried_nothing() {
    let exchange = Standin::start(vec![]).await;
    let outcome = send_order(&client(&format!("https://localhost:{}", exchange.address.port()))).await;
    assert!(
        !matches!(outcome, Outcome::Answer(_) | Outcome::Rejected(_)),
        "{outcome:?}"
    );
    assert!(exchange.seen().is_empty());
}

#[tokio::test]
async fn after_a_429_or_418_nothing_leaves_before_its_wait_is_over() {
    for (status, why) in [(429, HeldWhy::ToldToWait), (418, HeldWhy::Banned)] {
        let body = r#"{"code":-1003,"msg":"Too much request weight used."}"#.to_owned();
        let limited = Act::Answer {
            status,
            headers: "retry-after: 2\r\n",
            body,
        };
        let exchange = Standin::start(vec![limited, Act::ok(TIME)]).await;
        let client = client(&exchange.url());
        assert!(matches!(client.server_time().await, Outcome::RateLimited(_)));
        let symbol = Symbol::parse("BTCUSDT").expect("a symbol");
        let id = ClientOrderId::parse("T-1").expect("an id");
        for outcome in [
            send_order(&client).await.map(|_| ()),
            client.send(client.sign_cancel(&symbol, &id, 1, 2)).await.map(|_| ()),
            client.server_time().await.map(|_| ()),
        ] {
            let Outcome::HeldBack(held) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(held.why, why);
            assert!(held.retry_after_ms <= 2_000);
        }
        assert_eq!(exchange.seen().len(), 1, "nothing left");
        assert!(client.budget_status().blocked_ms > 0);
        let over = async {
            while client.budget_status().blocked_ms > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), over)
            .await
            .expect("it ends");
        assert!(matches!(client.server_time().await, Outcome::Answer(_)));
    }
}

#[tokio::test]
async fn too_many_orders_holds_back_orders_and_lets_everything_else_pass() {
    let too_many = Act::status(429, r#"{"code":-1015,"msg":"Too many new orders."}"#);
    let exchange = Standin::start(vec![too_many, Act::ok(TIME)]).await;
    let client = client(&exchange.url());
    assert!(matches!(send_order(&client).await, Outcome::RateLimited(_)));
    assert!(matches!(send_order(&client).await, Outcome::HeldBack(_)));
    assert!(matches!(client.server_time().await, Outcome::Answer(_)));
}

#[tokio::test]
async fn a_refused_timestamp_asks_for_the_clock() {
    let refused = Act::status(400, r#"{"code":-1021,"msg":"outside of the recvWindow"}"#);
    let exchange = Standin::start(vec![refused]).await;
    let client = client(&exchange.url());
    let Outcome::Rejected(rejection) = send_order(&client).await else {
        panic!("not rejected")
    };
    assert_eq!(rejection.kind, ErrorKind::InvalidTimestamp);
    tokio::time::timeout(std::time::Duration::from_secs(5), client.clock_doubted())
        .await
        .expect("asked for");
}

#[tokio::test]
async fn the_reserve_is_kept_by_the_exchanges_own_count() {
    let used = Act::Answer {
        status: 200,
        headers: "x-mbx-used-weight-1m: 5799\r\n",
        body: TIME.to_owned(),
    };
    let exchange = Standin::start(vec![used, Act::ok(TIME)]).await;
    let client = client(&exchange.url());
    assert!(matches!(client.server_time().await, Outcome::Answer(_)));
    let prices = client.ticker_prices(&[]).await;
    assert!(
        matches!(prices, Outcome::HeldBack(ref held) if held.why == HeldWhy::Budget),
        "{prices:?}"
    );
    assert!(
        client.order_would_leave(Side::Buy).is_ok(),
        "1 is left above the reserve"
    );
    assert!(
        matches!(client.server_time().await, Outcome::Answer(_)),
        "the clock may use the reserve"
    );
    assert_eq!(client.budget_status().held_back, 1);
}
