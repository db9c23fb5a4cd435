use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};

/// The most links of one proxy.
pub const LINKS_MAX: usize = 64;
/// The longest name of a client or a server.
const PARTY_CHARS_MAX: usize = 63;
/// The longest DNS name.
const HOST_CHARS_MAX: usize = 253;

/// One link: `NAME=LISTEN>UPSTREAM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// `client:server`.
    pub name: String,
    /// HOST:PORT, resolved when it is bound.
    pub listen: String,
    /// HOST:PORT, resolved at each connection.
    pub upstream: String,
}

/// An entry that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFault {
    pub value: String,
    /// Begins with the position in the list, counted from 1.
    pub rule: String,
}

impl LinkSpec {
    /// Whether LISTEN has to be looked up.
    pub fn listens_at_a_name(&self) -> bool {
        self.listen.parse::<SocketAddr>().is_err()
    }

    /// Whether LISTEN is an address that only this machine reaches; `None` for a name, which tells when it is resolved.
    pub fn listens_on_loopback(&self) -> Option<bool> {
        let address: Result<SocketAddr, _> = self.listen.parse();
        address.ok().map(|address| address.ip().is_loopback())
    }
}

/// Reads a comma separated list of links; `plaintext` allows them to listen beyond this machine.
///
/// # Errors
/// Every fault of every entry.
pub fn parse_links(text: &str, plaintext: bool) -> Result<Vec<LinkSpec>, Vec<LinkFault>> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries == [""] {
        return Ok(Vec::new());
    }
    let (mut links, mut faults) = (Vec::new(), Vec::new());
    let (mut names, mut listeners) = (BTreeSet::new(), BTreeSet::new());
    for (index, entry) in entries.iter().enumerate() {
        let mut refuse = |rule: String| {
            faults.push(LinkFault {
                value: (*entry).to_owned(),
                rule: format!("link {}: {rule}", index + 1),
            });
        };
        let link = match parse_link(entry) {
            Ok(link) => link,
            Err(rules) => {
                rules.into_iter().for_each(refuse);
                continue;
            }
        };
        if !names.insert(link.name.clone()) {
            refuse(format!("the name {} is given twice; names must be unique", link.name));
        }
        if !link.listen.ends_with(":0") && !listeners.insert(link.listen.clone()) {
            refuse(format!(
                "{} is listened on twice; give each link a port of its own",
                link.listen
            ));
        }
        if !plaintext && link.listens_on_loopback() == Some(false) {
            refuse(format!(
                "{} is not a loopback address; set proxy.plaintext = true to allow that",
                link.listen
            ));
        }
        links.push(link);
    }
    if entries.len() > LINKS_MAX {
        faults.push(LinkFault {
            value: format!("{} links", entries.len()),
            rule: format!("at most {LINKS_MAX} links"),
        });
    }
    if faults.is_empty() { Ok(links) } else { Err(faults) }
}

fn parse_link(entry: &str) -> Result<LinkSpec, Vec<String>> {
    const FORM: &str = "must be NAME=LISTEN>UPSTREAM, such as risk:audit=127.0.0.1:7125>127.0.0.1:7103";
    let parts = entry
        .split_once('=')
        .and_then(|(name, rest)| rest.split_once('>').map(|(listen, upstream)| (name, listen, upstream)));
    let Some((name, listen, upstream)) = parts else {
        return Err(vec![FORM.to_owned()]);
    };
    let (name, listen, upstream) = (name.trim(), listen.trim(), upstream.trim());
    let rules: Vec<String> = [
        check_name(name),
        check_address("LISTEN", listen, 0),
        check_address("UPSTREAM", upstream, 1),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    if rules.is_empty() {
        Ok(LinkSpec {
            name: name.to_owned(),
            listen: listen.to_owned(),
            upstream: upstream.to_owned(),
        })
    } else {
        Err(rules)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let party = |text: &str| {
        (1..=PARTY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match name.split_once(':') {
        Some((client, server)) if party(client) && party(server) => Ok(()),
        _ => Err(format!(
            "NAME = {name:?}: must be client:server, each 1 to {PARTY_CHARS_MAX} letters, digits or '-'"
        )),
    }
}

fn check_address(part: &str, text: &str, port_min: u16) -> Result<(), String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        digits && port.parse::<u16>().is_ok_and(|port| port >= port_min) && is_host(host)
    });
    if good {
        Ok(())
    } else {
        Err(format!(
            "{part} = {text:?}: must be HOST:PORT with a port from {port_min} to 65535, such as 127.0.0.1:7101"
        ))
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
    }
    // Container names may have underscores, although DNS names may not.
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=HOST_CHARS_MAX).contains(&host.len()) && host.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<String> {
        let faults = parse_links(text, false).expect_err(text);
        faults.into_iter().map(|fault| fault.rule).collect()
    }

    #[test]
    fn links_are_read_with_addresses_and_with_names() {
        let text = "exchange-gateway:risk=127.0.0.1:7121>127.0.0.1:7101, risk:audit=[::1]:7125>audit_1.internal:7103";
        let links = parse_links(text, false).expect("good");
        assert_eq!(links[0].name, "exchange-gateway:risk");
        assert_eq!(links[1].listen, "[::1]:7125");
        assert_eq!(links[1].upstream, "audit_1.internal:7103");
        assert_eq!(parse_links("  ", false), Ok(Vec::new()));
        parse_links("a:b=0.0.0.0:1>c:2", true).expect("plaintext allows it");
        parse_links("a:b=proxy:1>c:2", false).expect("a name tells when it is resolved");
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let text = "a:b=127.0.0.1:1>c:2,nonsense,a:b=127.0.0.1:1>c:2,a=x>y:0,c:d=0.0.0.0:3>e:4,";
        let all = rules(text);
        let starts = [
            "link 2: must be NAME=",
            "link 3: the name a:b is given twice",
            "link 3: 127.0.0.1:1 is listened on twice",
            "link 4: NAME = \"a\"",
            "link 4: LISTEN = \"x\"",
            "link 4: UPSTREAM = \"y:0\"",
            "link 5: 0.0.0.0:3 is not a loopback",
            "link 6: must be NAME=",
        ];
        assert_eq!(all.len(), starts.len(), "{all:?}");
        for (rule, start) in all.iter().zip(starts) {
            assert!(rule.starts_with(start), "{rule} should begin {start}");
        }
        for bad in [
            "a:b=127.0.0.1:+1>c:2",
            "a:b=127.0.0.1:65536>c:2",
            "a:b=::1:5>c:2",
            "a:b=[::1:5>c:2",
            "a:b=[x]:5>c:2",
            "a:b=:5>c:2",
            "a:b=h h:5>c:2",
            "a:b:c=h:5>c:2",
            "ä:b=h:5>c:2",
            ":b=h:5>c:2",
        ] {
            rules(bad);
        }
    }

    #[test]
    fn there_are_at_most_so_many_links() {
        let list = |count: usize| {
            let links: Vec<_> = (1..=count).map(|n| format!("c:s{n}=127.0.0.1:{n}>h:1")).collect();
            links.join(",")
        };
        assert_eq!(
            parse_links(&list(LINKS_MAX), false).expect("at the bound").len(),
            LINKS_MAX
        );
        assert_eq!(rules(&list(LINKS_MAX + 1)), ["at most 64 links"]);
    }
}
