use std::io;
use std::net::SocketAddr;

/// Why the proxy cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("link {link} cannot listen on {address}: {source}; {remedy}")]
    Listen {
        link: String,
        address: String,
        source: io::Error,
        remedy: &'static str,
    },
    #[error(
        "link {link} would listen on {address}, which is not loopback, without identity and TLS; choose a loopback \
         address, or set proxy.plaintext = true to allow it"
    )]
    Plaintext { link: String, address: SocketAddr },
    #[error("the admin API failed: {0}; start the fault proxy again")]
    Admin(#[source] io::Error),
}

impl ProxyError {
    pub(crate) fn listen(link: &str, address: &str, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => "stop what listens there, or choose another port in proxy.links",
            io::ErrorKind::PermissionDenied => "choose a port above 1023 in proxy.links",
            _ => "choose an address of this machine, or a name that resolves to one, in proxy.links",
        };
        Self::Listen {
            link: link.to_owned(),
            address: address.to_owned(),
            source,
            remedy,
        }
    }
}
