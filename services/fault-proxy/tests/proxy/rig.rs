use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use serde_json::{Value, json};
use thunes_fault_proxy::domain::LinkSpec;
use thunes_fault_proxy::{ProxyConfig, ProxyError, serve};
use thunes_testkit::until_ok;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes that works.
pub const LONG: Duration = Duration::from_secs(20);
/// So often a counter must be the same until it counts as standing still; there are 10 ms between two looks.
const LOOKS_ALIKE: u32 = 25;
pub const LINK: &str = "a:b";

/// A running proxy with the links `a:b` and `a:c`, and the upstream of `a:b`.
pub struct Rig {
    pub admin: SocketAddr,
    pub listen: SocketAddr,
    pub upstream: Option<TcpListener>,
    pub upstream_address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), ProxyError>>,
}

impl Rig {
    pub async fn start() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let upstream_address = upstream.local_addr().expect("address");
        let link = |name: &str, upstream: String| LinkSpec {
            name: name.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            upstream,
        };
        let links = vec![
            link(LINK, upstream_address.to_string()),
            link("a:c", "127.0.0.1:1".to_owned()),
        ];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let admin = listener.local_addr().expect("address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(config(admin, links), listener, shutdown.clone()));
        let (_, all) = request(admin, "GET", "/admin/links", "").await;
        let listen = all["links"][0]["listen"].as_str().expect("an address").to_owned();
        Self {
            admin,
            listen: listen.parse().expect("an address"),
            upstream: Some(upstream),
            upstream_address,
            shutdown,
            served,
        }
    }

    pub async fn client(&self) -> TcpStream {
        within("a connection", TcpStream::connect(self.listen))
            .await
            .expect("connected")
    }

    pub async fn accept(&self) -> TcpStream {
        let upstream = self.upstream.as_ref().expect("the upstream is up");
        within("the upstream's connection", upstream.accept())
            .await
            .expect("accepted")
            .0
    }

    /// Both ends of a new connection through the proxy.
    pub async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client().await;
        (client, self.accept().await)
    }

    pub async fn set(&self, fault: Value) -> Value {
        let (status, state) = request(self.admin, "PUT", "/admin/links/a:b/fault", &fault.to_string()).await;
        assert_eq!(status, 200, "{state}");
        state
    }

    pub async fn set_kind(&self, kind: &str) -> Value {
        self.set(json!({ "kind": kind })).await
    }

    pub async fn clear(&self) -> Value {
        let (status, state) = request(self.admin, "DELETE", "/admin/links/a:b/fault", "").await;
        assert_eq!(status, 200, "{state}");
        state
    }

    pub async fn state(&self) -> Value {
        let (_, all) = request(self.admin, "GET", "/admin/links", "").await;
        all["links"][0].clone()
    }

    /// Waits until a counter has exactly this value, and fails at once when it is beyond.
    pub async fn until_count(&self, path: &str, value: u64) {
        until_ok(&format!("{path} is {value}"), LONG, async || {
            let state = self.state().await;
            let count = state.pointer(path).and_then(Value::as_u64).expect("a counter");
            assert!(
                count <= value || path.ends_with("open"),
                "{path} is {count}, not {value}: {state}"
            );
            if count == value { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }

    /// Waits until the kernel's buffers and the proxy's queue are full, so that a counter stands still; returns it.
    pub async fn until_still(&self, path: &str) -> u64 {
        let (mut before, mut alike) = (0, 0);
        until_ok(&format!("{path} stands still"), LONG, async || {
            let state = self.state().await;
            let now = state.pointer(path).and_then(Value::as_u64).expect("a counter");
            alike = if now == before && now > 0 { alike + 1 } else { 0 };
            before = now;
            if alike > LOOKS_ALIKE {
                Ok(())
            } else {
                Err(format!("{now}"))
            }
        })
        .await;
        before
    }

    /// Ends the proxy.
    pub async fn stop(self) {
        self.shutdown.cancel();
        within("the end of the proxy", self.served)
            .await
            .expect("no panic")
            .expect("an orderly end");
    }
}

pub fn config(admin: SocketAddr, links: Vec<LinkSpec>) -> ProxyConfig {
    ProxyConfig {
        listen: admin.into(),
        plaintext: false,
        data_dir: "unused".into(),
        links,
    }
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {} s", LONG.as_secs()))
}

/// One request of the admin API, byte by byte as given.
pub async fn request(admin: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(admin).await.expect("connected");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // A server that refuses a large body need not read it to its end.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("an answer", stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    within("sending", stream.write_all(bytes)).await.expect("sent");
}

/// Reads exactly these bytes.
pub async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    within("receiving", stream.read_exact(&mut got))
        .await
        .expect("received");
    assert!(got == bytes, "other bytes arrived than were sent");
}

pub async fn expect_end(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = within("the end", stream.read(&mut byte)).await;
    assert_eq!(read.expect("an orderly end"), 0, "no bytes come before the end");
}

/// The next thing that is read is an RST.
pub async fn expect_rst(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = within("an RST", stream.read(&mut byte)).await;
    let error = read.expect_err("an RST, not bytes or an orderly end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Nothing has arrived so far: the kernel itself is asked.
pub fn expect_nothing(stream: &TcpStream) {
    let mut byte = [0];
    let peeked = recv(stream, &mut byte, RecvFlags::PEEK);
    assert_eq!(peeked.map(|(_, count)| count), Err(Errno::AGAIN), "nothing has arrived");
}

/// Bytes of which no two stretches are alike.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}
