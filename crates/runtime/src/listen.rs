use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// DNS allows no longer name.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Where to listen: an IP address or a DNS name of this machine or container, and a port. A name is looked up when it is
/// bound, not when it is read: in a container only its own network knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// The text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct ListenAddressError {
    pub rule: &'static str,
}

impl ListenAddress {
    /// What an address looks like, for messages.
    pub const RULE: &'static str =
        "an address or name and a port from 0 to 65535, such as 127.0.0.1:7101, [::1]:7101 or risk:7101";

    /// The port; 0 leaves the choice to the system.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, unless it is a name that has to be looked up.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The name, unless it is an address already.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let wrong = ListenAddressError { rule: Self::RULE };
        let (name, port) = text.rsplit_once(':').ok_or(wrong.clone())?;
        let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|_| digits).ok_or(wrong.clone())?;
        if !is_name(name) {
            return Err(wrong);
        }
        Ok(Self {
            host: Host::Name(name.to_owned()),
            port,
        })
    }
}

/// Letters, digits, `-` and `_` in labels. A last label of digits alone is a mistyped address.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_taken_and_shown_as_they_were_given() {
        for text in [
            "127.0.0.1:7101",
            "[::1]:0",
            "0.0.0.0:65535",
            "localhost:7101",
            "exchange-rest:7110",
            "a.b_c.example:1",
            "7up:80",
        ] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
            assert_ne!(address.ip().is_some(), address.name().is_some());
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let (label, name) = ("a".repeat(64), "a.".repeat(127));
        let long = [format!("{label}:1"), format!("{name}b:1")];
        let wrong = [
            "",
            ":",
            "here",
            ":7101",
            "host:",
            "host:70000",
            "host:+1",
            "host:007101",
            "host: 1",
            "a b:1",
            "a..b:1",
            "-a:1",
            "a-:1",
            "127.0.0:1",
            "1.2.3.4.5:1",
            "::1:7101",
            "http://risk:7101",
            "risk:7101/",
            "ö:1",
        ];
        for text in wrong.into_iter().chain(long.iter().map(String::as_str)) {
            let answer = text.parse::<ListenAddress>();
            assert_eq!(
                answer,
                Err(ListenAddressError {
                    rule: ListenAddress::RULE
                }),
                "{text}"
            );
        }
    }
}
