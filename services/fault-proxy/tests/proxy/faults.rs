//! Cut, reset, delay: on connections that are there and on new ones, and what they count.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::rig::{Rig, expect, expect_end, expect_nothing, expect_rst, noise, send};

const DELAY_MS: u64 = 200;

fn hits(state: &Value) -> &Value {
    assert!(!state["fault"].is_null(), "{state}");
    &state["since_fault"]
}

#[tokio::test]
async fn a_cut_ends_what_is_there_and_what_comes_and_counts_each() {
    let rig = Rig::start().await;
    let mut pairs = vec![rig.pair().await, rig.pair().await, rig.pair().await];
    for (client, server) in &mut pairs {
        send(client, b"before").await;
        expect(server, b"before").await;
    }
    let state = rig.set_kind("cut").await;
    assert_eq!(hits(&state)["cut_connections"], 3);
    assert_eq!(state["counters"]["connections_open"], 0);
    assert_eq!(state["fault"]["kind"], "cut");
    assert_eq!(state["fault"]["ms"], Value::Null);
    for (client, server) in &mut pairs {
        expect_rst(client).await;
        expect_rst(server).await;
    }
    for count in 1..=4 {
        expect_rst(&mut rig.client().await).await;
        rig.until_count("/since_fault/refused_connections", count).await;
    }
    let state = rig.clear().await;
    assert_eq!(state["fault"], Value::Null);
    assert_eq!(
        state["since_fault"]["refused_connections"], 4,
        "readable after the heal"
    );
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"after").await;
    expect(&mut server, b"after").await;
    let counters = &rig.state().await["counters"];
    assert_eq!(counters["connections"], 8);
    assert_eq!(counters["bytes_to_server"], 3 * 6 + 5);
    rig.stop().await;
}

#[tokio::test]
async fn a_reset_lets_a_connection_be_until_its_first_byte_from_either_end() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    let (mut other_client, mut other_server) = rig.pair().await;
    let state = rig.set_kind("reset").await;
    assert_eq!(hits(&state)["reset_connections"], 0, "nothing was hit so far");
    let (mut new_client, mut new_server) = rig.pair().await;
    expect_nothing(&client);
    send(&mut client, b"!").await;
    expect_rst(&mut server).await;
    expect_rst(&mut client).await;
    rig.until_count("/since_fault/reset_connections", 1).await;
    send(&mut other_server, b"!").await;
    expect_rst(&mut other_client).await;
    expect_rst(&mut other_server).await;
    send(&mut new_client, b"!").await;
    expect_rst(&mut new_server).await;
    rig.until_count("/since_fault/reset_connections", 3).await;
    let (mut spared, mut spared_server) = rig.pair().await;
    let state = rig.clear().await;
    send(&mut spared, b"spared").await;
    expect(&mut spared_server, b"spared").await;
    assert_eq!(state["counters"]["bytes_to_server"], 0, "no byte passed a reset");
    assert_eq!(state["counters"]["bytes_to_client"], 0);
    rig.stop().await;
}

#[tokio::test]
async fn bytes_that_wait_when_a_reset_is_set_count_as_arriving() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    send(&mut client, b"waiting").await;
    rig.until_count("/since_fault/held_bytes", 7).await;
    rig.set_kind("reset").await;
    expect_rst(&mut server).await;
    expect_rst(&mut client).await;
    rig.until_count("/since_fault/reset_connections", 1).await;
    assert_eq!(rig.state().await["counters"]["bytes_to_server"], 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_delay_is_never_shorter_than_it_says_in_either_direction_and_for_the_end() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set(json!({"kind": "delay", "ms": DELAY_MS})).await;
    let least = Duration::from_millis(DELAY_MS);
    for round in 1..=3_u64 {
        let begun = Instant::now();
        send(&mut client, b"question").await;
        expect(&mut server, b"question").await;
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
        let begun = Instant::now();
        send(&mut server, b"answer").await;
        expect(&mut client, b"answer").await;
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
        let state = rig.state().await;
        assert_eq!(hits(&state)["delayed_chunks"], 2 * round);
        assert_eq!(state["fault"]["ms"], DELAY_MS);
    }
    let begun = Instant::now();
    client.shutdown().await.expect("half closed");
    expect_end(&mut server).await;
    assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    let begun = Instant::now();
    server.set_zero_linger().expect("set");
    drop(server);
    expect_rst(&mut client).await;
    assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    rig.stop().await;
}

#[tokio::test]
async fn chunks_are_delayed_together_not_one_after_the_other_and_new_connections_too() {
    const CHUNKS: u64 = 50;
    let rig = Rig::start().await;
    rig.set(json!({"kind": "delay", "ms": DELAY_MS})).await;
    let (mut client, mut server) = rig.pair().await;
    let begun = Instant::now();
    let mut all = Vec::new();
    for count in 1..=CHUNKS {
        let chunk = noise(100, count);
        send(&mut client, &chunk).await;
        all.extend(chunk);
        rig.until_count("/since_fault/delayed_chunks", count).await;
    }
    expect(&mut server, &all).await;
    let took = begun.elapsed();
    let one_by_one = Duration::from_millis(CHUNKS * DELAY_MS);
    assert!(
        took >= Duration::from_millis(DELAY_MS) && took < one_by_one / 2,
        "{took:?} for {CHUNKS} chunks"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_heal_passes_on_at_once_what_a_delay_keeps_back() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set(json!({"kind": "delay", "ms": 60_000})).await;
    send(&mut client, b"kept").await;
    rig.until_count("/since_fault/delayed_chunks", 1).await;
    expect_nothing(&server);
    // One more fault, which finds the chunk waiting and not due.
    rig.set(json!({"kind": "delay", "ms": 59_999})).await;
    rig.until_count("/since_fault/delayed_chunks", 1).await;
    rig.until_count("/counters/delayed_chunks", 2).await;
    rig.clear().await;
    expect(&mut server, b"kept").await;
    rig.stop().await;
}

#[tokio::test]
async fn a_cut_takes_what_a_delay_and_a_black_hole_keep_back() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set(json!({"kind": "delay", "ms": 60_000})).await;
    send(&mut client, b"kept").await;
    rig.until_count("/since_fault/delayed_chunks", 1).await;
    rig.set_kind("black_hole").await;
    rig.until_count("/since_fault/held_bytes", 4).await;
    let state = rig.set_kind("cut").await;
    assert_eq!(hits(&state)["cut_connections"], 1);
    assert_eq!(hits(&state)["held_bytes"], 0, "that was another fault");
    assert_eq!(state["counters"]["held_bytes"], 4);
    expect_rst(&mut server).await;
    expect_rst(&mut client).await;
    assert_eq!(rig.state().await["counters"]["bytes_to_server"], 0);
    rig.stop().await;
}
