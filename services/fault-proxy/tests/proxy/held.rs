//! The black hole: nothing passes, nobody is told, nothing is lost.

use std::io::ErrorKind;

use thunes_fault_proxy::domain::QUEUE_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Rig, expect, expect_end, expect_nothing, expect_rst, noise, send, within};

#[tokio::test]
async fn what_a_black_hole_holds_arrives_late_whole_and_in_order() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"before ").await;
    expect(&mut server, b"before ").await;
    let state = rig.set_kind("black_hole").await;
    assert_eq!(state["since_fault"]["held_connections"], 0, "nothing was hit so far");
    send(&mut client, b"one two ").await;
    rig.until_count("/since_fault/held_bytes", 8).await;
    send(&mut client, b"three").await;
    send(&mut server, b"answer").await;
    rig.until_count("/since_fault/held_bytes", 19).await;
    rig.until_count("/since_fault/held_connections", 1).await;
    expect_nothing(&client);
    expect_nothing(&server);
    let counters = &rig.state().await["counters"];
    assert_eq!(counters["bytes_to_server"], 7);
    assert_eq!(counters["bytes_to_client"], 0);
    rig.clear().await;
    expect(&mut server, b"one two three").await;
    expect(&mut client, b"answer").await;
    rig.until_count("/counters/bytes_to_server", 20).await;
    rig.until_count("/counters/bytes_to_client", 6).await;
    rig.stop().await;
}

#[tokio::test]
async fn new_connections_are_accepted_and_held_and_the_upstream_hears_of_them_after_the_heal() {
    let rig = Rig::start().await;
    rig.set_kind("black_hole").await;
    let mut clients = [rig.client().await, rig.client().await];
    for client in &mut clients {
        send(client, b"late request").await;
    }
    rig.until_count("/since_fault/held_connections", 2).await;
    rig.until_count("/since_fault/held_bytes", 24).await;
    let accepting = rig.upstream.as_ref().expect("up").accept();
    tokio::select! {
        biased;
        accepted = accepting => panic!("the upstream was connected: {accepted:?}"),
        () = tokio::task::yield_now() => {}
    }
    rig.clear().await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut server = rig.accept().await;
        expect(&mut server, b"late request").await;
        send(&mut server, b"late answer").await;
        servers.push(server);
    }
    for client in &mut clients {
        expect(client, b"late answer").await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn ends_are_held_too_and_a_request_of_a_client_that_left_arrives_late() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    let (mut broken, mut broken_server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    send(&mut client, b"late request").await;
    drop(client);
    send(&mut broken, b"x").await;
    rig.until_count("/since_fault/held_bytes", 13).await;
    broken.set_zero_linger().expect("set");
    drop(broken);
    let new_client = rig.client().await;
    drop(new_client);
    rig.until_count("/since_fault/held_connections", 3).await;
    expect_nothing(&server);
    expect_nothing(&broken_server);
    rig.until_count("/counters/connections_open", 3).await;
    rig.clear().await;
    expect(&mut server, b"late request").await;
    expect_end(&mut server).await;
    server.shutdown().await.expect("closed");
    let mut rest = Vec::new();
    let error = within("an RST", broken_server.read_to_end(&mut rest)).await;
    assert_eq!(error.expect_err("an RST").kind(), ErrorKind::ConnectionReset);
    assert_eq!(rest, b"x");
    expect_end(&mut rig.accept().await).await;
    rig.until_count("/counters/connections_open", 0).await;
    rig.stop().await;
}

#[tokio::test]
async fn memory_is_bounded_and_the_sender_feels_it_and_still_nothing_is_lost() {
    let rig = Rig::start().await;
    let (client, mut server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    let bytes = noise(20 * 1024 * 1024, 5);
    let copy = bytes.clone();
    let (_reader, mut writer) = client.into_split();
    let sending = tokio::spawn(async move {
        writer.write_all(&copy).await.expect("sent");
        writer.shutdown().await.expect("ended");
    });
    // Fails at once when more is held than the bound.
    let bound = u64::try_from(QUEUE_BYTES_MAX).expect("fits");
    rig.until_count("/since_fault/held_bytes", bound).await;
    expect_nothing(&server);
    assert!(!sending.is_finished(), "20 MB fit nowhere");
    let state = rig.clear().await;
    assert_eq!(state["since_fault"]["held_bytes"], bound);
    let mut got = Vec::new();
    within("everything", server.read_to_end(&mut got))
        .await
        .expect("received");
    assert!(got == bytes, "bytes were lost, changed or doubled");
    sending.await.expect("sent");
    rig.stop().await;
}

#[tokio::test]
async fn a_second_black_hole_counts_what_it_finds_waiting() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    send(&mut client, b"12345").await;
    rig.until_count("/since_fault/held_bytes", 5).await;
    rig.set_kind("black_hole").await;
    rig.until_count("/since_fault/held_bytes", 5).await;
    rig.until_count("/since_fault/held_connections", 1).await;
    rig.until_count("/counters/held_bytes", 10).await;
    rig.clear().await;
    expect(&mut server, b"12345").await;
    assert_eq!(rig.state().await["counters"]["bytes_to_server"], 5);
    rig.stop().await;
}

#[tokio::test]
async fn an_upstream_that_went_away_in_a_black_hole_is_told_after_the_heal() {
    let rig = Rig::start().await;
    let (mut client, server) = rig.pair().await;
    rig.set_kind("black_hole").await;
    send(&mut client, b"request").await;
    rig.until_count("/since_fault/held_bytes", 7).await;
    server.set_zero_linger().expect("set");
    drop(server);
    expect_nothing(&client);
    rig.clear().await;
    expect_rst(&mut client).await;
    rig.until_count("/counters/connections_open", 0).await;
    assert_eq!(rig.state().await["counters"]["bytes_to_server"], 0, "nobody took them");
    rig.stop().await;
}
