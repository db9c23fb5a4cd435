//! An exchange of a few lines over raw TCP: it counts what arrives and misbehaves by script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the stand-in does with the next request.
pub enum Act {
    /// Answers; the connection stays open.
    Answer {
        status: u16,
        headers: &'static str,
        body: String,
    },
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and resets the connection.
    Reset,
    /// Reads the request and closes the connection in order.
    Close,
    /// Promises a body, sends half of it and closes.
    HalfBody,
}

impl Act {
    pub fn ok(body: &str) -> Act {
        Act::Answer {
            status: 200,
            headers: "",
            body: body.to_owned(),
        }
    }

    pub fn status(status: u16, body: &str) -> Act {
        Act::Answer {
            status,
            headers: "",
            body: body.to_owned(),
        }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub head: String,
    pub body: String,
}

pub struct Standin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Standin {
    /// Serves the acts in turn, one per request, over however many connections.
    pub async fn start(acts: Vec<Act>) -> Standin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let acts = Arc::new(Mutex::new(VecDeque::from(acts)));
        let for_server = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, acts.clone(), for_server.clone()));
            }
        });
        Standin { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

async fn serve(mut stream: TcpStream, acts: Arc<Mutex<VecDeque<Act>>>, seen: Arc<Mutex<Vec<Seen>>>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().expect("not poisoned").push(request);
        let act = acts
            .lock()
            .expect("not poisoned")
            .pop_front()
            .expect("more requests than the script has acts");
        match act {
            Act::Answer { status, headers, body } => {
                let text = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}",
                    body.len()
                );
                stream.write_all(text.as_bytes()).await.expect("the client reads");
            }
            Act::Hang => std::future::pending().await,
            Act::Reset => {
                stream.set_zero_linger().expect("a socket");
                return;
            }
            Act::Close => return,
            Act::HalfBody => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"symbol\":";
                stream.write_all(half).await.expect("the client reads");
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_string();
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head_end + 4..]).to_string();
    let line = head.lines().next().unwrap_or_default().to_owned();
    Some(Seen { line, head, body })
}
