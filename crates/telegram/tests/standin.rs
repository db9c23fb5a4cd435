//! The client against the stand-in over real HTTP, and the stand-in against raw requests.

use serde_json::{Value, json};
use thunes_telegram::{SendOutcome, TEXT_UNITS_MAX, TelegramClient, serve_standin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "123456:hush-hush_token";

struct Rig {
    url: String,
    address: std::net::SocketAddr,
    http: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Rig {
    async fn start() -> Rig {
        // The client library wants a crypto provider even where no TLS is spoken.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve_standin(listener, shutdown.clone()));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Rig {
            url: format!("http://{address}"),
            address,
            http,
            shutdown,
            task,
        }
    }

    fn client(&self) -> TelegramClient {
        TelegramClient::new(&self.url, TOKEN).expect("a client")
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.http.post(format!("{}{path}", self.url)).json(&body)).await
    }

    async fn texts(&self) -> Vec<String> {
        let (_, messages) = self.get("/standin/messages").await;
        let messages = messages.as_array().expect("a list").clone();
        messages
            .iter()
            .map(|m| m["text"].as_str().expect("text").to_owned())
            .collect()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn an_alert_arrives_as_it_was_sent_and_is_shown_with_its_time() {
    let rig = Rig::start().await;
    let before = thunes_runtime::clock::now_ms();
    let text = "🚨 KILL SWITCH ACTIVATED: drill & <test>";
    assert_eq!(
        rig.client().send_message("-42", text).await,
        SendOutcome::Accepted { message_id: 1 }
    );
    let (status, messages) = rig.get("/standin/messages").await;
    assert_eq!(status, 200);
    let message = &messages[0];
    assert_eq!(
        (&message["text"], &message["chat_id"], &message["message_id"]),
        (&json!(text), &json!("-42"), &json!(1))
    );
    let accepted_at_ms = message["accepted_at_ms"].as_i64().expect("a time");
    assert!((before..=thunes_runtime::clock::now_ms()).contains(&accepted_at_ms));
}

#[tokio::test]
async fn a_429_says_how_long_and_exactly_the_ordered_messages_fail() {
    let rig = Rig::start().await;
    assert_eq!(
        rig.post("/standin/fail", json!({"count": 1, "retry_after_s": 3}))
            .await
            .0,
        200
    );
    assert_eq!(
        rig.client().send_message("1", "a").await,
        SendOutcome::RetryAfter { ms: 3_000 }
    );
    assert!(matches!(
        rig.client().send_message("1", "b").await,
        SendOutcome::Accepted { .. }
    ));
    assert_eq!(
        rig.post("/standin/fail", json!({"count": 2, "status": 502})).await.0,
        200
    );
    for text in ["c", "d"] {
        let outcome = rig.client().send_message("1", text).await;
        assert!(matches!(outcome, SendOutcome::Unreachable { .. }), "{outcome:?}");
    }
    assert!(matches!(
        rig.client().send_message("1", "e").await,
        SendOutcome::Accepted { .. }
    ));
    assert_eq!(rig.texts().await, ["b", "e"]);
}

#[tokio::test]
async fn what_the_bot_api_would_refuse_is_refused() {
    let rig = Rig::start().await;
    for (chat_id, text, words) in [
        ("", "x", "chat_id is empty"),
        ("nobody", "x", "chat not found"),
        ("1", "", "text is empty"),
        ("1", "  ", "text is empty"),
    ] {
        let outcome = rig.client().send_message(chat_id, text).await;
        let SendOutcome::Refused { description } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(description.contains(words), "{description}");
    }
    let long = "x".repeat(TEXT_UNITS_MAX + 1);
    let (status, body) = rig
        .post("/bot1:x/sendMessage", json!({"chat_id": 1, "text": long}))
        .await;
    assert_eq!((status, body["error_code"].as_i64()), (400, Some(400)));
    assert!(
        matches!(
            rig.client().send_message("1", &long).await,
            SendOutcome::Accepted { .. }
        ),
        "the client cuts"
    );
    assert_eq!(rig.texts().await.len(), 1);
}

#[tokio::test]
async fn methods_are_found_in_any_case_and_tokens_are_needed() {
    let rig = Rig::start().await;
    for path in ["/bot123:x/getMe", "/bot123:x/GETME", "/bot123%3Ax/getme"] {
        let (status, body) = rig.get(path).await;
        assert_eq!(
            (status, body["ok"].as_bool(), body["result"]["id"].as_i64()),
            (200, Some(true), Some(123)),
            "{path}"
        );
    }
    assert_eq!(rig.get("/bot/getMe").await.0, 401);
    assert_eq!(rig.get("/bot1:x/getMoney").await.0, 404);
    assert_eq!(rig.get("/elsewhere").await.0, 404);
    assert_eq!(rig.get("/standin/health").await.0, 200);
}

#[tokio::test]
async fn p8_a_malformed_fault_order_is_refused_and_changes_nothing() {
    let rig = Rig::start().await;
    for bad in [
        json!({}),
        json!({"count": 1}),
        json!({"count": -1, "status": 500}),
        json!({"count": 1, "status": 200}),
        json!({"count": 1, "status": 429}),
        json!({"count": 1, "retry_after_s": 0}),
        json!({"count": 1, "retry_after_s": 5, "status": 500}),
        json!({"count": 1, "status": 500, "typo": 1}),
    ] {
        let (status, body) = rig.post("/standin/fail", bad.clone()).await;
        assert_eq!(status, 400, "{bad}");
        assert!(body["error"].is_string());
    }
    assert!(matches!(
        rig.client().send_message("1", "x").await,
        SendOutcome::Accepted { .. }
    ));
}

#[tokio::test]
async fn the_token_is_in_no_error_text() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let client = TelegramClient::new(&format!("http://{closed}"), TOKEN).expect("a client");
    let outcome = client.send_message("1", "x").await;
    let SendOutcome::Unreachable { why } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!why.is_empty() && !why.contains("hush"), "{why}");

    // A server that hangs up after it has read the request, token and all.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = TelegramClient::new(&format!("http://{}", listener.local_addr().expect("an address")), TOKEN)
        .expect("a client");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("hush") {
            stream.read_buf(&mut seen).await.expect("a request");
        }
    });
    let outcome = client.send_message("1", "x").await;
    server.await.expect("the token was on the wire");
    let SendOutcome::Unreachable { why } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!why.contains("hush"), "{why}");
}

#[tokio::test]
async fn neither_a_long_poll_nor_a_half_sent_request_holds_up_the_end() {
    let rig = Rig::start().await;
    let mut poll = TcpStream::connect(rig.address).await.expect("a connection");
    poll.write_all(b"GET /bot1:x/getUpdates?timeout=50 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut half_sent = TcpStream::connect(rig.address).await.expect("a connection");
    half_sent
        .write_all(b"POST /bot1:x/sendMessage HTTP/1.1\r\ncontent-length: 100\r\n\r\n{")
        .await
        .expect("sent");
    // Another answered request shows that the server is at work.
    assert_eq!(rig.get("/standin/health").await.0, 200);
    rig.shutdown.cancel();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), rig.task).await;
    ended.expect("in time").expect("no panic").expect("no error");
}
