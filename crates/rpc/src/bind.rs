use std::net::SocketAddr;
use std::time::Duration;

use thunes_runtime::ListenAddress;
use tokio::net::{TcpListener, lookup_host};
use tokio::time::{Instant, timeout};

/// A container's own name is known a moment after it has started, and for a moment it may still be that of the one before.
const NAME_WITHIN: Duration = Duration::from_secs(10);
const NAME_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// More addresses than a name of this machine can have.
const NAME_ADDRESSES_MAX: usize = 16;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{service} cannot listen on {address}: {source}; {remedy}")]
    Listen {
        service: &'static str,
        address: ListenAddress,
        source: std::io::Error,
        remedy: &'static str,
    },
    #[error(
        "{service} cannot listen on {address}: the name was not found within {} ms ({source}); give a name of this machine \
         or container, or an address",
        within.as_millis()
    )]
    Name {
        service: &'static str,
        address: ListenAddress,
        within: Duration,
        source: std::io::Error,
    },
    #[error(
        "{service} will not listen on {address}: it is not a loopback address, and there is no identity and no TLS yet; \
         set {service}.plaintext = true only where nobody else can reach that address"
    )]
    Plaintext {
        service: &'static str,
        address: ListenAddress,
    },
}

/// A listener and where it listens.
#[derive(Debug)]
pub struct Listening {
    pub listener: TcpListener,
    pub address: SocketAddr,
}

/// Listens on `address`. Anything but a loopback address needs `plaintext`. A name is looked up again for some seconds
/// until it is known and belongs to this machine; the first of its addresses that can be bound is taken.
///
/// # Errors
/// Names the service, the address and the remedy.
pub async fn bind(service: &'static str, address: ListenAddress, plaintext: bool) -> Result<Listening, BindError> {
    bind_within(service, &address, plaintext, NAME_WITHIN).await
}

async fn bind_within(
    service: &'static str,
    address: &ListenAddress,
    plaintext: bool,
    within: Duration,
) -> Result<Listening, BindError> {
    let begun = Instant::now();
    loop {
        let found = timeout(within.saturating_sub(begun.elapsed()), resolve(address))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let ended = match found {
            Ok(addresses) => bind_to(service, address, &addresses, plaintext).await,
            Err(source) => Err(BindError::Name {
                service,
                address: address.clone(),
                within,
                source,
            }),
        };
        match ended {
            Err(error) if address.name().is_some() && is_passing(&error) && begun.elapsed() < within => {
                tokio::time::sleep(NAME_RETRY_INTERVAL).await;
            }
            ended => return ended,
        }
    }
}

/// What time can mend: a name that is not known yet, or that still belongs to a container that is gone.
fn is_passing(error: &BindError) -> bool {
    match error {
        BindError::Name { .. } => true,
        BindError::Listen { source, .. } => source.kind() == std::io::ErrorKind::AddrNotAvailable,
        BindError::Plaintext { .. } => false,
    }
}

async fn bind_to(
    service: &'static str,
    address: &ListenAddress,
    addresses: &[SocketAddr],
    plaintext: bool,
) -> Result<Listening, BindError> {
    if !plaintext && addresses.iter().any(|a| !a.ip().is_loopback()) {
        return Err(BindError::Plaintext {
            service,
            address: address.clone(),
        });
    }
    let failed = |source: std::io::Error| BindError::Listen {
        service,
        address: address.clone(),
        remedy: remedy(source.kind()),
        source,
    };
    let listener = TcpListener::bind(addresses).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listening { listener, address })
}

async fn resolve(address: &ListenAddress) -> std::io::Result<Vec<SocketAddr>> {
    let Some(name) = address.name() else {
        return Ok(address
            .ip()
            .map(|ip| SocketAddr::new(ip, address.port()))
            .into_iter()
            .collect());
    };
    let found: Vec<_> = lookup_host((name, address.port()))
        .await?
        .take(NAME_ADDRESSES_MAX)
        .collect();
    if found.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(found)
}

fn remedy(kind: std::io::ErrorKind) -> &'static str {
    match kind {
        std::io::ErrorKind::AddrInUse => "stop what listens there, or choose another port",
        std::io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose an address of this machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ListenAddress {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_listened_on() {
        let listening = bind("risk", at("localhost:0"), false).await.expect("bound");
        assert!(listening.address.ip().is_loopback() && listening.address.port() != 0);
        let taken = at(&listening.address.to_string());
        let error = bind("risk", taken, false).await.expect_err("taken").to_string();
        assert!(error.contains("choose another port"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_loopback_needs_plaintext() {
        let error = bind("risk", at("0.0.0.0:0"), false)
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains("risk.plaintext = true"), "{error}");
        bind("risk", at("0.0.0.0:0"), true).await.expect("bound");
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_given_up_and_named() {
        let within = Duration::from_millis(300);
        let answer = bind_within("risk", &at("nobody.invalid:7101"), true, within).await;
        let error = answer.expect_err("unknown").to_string();
        assert!(
            error.contains("nobody.invalid:7101") && error.contains("within 300 ms"),
            "{error}"
        );
    }
}
