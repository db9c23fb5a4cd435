use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Settings};

use crate::domain::{LinkSpec, parse_links};

/// The settings of section `[proxy]`.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where the admin API listens.
    pub listen: ListenAddress,
    /// Whether the admin API and the links may listen on an address that is not loopback.
    pub plaintext: bool,
    /// Not used: the proxy keeps nothing.
    pub data_dir: PathBuf,
    pub links: Vec<LinkSpec>,
}

impl ProxyConfig {
    /// Reads section `[proxy]`.
    ///
    /// # Errors
    /// Every fault of the section at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("proxy");
        let listen = reader.listen("listen", "127.0.0.1:7113", "Where the fault proxy's admin API listens.");
        let plaintext = reader.boolean(
            "plaintext",
            false,
            "Allow addresses that are not loopback, for the admin API and for the links, without identity and TLS.",
        );
        let data_dir = reader.path(
            "data_dir",
            "thunes-data",
            "Set by its environment; not used: the fault proxy keeps nothing.",
        );
        let text = reader.text(
            "links",
            "",
            "The links, as `NAME=LISTEN>UPSTREAM` joined by commas, such as \
             `risk:audit=127.0.0.1:7125>127.0.0.1:7103`; NAME is client:server, both addresses are HOST:PORT.",
        );
        let links = parse_links(&text, plaintext).unwrap_or_else(|faults| {
            for fault in faults {
                reader.refuse("links", &fault.value, fault.rule);
            }
            Vec::new()
        });
        let config = Self {
            listen,
            plaintext,
            data_dir,
            links,
        };
        Ok((config, reader.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_link_and_the_documented_port() {
        let (config, docs) = ProxyConfig::read(&Settings::default()).expect("defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:7113");
        assert!(config.links.is_empty() && !config.plaintext);
        assert_eq!(docs.len(), 4);
    }

    #[test]
    fn every_fault_of_the_links_is_named_with_its_place() {
        let text = "[proxy]\nlinks = [\"a:b=127.0.0.1:1>c:2\", \"a:b=0.0.0.0:2>c\", \"x\"]\nlisten = \"there\"\n";
        let faults = ProxyConfig::read(&Settings::from_toml(text).expect("toml")).expect_err("three faults");
        let shown = faults.to_string();
        for part in [
            "proxy.listen = \"there\"",
            "link 2: UPSTREAM",
            "proxy.links = \"x\": link 3",
        ] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
    }
}
