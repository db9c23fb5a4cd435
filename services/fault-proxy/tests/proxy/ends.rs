//! Upstreams that are down, clients that vanish, the bound, the shutdown.

use futures_util::future::join_all;
use serde_json::Value;
use thunes_fault_proxy::CONNECTIONS_MAX;
use tokio::net::TcpListener;

use crate::rig::{Rig, expect, expect_rst, noise, send};

#[tokio::test]
async fn an_upstream_that_is_down_ends_the_client_and_is_counted_and_counts_when_it_is_back() {
    let mut rig = Rig::start().await;
    drop(rig.upstream.take());
    for count in 1..=2 {
        let mut client = rig.client().await;
        expect_rst(&mut client).await;
        rig.until_count("/counters/upstream_failed", count).await;
    }
    let counters = &rig.state().await["counters"];
    let error = counters["last_upstream_error"].as_str().expect("an error");
    assert!(error.starts_with(&rig.upstream_address.to_string()), "{error}");
    assert!(error.contains("refused"), "{error}");
    rig.until_count("/counters/connections_open", 0).await;
    rig.upstream = Some(TcpListener::bind(rig.upstream_address).await.expect("bound again"));
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"back").await;
    expect(&mut server, b"back").await;
    rig.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_a_connection_is_ended_and_counted_and_the_others_live() {
    let rig = Rig::start().await;
    let mut pairs = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        pairs.push(rig.pair().await);
    }
    rig.until_count("/counters/connections_open", CONNECTIONS_MAX).await;
    for count in 1..=3 {
        expect_rst(&mut rig.client().await).await;
        rig.until_count("/counters/over_limit", count).await;
    }
    for (client, server) in &mut pairs {
        send(client, b"x").await;
        expect(server, b"x").await;
    }
    pairs.pop();
    rig.until_count("/counters/connections_open", CONNECTIONS_MAX - 1).await;
    pairs.push(rig.pair().await);
    let counters = &rig.state().await["counters"];
    assert_eq!(counters["connections"], CONNECTIONS_MAX + 4);
    assert_eq!(counters["bytes_to_server"], CONNECTIONS_MAX);
    // A cut of all of them is answered when all are ended.
    let state = rig.set_kind("cut").await;
    assert_eq!(state["since_fault"]["cut_connections"], CONNECTIONS_MAX);
    assert_eq!(state["counters"]["connections_open"], 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_in_any_way_leave_nothing_behind() {
    let rig = Rig::start().await;
    let vanish = async |way: usize| {
        let mut client = rig.client().await;
        match way % 4 {
            0 => {}
            1 => send(&mut client, b"half a requ").await,
            2 => client.set_zero_linger().expect("set"),
            _ => {
                send(&mut client, &noise(50_000, 9)).await;
                client.set_zero_linger().expect("set");
            }
        }
    };
    join_all((0..100).map(&vanish)).await;
    // The upstream's ends were never accepted; now they are, and close.
    for _ in 0..100 {
        let accepted = tokio::time::timeout(
            std::time::Duration::from_millis(200),
            rig.upstream.as_ref().expect("up").accept(),
        );
        if accepted.await.is_err() {
            break;
        }
    }
    rig.until_count("/counters/connections_open", 0).await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"still here").await;
    expect(&mut server, b"still here").await;
    rig.stop().await;
}

#[tokio::test]
async fn the_shutdown_ends_everything_promptly_whatever_holds_it() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    send(&mut client, b"held").await;
    let held = rig.client().await;
    rig.until_count("/counters/held_connections", 2).await;
    let mut half_a_request = tokio::net::TcpStream::connect(rig.admin).await.expect("connected");
    send(&mut half_a_request, b"PUT /admin/fau").await;
    let begun = std::time::Instant::now();
    let listen = rig.listen;
    rig.stop().await;
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    expect_rst(&mut server).await;
    drop((client, held));
    TcpListener::bind(listen).await.expect("its port is free");
}

#[tokio::test]
async fn an_idle_link_has_counted_nothing() {
    let rig = Rig::start().await;
    let state = rig.state().await;
    assert_eq!(state["fault"], Value::Null);
    for counters in [&state["counters"], &state["since_fault"]] {
        for (name, value) in counters.as_object().expect("counters") {
            assert!(value.is_null() || value == 0, "{name} = {value}");
        }
    }
    rig.stop().await;
}
