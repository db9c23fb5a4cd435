use std::future::pending;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use thunes_runtime::clock;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{Fault, First, Item, Ledger, Passing, Queue, Toward};
use crate::link::{Link, OpenConnection};

/// How long the upstream may take to answer a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// One client's connection with the upstream's, and what waits between them.
///
/// Everything that passes is decided, written and counted under the lock of the link's ledger. So nothing passes a fault
/// after the request that set it was answered, and no counter tells of what did not happen.
pub(crate) struct Connection {
    link: Arc<Link>,
    client: TcpStream,
    /// None until it is connected; in a black hole nobody tries.
    server: Option<TcpStream>,
    connecting: Option<Connecting>,
    connect_error: Option<io::Error>,
    to_server: Way,
    to_client: Way,
    changes: watch::Receiver<u64>,
    /// The generation of the fault that the queues were last looked at under.
    seen: u64,
    /// The generation of the black hole that has held something of this connection.
    held_in: Option<u64>,
    wake_at: Option<Instant>,
    /// Somebody was found gone, which the other direction must hear of.
    again: bool,
    /// Last, so that a connection counts as open until its sockets are closed.
    _open: OpenConnection,
}

/// One direction.
#[derive(Default)]
struct Way {
    queue: Queue,
    /// The sender has said its last.
    ended: bool,
    /// The other direction found the sender gone: what it still sent is taken in, then it counts as a reset.
    sender_gone: bool,
    /// The receiver's socket is full.
    blocked: bool,
    fin_passed: bool,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both halves were ended by their senders and passed on.
    Closed,
    /// RST to both sides.
    Broken,
}

impl Connection {
    /// A connection that was accepted just now; `ledger` is the link's.
    pub(crate) fn accepted(link: Arc<Link>, client: TcpStream, open: OpenConnection, ledger: &mut Ledger) -> Self {
        let mut connection = Self {
            changes: link.changes(),
            link,
            client,
            server: None,
            connecting: None,
            connect_error: None,
            to_server: Way::default(),
            to_client: Way::default(),
            seen: ledger.generation(),
            held_in: None,
            wake_at: None,
            again: false,
            _open: open,
        };
        if ledger.fault() == Some(Fault::BlackHole) {
            connection.mark_held(ledger);
        }
        connection
    }

