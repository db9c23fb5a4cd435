//! The fault proxy in a whole environment: it carries what the services say to each other, and its faults are felt.

use std::time::Duration;

use serde_json::{Value, json};
use thunes_proto::gateway::v1::OrderState;
use thunes_supervisor::embedded::{Link, Plan};
use thunes_testkit::{Cluster, Seed, buy, until_ok};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::THUNES;

const LONG: Duration = Duration::from_secs(20);

async fn ask(cluster: &Cluster, method: &str, path: &str, body: &str) -> Value {
    let url = cluster.env.proxy_admin_url().expect("there is a proxy");
    let mut stream = TcpStream::connect(url.strip_prefix("http://").expect("plain HTTP"))
        .await
        .expect("connected");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("head and body");
    serde_json::from_str(body).expect("JSON")
}

async fn link(cluster: &Cluster, link: Link) -> Value {
    let all = ask(cluster, "GET", "/admin/links", "").await;
    let mut links = all["links"].as_array().expect("a list").iter();
    links
        .find(|state| state["name"] == link.name())
        .expect("it is carried")
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_pass_through_the_proxy_and_a_cut_of_a_link_denies_them_until_the_heal() {
    let seed = Seed::of("orders_pass_through_the_proxy_and_a_cut_of_a_link_denies_them_until_the_heal");
    let cluster = Cluster::start_with(THUNES, seed.number, Plan::with_fault_proxy).await;
    let order = cluster.calls.order_now(buy("through", "BTCUSDT", "120")).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
    // So that risk has something to tell to audit and to Telegram.
    cluster.calls.activate("an alert", "").await.expect("activated");
    cluster
        .calls
        .deactivate("the alert is out", "")
        .await
        .expect("deactivated");
    for carried in Link::ALL {
        // Some of it is said after the order and the activation were answered.
        until_ok("bytes pass both ways", LONG, async || {
            let counters = &link(&cluster, carried).await["counters"];
            let both = counters["bytes_to_server"].as_u64() > Some(0) && counters["bytes_to_client"].as_u64() > Some(0);
            if both {
                Ok(())
            } else {
                Err(format!("{}: {counters}", carried.name()))
            }
        })
        .await;
    }

    cluster.until_opening().await;
    let name = Link::GatewayRisk.name();
    let body = json!({ "kind": "cut" }).to_string();
    let cut = ask(&cluster, "PUT", &format!("/admin/links/{name}/fault"), &body).await;
    assert!(cut["since_fault"]["cut_connections"].as_u64() > Some(0), "{cut}");
    assert_eq!(cut["counters"]["connections_open"], 0, "{cut}");
    let order = cluster.calls.order_now(buy("cut", "BTCUSDT", "12")).await;
    assert_eq!(order.state(), OrderState::Denied, "{order:?}");
    assert!(
        cluster.sim.ledger().await.order("cut").is_none(),
        "a denied order is not at the exchange"
    );
    until_ok("the gateway tries again and is refused", LONG, async || {
        let state = link(&cluster, Link::GatewayRisk).await;
        let refused = state["since_fault"]["refused_connections"].as_u64() > Some(0);
        if refused { Ok(()) } else { Err(state.to_string()) }
    })
    .await;

    ask(&cluster, "DELETE", "/admin/faults", "").await;
    cluster.until_opening().await;
    let order = cluster.calls.order_now(buy("healed", "BTCUSDT", "12")).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
}
