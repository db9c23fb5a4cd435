//! The client and the filters against the simulated exchange, which shares no code with them, over its own sockets.

use std::time::Duration;

use tempfile::TempDir;
use thunes_binance::{
    BinanceClient, CallError, ClientConfig, Credentials, ErrorKind, HeldWhy, NewOrder, OrderShape, Outcome, PrivateKey,
    Side, StreamEvent, Subscribe, TimeInForce, UserStreamConfig, run_user_stream,
};
use thunes_exchange_sim::SimConfig;
use thunes_runtime::clock;
use thunes_types::{ClientOrderId, Decimal, Symbol};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod filters;

const PATIENCE: Duration = Duration::from_secs(20);
const ED25519_API_KEY: &str = "an-ed25519-key";
/// The example pair of RFC 8410.
const ED25519_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----";
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----";

struct Sim {
    base_url: String,
    ws_url: String,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Sim {
    async fn start(change: impl FnOnce(&mut SimConfig)) -> Sim {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = SimConfig {
            data_dir: folder.path().to_path_buf(),
            price_tick_ms: 0,
            ..SimConfig::default()
        };
        config.accounts[0].ed25519_api_key = Some(ED25519_API_KEY.to_owned());
        config.accounts[0].ed25519_public_key_pem = Some(ED25519_PUBLIC.to_owned());
        change(&mut config);
        let rest = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = rest.local_addr().expect("an address");
        let stop = CancellationToken::new();
        tokio::spawn(thunes_exchange_sim::serve(config, rest, admin, stop.clone()));
        Sim {
            base_url: format!("http://{address}"),
            ws_url: format!("ws://{address}/ws-api/v3"),
            stop,
            _folder: folder,
        }
    }

    fn client(&self, credentials: Credentials, reserve_weight: u32) -> BinanceClient {
        let config = ClientConfig {
            reserve_weight,
            ..ClientConfig::new(self.base_url.clone())
        };
        BinanceClient::new(config, credentials).expect("a client")
    }
}

fn hmac() -> Credentials {
    let account = SimConfig::default().accounts.remove(0);
    Credentials::hmac(account.api_key.into(), account.api_secret.into())
}

fn ed25519() -> Credentials {
    let key = PrivateKey::from_pem(ED25519_PRIVATE).expect("a key");
    Credentials::private(ED25519_API_KEY.into(), key)
}

fn symbol() -> Symbol {
    Symbol::parse("BTCUSDT").expect("a symbol")
}

fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

fn order(id: &str, shape: OrderShape) -> NewOrder {
    NewOrder {
        symbol: symbol(),
        side: Side::Buy,
        client_order_id: ClientOrderId::parse(id).expect("an id"),
        shape,
    }
}

/// Far below the market, so that it rests.
async fn rest_an_order(client: &BinanceClient, id: &str) -> Outcome<thunes_binance::NewOrderAnswer> {
    let prices = client.ticker_prices(&[symbol()]).await.into_result().expect("prices");
    let price = thunes_types::floor_to_step(prices[0].price * d("0.9"), d("0.01")).expect("fits");
    let shape = OrderShape::Limit {
        quantity: d("0.01"),
        price,
        time_in_force: TimeInForce::Gtc,
    };
    client
        .send(client.sign_order(&order(id, shape), clock::now_ms(), 5_000))
        .await
}

#[tokio::test]
async fn both_kinds_of_key_trade_and_a_wrong_signature_is_refused() {
    let sim = Sim::start(|_| {}).await;
    for (name, credentials) in [("hmac", hmac()), ("ed", ed25519())] {
        let client = sim.client(credentials, 0);
        let now = clock::now_ms();
        client
            .send(client.sign_account(now, 5_000))
            .await
            .into_result()
            .expect("an account");
        let shape = OrderShape::MarketQuote {
            quote_quantity: d("100"),
        };
        let signed = client.sign_order(&order(name, shape), now, 5_000);
        let answer = client.send(signed).await.into_result().expect("an order");
        assert_eq!(answer.client_order_id, name);
        let id = ClientOrderId::parse(name).expect("an id");
        let signed = client.sign_cancel(&symbol(), &id, clock::now_ms(), 5_000);
        let Err(CallError::Rejected(rejection)) = client.send(signed).await.into_result() else {
            panic!("it is filled already")
        };
        assert_eq!(rejection.kind, ErrorKind::CancelRejected);
    }
    // The HMAC key under the other key's name: whatever it signs is no Ed25519 signature.
    let mut forged = hmac();
    forged.api_key = ED25519_API_KEY.into();
    let client = sim.client(forged, 0);
    let refused = client
        .send(client.sign_account(clock::now_ms(), 5_000))
        .await
        .into_result();
    let Err(CallError::Rejected(rejection)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(rejection.kind, ErrorKind::InvalidSignature);
}

#[tokio::test]
async fn every_key_hears_of_its_orders_by_every_way_that_it_can_subscribe() {
    let sim = Sim::start(|_| {}).await;
    let ways = [
        (hmac(), Subscribe::Signature),
        (ed25519(), Subscribe::LogOn),
        (ed25519(), Subscribe::Signature),
    ];
    for (number, (credentials, subscribe)) in ways.into_iter().enumerate() {
        let client = sim.client(credentials.clone(), 0);
        let mut config = UserStreamConfig::new(sim.ws_url.clone(), credentials);
        config.subscribe = subscribe;
        config.budget = Some(client.shared_budget());
        let (tx, mut events) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let stream = tokio::spawn(run_user_stream(config, clock::now_ms, tx, stop.clone()));
        let mut next = async || {
            tokio::time::timeout(PATIENCE, events.recv())
                .await
                .expect("in time")
                .expect("open")
        };
        assert_eq!(next().await, StreamEvent::Connected);
        assert!(matches!(next().await, StreamEvent::Subscribed { .. }), "{subscribe:?}");
        let id = format!("stream-{number}");
        rest_an_order(&client, &id).await.into_result().expect("an order");
        loop {
            match next().await {
                StreamEvent::ExecutionReport(report) if report.client_order_id == id => break,
                StreamEvent::Disconnected { why } => panic!("{why}"),
                _ => {}
            }
        }
        stop.cancel();
        tokio::time::timeout(PATIENCE, stream)
            .await
            .expect("in time")
            .expect("it ends");
    }
}

#[tokio::test]
async fn a_session_cannot_be_logged_on_with_an_hmac_key_and_the_stream_says_so() {
    let sim = Sim::start(|_| {}).await;
    let mut config = UserStreamConfig::new(sim.ws_url.clone(), hmac());
    config.subscribe = Subscribe::LogOn;
    let (tx, mut events) = mpsc::channel(64);
    let stop = CancellationToken::new();
    tokio::spawn(run_user_stream(config, clock::now_ms, tx, stop.clone()));
    let why = tokio::time::timeout(PATIENCE, async {
        loop {
            if let StreamEvent::Disconnected { why } = events.recv().await.expect("open") {
                return why.to_string();
            }
        }
    });
    assert!(why.await.expect("in time").contains("refused"));
    stop.cancel();
}

#[tokio::test]
async fn reads_are_held_back_before_the_reserve_and_a_cancel_still_passes() {
    let sim = Sim::start(|config| config.request_weight_per_minute = 400).await;
    let client = sim.client(hmac(), 150);
    rest_an_order(&client, "rests").await.into_result().expect("an order");
    client.exchange_info(&[symbol()]).await.into_result().expect("rules");
    assert_eq!(client.budget_status().weight_limit, 400, "read from the exchange");
    let held = loop {
        match client.send(client.sign_account(clock::now_ms(), 5_000)).await {
            Outcome::Answer(_) => {}
            Outcome::HeldBack(held) => break held,
            other => panic!("the exchange had to say it itself: {other:?}"),
        }
    };
    assert_eq!(held.why, HeldWhy::Budget);
    assert!(
        client.budget_status().weight_used <= 250,
        "{:?}",
        client.budget_status()
    );
    let id = ClientOrderId::parse("rests").expect("an id");
    let signed = client.sign_cancel(&symbol(), &id, clock::now_ms(), 5_000);
    client.send(signed).await.into_result().expect("the cancel passes");
}

#[tokio::test]
async fn an_order_above_the_exchanges_count_is_not_sent() {
    let sim = Sim::start(|config| config.orders_per_10s = 2).await;
    let client = sim.client(hmac(), 0);
    client.exchange_info(&[symbol()]).await.into_result().expect("rules");
    let mut answered = 0;
    // More than one ten seconds can hold, even if a new one begins in the middle.
    for number in 0..5 {
        match rest_an_order(&client, &format!("n-{number}")).await {
            Outcome::Answer(_) => answered += 1,
            Outcome::HeldBack(held) => assert!(held.message.contains("ORDERS per 10 S"), "{held}"),
            other => panic!("the exchange had to say it itself: {other:?}"),
        }
    }
    assert_eq!(answered, 2);
}