    /// Carries the connection until it ends, or until `shutdown` breaks it off.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let end = loop {
            if let Some(end) = self.step() {
                break end;
            }
            tokio::select! {
                () = shutdown.cancelled() => break End::Broken,
                () = self.wait() => {}
            }
            // Two busy sockets are always ready; the other connections have their turn, too.
            tokio::task::coop::consume_budget().await;
        };
        if end == End::Broken {
            break_off(&self.client);
            self.server.iter().for_each(break_off);
        }
    }

    /// Does all that can be done without waiting.
    fn step(&mut self) -> Option<End> {
        let link = Arc::clone(&self.link);
        let mut ledger = link.ledger();
        if let Some(end) = self.notice(&mut ledger).or_else(|| self.connect(&mut ledger)) {
            return Some(end);
        }
        loop {
            (self.wake_at, self.again) = (None, false);
            for toward in [Toward::Server, Toward::Client] {
                if let Some(end) = self.take_in(toward, &mut ledger) {
                    return Some(end);
                }
            }
            for toward in [Toward::Server, Toward::Client] {
                if let Some(end) = self.pass_on(toward, &mut ledger) {
                    return Some(end);
                }
            }
            if !self.again {
                break;
            }
        }
        (self.to_server.fin_passed && self.to_client.fin_passed).then_some(End::Closed)
    }

    /// What a fault does to what is there already.
    fn notice(&mut self, ledger: &mut Ledger) -> Option<End> {
        if ledger.fault() == Some(Fault::Cut) {
            ledger.hit(|hits| hits.cut_connections += 1);
            return Some(End::Broken);
        }
        if ledger.generation() == self.seen {
            return None;
        }
        self.seen = ledger.generation();
        let waiting = self.to_server.queue.bytes() + self.to_client.queue.bytes();
        match ledger.fault() {
            None | Some(Fault::Cut) => {}
            Some(Fault::BlackHole) if waiting > 0 => self.hold(waiting, ledger),
            Some(Fault::BlackHole) => {}
            Some(Fault::Reset) if waiting > 0 => return Some(reset(ledger)),
            Some(Fault::Reset) => {}
            Some(Fault::Delay { .. }) => {
                let now = clock::instant();
                let early = |arrived| ledger.passing(arrived, now) != Passing::Now;
                let chunks = self.to_server.queue.chunks_of(early) + self.to_client.queue.chunks_of(early);
                if chunks > 0 {
                    ledger.hit(|hits| hits.delayed_chunks += chunks);
                }
            }
        }
        None
    }

    /// Connects the upstream when there is somebody to connect it for.
    fn connect(&mut self, ledger: &mut Ledger) -> Option<End> {
        if self.server.is_some() {
            return None;
        }
        if ledger.fault() == Some(Fault::BlackHole) {
            // Nobody learns of a failure in it; the heal begins anew.
            (self.connecting, self.connect_error) = (None, None);
            return None;
        }
        if let Some(error) = self.connect_error.take() {
            let error = format!("{}: {error}", self.link.upstream());
            tracing::warn!(link = self.link.name(), error, "the upstream cannot be connected");
            ledger.count(|counters| {
                counters.upstream_failed += 1;
                counters.last_upstream_error = Some(error);
            });
            return Some(End::Broken);
        }
        if self.to_server.queue.ends_in_reset() {
            return Some(End::Broken);
        }
        if self.connecting.is_none() {
            self.connecting = Some(Box::pin(connect(self.link.upstream().to_owned())));
        }
        None
    }

    /// Reads one chunk, if there is one and room for it.
    fn take_in(&mut self, toward: Toward, ledger: &mut Ledger) -> Option<End> {
        let (way, from) = match toward {
            Toward::Server => (&mut self.to_server, &self.client),
            Toward::Client => (&mut self.to_client, self.server.as_ref()?),
        };
        let room = way.queue.room().min(CHUNK_BYTES);
        if way.ended || room == 0 {
            return None;
        }
        let mut buffer = [0; CHUNK_BYTES];
        let read = from.try_read(&mut buffer[..room]);
        // Read after the bytes: a delay is never shorter than it says.
        let now = clock::instant();
        match read {
            Ok(count) if count > 0 => return self.arrived(toward, &buffer[..count], now, ledger),
            Ok(_) if !way.sender_gone => way.end(now, Item::Fin),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !way.sender_gone => {}
            Ok(_) | Err(_) => way.end(now, Item::Reset),
        }
        None
    }

    fn arrived(&mut self, toward: Toward, bytes: &[u8], now: Instant, ledger: &mut Ledger) -> Option<End> {
        match ledger.fault() {
            None | Some(Fault::Cut) => {}
            Some(Fault::Reset) => return Some(reset(ledger)),
            Some(Fault::BlackHole) => self.hold(bytes.len(), ledger),
            Some(Fault::Delay { .. }) => ledger.hit(|hits| hits.delayed_chunks += 1),
        }
        self.way(toward).queue.push(now, Item::Bytes(bytes.to_vec()));
        None
    }

    /// Gives the receiver's socket what may pass and what it takes.
    fn pass_on(&mut self, toward: Toward, ledger: &mut Ledger) -> Option<End> {
        let now = clock::instant();
        let (way, to) = match toward {
            Toward::Server => (&mut self.to_server, self.server.as_ref()?),
            Toward::Client => (&mut self.to_client, &self.client),
        };
        way.blocked = false;
        while let Some(arrived) = way.queue.first_arrived() {
            match ledger.passing(arrived, now) {
                Passing::Now => {}
                Passing::Held => break,
                Passing::At(due) => {
                    self.wake_at = Some(self.wake_at.map_or(due, |other| other.min(due)));
                    break;
                }
            }
            let done = match way.queue.first() {
                None => break,
                Some(First::Reset) => return Some(End::Broken),
                Some(First::Fin) => shutdown(to, Shutdown::Write).map_err(io::Error::from).map(|()| {
                    way.queue.pop_end();
                    way.fin_passed = true;
                }),
                Some(First::Bytes(bytes)) => to.try_write(bytes).map(|count| {
                    way.queue.advance(count);
                    ledger.passed(toward, count);
                }),
            };
            match done {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    way.blocked = true;
                    break;
                }
                Err(_) => {
                    self.receiver_gone(toward);
                    break;
                }
            }
        }
        None
    }

    /// Whoever receives in this direction has broken off; the other side learns it in the order of what was sent.
    fn receiver_gone(&mut self, toward: Toward) {
        let way = self.way(toward);
        way.queue.clear();
        way.ended = true;
        let back = match toward {
            Toward::Server => Toward::Client,
            Toward::Client => Toward::Server,
        };
        let other = self.way(back);
        if other.ended {
            other.queue.push(clock::instant(), Item::Reset);
        }
        other.sender_gone = true;
        self.again = true;
    }

    fn way(&mut self, toward: Toward) -> &mut Way {
        match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        }
    }

    fn hold(&mut self, bytes: usize, ledger: &mut Ledger) {
        self.mark_held(ledger);
        ledger.hit(|hits| hits.held_bytes += u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn mark_held(&mut self, ledger: &mut Ledger) {
        let generation = Some(ledger.generation());
        if self.held_in != generation {
            self.held_in = generation;
            ledger.hit(|hits| hits.held_connections += 1);
        }
    }

    /// Waits until [`Connection::step`] has something to do.
    async fn wait(&mut self) {
        let (client, server) = (Some(&self.client), self.server.as_ref());
        tokio::select! {
            // The link outlives its connections, so that this never fails.
            _ = self.changes.changed() => {}
            made = connected(&mut self.connecting) => {
                self.connecting = None;
                match made {
                    Ok(stream) => self.server = Some(stream),
                    Err(error) => self.connect_error = Some(error),
                }
            }
            () = readable(client, self.to_server.wants_bytes()) => {}
            () = readable(server, self.to_client.wants_bytes()) => {}
            () = writable(server, self.to_server.blocked) => {}
            () = writable(client, self.to_client.blocked) => {}
            () = until(self.wake_at) => {}
        }
    }
}

impl Way {
    fn end(&mut self, now: Instant, with: Item) {
        self.ended = true;
        self.queue.push(now, with);
    }

    fn wants_bytes(&self) -> bool {
        !self.ended && self.queue.room() > 0
    }
}

fn reset(ledger: &mut Ledger) -> End {
    ledger.hit(|hits| hits.reset_connections += 1);
    End::Broken
}

/// Makes the close of `stream` an RST.
pub(crate) fn break_off(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::warn!(%error, "a connection ends with FIN instead of RST");
    }
}

async fn connect(upstream: String) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(upstream))
        .await
        .map_err(|_| io::Error::new(ErrorKind::TimedOut, "no answer within 10 s"))??;
    // Small answers must not wait for the next packet.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connected(connecting: &mut Option<Connecting>) -> io::Result<TcpStream> {
    match connecting {
        Some(connecting) => connecting.await,
        None => pending().await,
    }
}

// Whatever is wrong with a socket shows when it is used.

async fn readable(stream: Option<&TcpStream>, wanted: bool) {
    match stream {
        Some(stream) if wanted => drop(stream.readable().await),
        _ => pending().await,
    }
}

async fn writable(stream: Option<&TcpStream>, wanted: bool) {
    match stream {
        Some(stream) if wanted => drop(stream.writable().await),
        _ => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
