use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use thunes_runtime::clock;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ProxyError;
use crate::connection::{Connection, break_off};
use crate::domain::{Fault, Ledger, LinkSpec};

/// Connections that a link carries at once; more are ended at once and counted.
pub const CONNECTIONS_MAX: u64 = 1024;
/// How long the answer to a cut waits for the connections to end.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How long a name that is to be listened at may stay unknown.
const NAME_WITHIN: Duration = Duration::from_secs(10);
const NAME_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after an accept that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One link: its fault, its counters, its connections.
pub(crate) struct Link {
    spec: LinkSpec,
    address: SocketAddr,
    ledger: Mutex<Ledger>,
    /// The generation of the fault, for those who wait for a change.
    changes: watch::Sender<u64>,
    open: watch::Sender<u64>,
}

/// Counts a connection as open while it lives.
pub(crate) struct OpenConnection(Arc<Link>);

impl OpenConnection {
    fn new(link: &Arc<Link>) -> Self {
        link.open.send_modify(|open| *open += 1);
        Self(Arc::clone(link))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Link {
    /// Listens for the link. A name is looked up again for some seconds: a container's own is known a moment after its start.
    ///
    /// # Errors
    /// When its address cannot be listened on, or must not.
    pub(crate) async fn bind(spec: LinkSpec, plaintext: bool) -> Result<(Arc<Self>, TcpListener), ProxyError> {
        let begun = clock::instant();
        let listener = loop {
            match bind_once(&spec, plaintext).await {
                Err(ProxyError::Listen { .. }) if spec.listens_at_a_name() && begun.elapsed() < NAME_WITHIN => {
                    tokio::time::sleep(NAME_RETRY_INTERVAL).await;
                }
                ended => break ended?,
            }
        };
        let address = listener
            .local_addr()
            .map_err(|source| ProxyError::listen(&spec.name, &spec.listen, source))?;
        let link = Arc::new(Self {
            spec,
            address,
            ledger: Mutex::default(),
            changes: watch::Sender::new(0),
            open: watch::Sender::new(0),
        });
        Ok((link, listener))
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn upstream(&self) -> &str {
        &self.spec.upstream
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A count that a panic cut short is off by the connection that panicked, and its log line says so.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the fault.
    pub(crate) fn set(&self, fault: Fault) {
        let mut ledger = self.ledger();
        ledger.set(fault, clock::now_ms());
        self.changes.send_replace(ledger.generation());
        tracing::info!(link = self.name(), kind = fault.kind(), ms = fault.ms(), "fault set");
    }

    /// Heals the link.
    pub(crate) fn clear(&self) {
        let mut ledger = self.ledger();
        ledger.clear();
        self.changes.send_replace(ledger.generation());
        tracing::info!(link = self.name(), "fault cleared");
    }

    /// After a cut: waits until the connections that it ended are closed, so that the answer tells of all of them.
    pub(crate) async fn settled(&self) {
        let generation = self.ledger().generation();
        let (mut changes, mut open) = (self.changes(), self.open.subscribe());
        let ended = async {
            tokio::select! {
                _ = open.wait_for(|open| *open == 0) => {}
                _ = changes.wait_for(|now| *now != generation) => {}
            }
        };
        if self.ledger().fault() == Some(Fault::Cut) && tokio::time::timeout(SETTLE_MAX, ended).await.is_err() {
            tracing::warn!(link = self.name(), "connections are still open after a cut");
        }
    }

    /// Its state as the admin API shows it, all of one moment.
    pub(crate) fn state(&self) -> Value {
        let ledger = self.ledger();
        let mut counters = json!(ledger.counters());
        counters["connections_open"] = json!(*self.open.borrow());
        json!({
            "name": self.spec.name,
            "listen": self.address.to_string(),
            "upstream": self.spec.upstream,
            "fault": ledger.active().map(|active| json!({
                "kind": active.fault.kind(),
                "ms": active.fault.ms(),
                "since_ms": active.since_ms,
            })),
            "counters": counters,
            "since_fault": ledger.since_fault(),
        })
    }

    /// Accepts connections until `shutdown`; each is carried in a task of `tasks`.
    pub(crate) async fn carry(self: Arc<Self>, listener: TcpListener, tasks: TaskTracker, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Some(connection) = self.accepted(stream) {
                        tasks.spawn(connection.run(shutdown.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(link = self.name(), %error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The connection, unless it is ended at once.
    fn accepted(self: &Arc<Self>, client: TcpStream) -> Option<Connection> {
        let mut ledger = self.ledger();
        ledger.count(|counters| counters.connections += 1);
        if ledger.fault() == Some(Fault::Cut) {
            ledger.hit(|hits| hits.refused_connections += 1);
            break_off(&client);
            return None;
        }
        if *self.open.borrow() >= CONNECTIONS_MAX {
            ledger.count(|counters| counters.over_limit += 1);
            break_off(&client);
            return None;
        }
        // Fails only where the client is gone, which shows at the first read.
        let _ = client.set_nodelay(true);
        let open = OpenConnection::new(self);
        Some(Connection::accepted(Arc::clone(self), client, open, &mut ledger))
    }
}

async fn bind_once(spec: &LinkSpec, plaintext: bool) -> Result<TcpListener, ProxyError> {
    let failed = |source| ProxyError::listen(&spec.name, &spec.listen, source);
    let addresses: Vec<SocketAddr> = lookup_host(&spec.listen).await.map_err(failed)?.collect();
    if let Some(&address) = addresses.iter().find(|address| !address.ip().is_loopback())
        && !plaintext
    {
        return Err(ProxyError::Plaintext {
            link: spec.name.clone(),
            address,
        });
    }
    TcpListener::bind(addresses.as_slice()).await.map_err(failed)
}
