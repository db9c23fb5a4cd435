use std::path::Path;
use std::time::Duration;

use tonic::transport::Endpoint;

use crate::trace::Client;

/// The address of a peer is not a URL.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is not an address such as http://127.0.0.1:7101: {source}")]
pub struct ClientError {
    url: String,
    source: tonic::transport::Error,
}

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// No call may last longer, whatever its own deadline; streams are not calls in this sense.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepares a client for the peer at `url`.
///
/// # Errors
/// When the URL is malformed; an unreachable peer shows at the first call.
pub fn connect(url: &str) -> Result<Client, ClientError> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|source| ClientError {
        url: url.to_owned(),
        source,
    })?;
    let authority = endpoint.uri().authority().map(ToString::to_string).unwrap_or_default();
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_lazy();
    Ok(Client::new(channel, authority))
}

/// Prepares a client for the peer at the Unix socket `path`.
///
/// # Errors
/// When the path cannot be an address; an unreachable peer shows at the first call.
pub fn connect_unix(path: &Path) -> Result<Client, ClientError> {
    connect(&format!("unix://{}", path.display()))
}

/// A request with a deadline, which the server sees and keeps too.
pub fn deadline<T>(message: T, limit: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(limit);
    request
}
