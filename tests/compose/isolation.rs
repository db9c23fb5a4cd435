//! Only the gateway reaches the exchange, and nobody the world outside: by the description of the networks, and tried.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;

use crate::docker::{inspect, labelled, try_docker};
use crate::environment::{Compose, Turn};

const REST_PATH: &str = "/api/v3/ping";
/// Where orders can be placed: the exchange's REST, and a link that leads to it.
const REST_PORT: u16 = 7110;
const LINK_PORT: u16 = 7128;
const TRIES_AT_ONCE: usize = 4;
/// Who may be in a network from which orders can be placed.
const TRADERS: [&str; 3] = ["exchange-gateway", "exchange-sim", "exchange-proxy"];

/// Members of each network of the project and the addresses that they have there.
type Networks = BTreeMap<String, BTreeMap<String, String>>;

async fn networks(compose: &Compose) -> Networks {
    let mut networks = Networks::new();
    for (service, container) in compose.containers().await {
        for (network, endpoint) in container["NetworkSettings"]["Networks"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let address = endpoint["IPAddress"].as_str().unwrap_or_default().to_owned();
            networks
                .entry(network.clone())
                .or_default()
                .insert(service.clone(), address);
        }
    }
    networks
}

/// Whether a container in `network` gets an answer from the exchange's REST at that address.
async fn reaches(turn: &Turn, network: &str, address: &str) -> bool {
    let page = format!("{address}{REST_PATH}");
    // Names that the network does not know are asked of nobody, so that they fail at once.
    let nobody = ["--dns", "127.0.0.1", "--network", network, &turn.image];
    let said = try_docker(&[["run", "--rm"].as_slice(), &nobody, &["health", "--http", &page]].concat()).await;
    // 125 and above are Docker's own: then nothing was tried.
    assert!(
        matches!(said.exit, Some(0 | 1)),
        "{network} {page}: {}{}",
        said.out,
        said.err
    );
    said.exit == Some(0)
}

/// Those of `targets` that answer in `network`.
async fn reached(turn: &Turn, network: &str, targets: &BTreeSet<String>) -> Vec<String> {
    let tries = targets
        .iter()
        .map(|target| async move { reaches(turn, network, target).await.then_some(target.clone()) });
    let answers = futures_util::stream::iter(tries).buffer_unordered(TRIES_AT_ONCE);
    answers.filter_map(std::future::ready).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_can_be_placed_from_the_gateways_networks_only() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let networks = networks(&compose).await;
    let mut targets: BTreeSet<String> = ["exchange-sim", "exchange-rest", "exchange-link", "exchange-proxy"]
        .iter()
        .flat_map(|name| [format!("{name}:{REST_PORT}"), format!("{name}:{LINK_PORT}")])
        .collect();
    for members in networks.values() {
        for (service, address) in members {
            if ["exchange-sim", "exchange-proxy"].contains(&service.as_str()) {
                targets.extend([format!("{address}:{REST_PORT}"), format!("{address}:{LINK_PORT}")]);
            }
        }
    }
    let mut from = BTreeSet::new();
    for (network, members) in networks
        .iter()
        .filter(|(network, _)| network.starts_with(&compose.project))
    {
        for target in reached(&turn, network, &targets).await {
            let others: Vec<_> = members
                .keys()
                .filter(|member| !TRADERS.contains(&member.as_str()))
                .collect();
            assert!(others.is_empty(), "{others:?} reach {target} through {network}");
            from.insert(network.as_str());
        }
    }
    // The same question has another answer where it must: otherwise it would prove nothing.
    let gateways = from
        .iter()
        .filter(|network| networks[**network].contains_key("exchange-gateway"));
    assert!(gateways.count() > 0, "the gateway reaches it, too: {from:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_network_leads_to_the_world_outside() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let ids = labelled(&["network", "ls"], &compose.label()).await;
    assert!(ids.len() >= 4, "{ids:?}");
    for id in ids {
        let network = inspect("network", &id).await;
        let masquerade = &network["Options"]["com.docker.network.bridge.enable_ip_masquerade"];
        assert!(network["Internal"] == true || masquerade == "false", "{network}");
    }
    let default = format!("{}_default", compose.project);
    assert!(
        !networks(&compose).await.contains_key(&default),
        "every service names its networks"
    );
}
