use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sim::local_http_client;
use crate::error::ActionError;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The links between the services, through the fault proxies that carry them.
#[derive(Debug)]
pub struct Network {
    /// One admin address a proxy.
    admin_urls: Vec<String>,
    http: reqwest::Client,
}

/// What a link does to the bytes on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Connections are ended, and new ones too.
    Cut,
    /// Nothing passes and nobody is told; what was sent arrives after the end of it.
    BlackHole,
    /// Connections are reset at their first byte.
    Reset,
    /// Everything is late.
    Delay,
}

/// A fault to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub kind: FaultKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// What a proxy says of one link.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct LinkState {
    /// `client:server`.
    pub name: String,
    #[serde(default)]
    pub fault: Option<serde_json::Value>,
    pub counters: Counters,
    /// The same, since the present fault was set.
    pub since_fault: Counters,
}

/// What happened on a link; those that no proxy of this version counts are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Counters {
    pub upstream_failed: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub cut_connections: u64,
    pub refused_connections: u64,
    pub reset_connections: u64,
    pub held_connections: u64,
    pub held_bytes: u64,
    pub delayed_chunks: u64,
}

impl Counters {
    /// What the faults themselves did, whatever kind they were.
    pub fn hits(&self) -> u64 {
        self.cut_connections
            + self.refused_connections
            + self.reset_connections
            + self.held_connections
            + self.delayed_chunks
    }
}

#[derive(Deserialize)]
struct LinksWire {
    links: Vec<LinkState>,
}

impl Network {
    pub fn new(admin_urls: Vec<String>) -> Self {
        Self {
            admin_urls,
            http: local_http_client(TIMEOUT),
        }
    }

    /// Every link of every proxy.
    ///
    /// # Errors
    /// When a proxy does not answer.
    pub async fn links(&self) -> Result<Vec<LinkState>, ActionError> {
        Ok(self
            .by_proxy()
            .await?
            .into_iter()
            .flat_map(|(_, links)| links)
            .collect())
    }

    async fn by_proxy(&self) -> Result<Vec<(&str, Vec<LinkState>)>, ActionError> {
        let mut all = Vec::new();
        for url in &self.admin_urls {
            all.push((url.as_str(), self.links_of(url).await?));
        }
        Ok(all)
    }

    async fn links_of(&self, url: &str) -> Result<Vec<LinkState>, ActionError> {
        let path = format!("{url}/admin/links");
        let answer = self.send(&path, self.http.get(&path)).await?;
        let wire: LinksWire = answer
            .json()
            .await
            .map_err(|error| ActionError::Network(format!("{path}: {error}")))?;
        Ok(wire.links)
    }

    /// Sets `fault` on every link that `wanted` picks; returns their names.
    ///
    /// # Errors
    /// When it picks none, or a proxy refuses.
    pub async fn set(&self, fault: Fault, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, ActionError> {
        let mut set = Vec::new();
        let by_proxy = self.by_proxy().await?;
        for (url, links) in &by_proxy {
            for link in links.iter().filter(|link| wanted(&link.name)) {
                let path = format!("{url}/admin/links/{}/fault", link.name);
                self.send(&path, self.http.put(&path).json(&fault)).await?;
                set.push(link.name.clone());
            }
        }
        if set.is_empty() {
            let known: Vec<_> = by_proxy
                .iter()
                .flat_map(|(_, links)| links)
                .map(|link| link.name.as_str())
                .collect();
            return Err(ActionError::NotMet(format!(
                "no link was meant; there are: {}",
                known.join(", ")
            )));
        }
        Ok(set)
    }

    /// Ends every fault of every proxy, also when one of them does not answer. Returns what was mended, and what was not.
    pub async fn heal(&self) -> (Vec<String>, Vec<String>) {
        let (mut mended, mut failed) = (Vec::new(), Vec::new());
        for url in &self.admin_urls {
            match self.heal_one(url).await {
                Ok(links) => mended.extend(links.into_iter().map(|link| format!("{link} mended"))),
                Err(error) => failed.push(format!(
                    "{error}; end its faults by hand: curl -X DELETE {url}/admin/faults"
                )),
            }
        }
        (mended, failed)
    }

    async fn heal_one(&self, url: &str) -> Result<Vec<String>, ActionError> {
        let faulty = self
            .links_of(url)
            .await?
            .into_iter()
            .filter(|link| link.fault.is_some());
        let names = faulty.map(|link| link.name).collect();
        let path = format!("{url}/admin/faults");
        self.send(&path, self.http.delete(&path)).await?;
        Ok(names)
    }

    async fn send(&self, what: &str, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ActionError> {
        let answer = request
            .send()
            .await
            .map_err(|error| ActionError::Network(format!("{what}: {error}")))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        Err(ActionError::Network(format!("{what}: {status} {text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_with_what_this_version_does_not_know() {
        let text = r#"{"name":"a:b","listen":"127.0.0.1:1","fault":{"kind":"cut","ms":null,"since_ms":5},
            "counters":{"connections":3,"cut_connections":1},"since_fault":{"refused_connections":2}}"#;
        let link: LinkState = serde_json::from_str(text).expect("reads");
        assert_eq!((link.counters.hits(), link.since_fault.hits()), (1, 2));
        assert!(link.fault.is_some());
    }

    #[test]
    fn p11_bytes_that_pass_are_no_hit() {
        let counters = Counters {
            bytes_to_server: 10,
            upstream_failed: 1,
            ..Counters::default()
        };
        assert_eq!(counters.hits(), 0);
    }
}
