use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::Link;
use crate::{ProxyConfig, ProxyError, admin};

/// How long requests and connections may take to end after the shutdown began.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Carries the links and serves the admin API on `listener` until `shutdown`; then every connection is broken off.
///
/// # Errors
/// When a link cannot be listened on, or the admin API fails.
pub async fn serve(config: ProxyConfig, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ProxyError> {
    raise_descriptor_limit();
    let mut bound = Vec::new();
    for spec in config.links {
        bound.push(Link::bind(spec, config.plaintext).await?);
    }
    // Ends with this call, also when the admin API fails.
    let ending = shutdown.child_token();
    let _ends = ending.clone().drop_guard();
    let tasks = TaskTracker::new();
    let mut links = Vec::new();
    for (link, socket) in bound {
        tasks.spawn(link.clone().carry(socket, tasks.clone(), ending.clone()));
        links.push(link);
    }
    let router = admin::router(links.into());
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    let served = tokio::select! {
        ended = serving.into_future() => ended.map_err(ProxyError::Admin),
        // Somebody holds a request open half sent; waiting for it would hold up the end for ever.
        () = patience => Ok(()),
    };
    ending.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN_MAX, tasks.wait()).await.is_err() {
        tracing::warn!(tasks = tasks.len(), "connections have not ended in time");
    }
    served
}

/// A connection takes two descriptors, and a proxy that has none left makes a fault that nobody ordered.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
