//! Whatever comes in whatever order: a connection that survives has lost, doubled and mixed up nothing.

use std::time::Duration;

use serde_json::json;
use thunes_testkit::Seed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Rig, noise, within};

const CONNECTIONS: u64 = 8;
const TOGGLES: usize = 60;

/// The sizes in which `count` bytes are sent, each with a pause after it.
fn parts(seed: &mut Seed, count: usize) -> Vec<(usize, Duration)> {
    let (mut parts, mut rest) = (Vec::new(), count);
    while rest > 0 {
        let most = if seed.between(0, 3) == 0 { 60_000 } else { 200 };
        let size = usize::try_from(seed.between(1, most)).expect("fits").min(rest);
        let pause_us = if seed.between(0, 4) == 0 {
            seed.between(0, 4000)
        } else {
            0
        };
        parts.push((size, Duration::from_micros(pause_us)));
        rest -= size;
    }
    parts
}

/// Sends `bytes` in parts while it reads to the end; returns what it read.
async fn talk(stream: TcpStream, bytes: Vec<u8>, parts: Vec<(usize, Duration)>) -> Vec<u8> {
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        let mut rest = bytes.as_slice();
        for (size, pause) in parts {
            writer.write_all(&rest[..size]).await.expect("sent");
            rest = &rest[size..];
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        writer.shutdown().await.expect("ended");
    };
    let mut got = Vec::new();
    let (received, ()) = tokio::join!(reader.read_to_end(&mut got), sending);
    received.expect("received");
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_chunks_through_random_delays_and_black_holes_arrive_once_and_in_order() {
    let mut seed = Seed::of("random_chunks_through_random_delays_and_black_holes_arrive_once_and_in_order");
    let rig = Rig::start().await;
    let mut talks = Vec::new();
    let (mut to_server, mut to_client) = (0, 0);
    for number in 0..CONNECTIONS {
        let (client, server) = rig.pair().await;
        let mut bytes = || {
            let count = usize::try_from(seed.between(1, 3_000_000)).expect("fits");
            noise(count, seed.between(1, u64::MAX))
        };
        let (up, down) = (bytes(), bytes());
        to_server += up.len() as u64;
        to_client += down.len() as u64;
        let (up_parts, down_parts) = (parts(&mut seed, up.len()), parts(&mut seed, down.len()));
        talks.push(tokio::spawn(async move {
            let (at_client, at_server) = tokio::join!(
                talk(client, up.clone(), up_parts),
                talk(server, down.clone(), down_parts)
            );
            assert!(
                at_server == up,
                "connection {number}: to the server {} of {}",
                at_server.len(),
                up.len()
            );
            assert!(
                at_client == down,
                "connection {number}: to the client {} of {}",
                at_client.len(),
                down.len()
            );
        }));
    }
    for _ in 0..TOGGLES {
        match seed.between(0, 3) {
            0 => drop(rig.set_kind("black_hole").await),
            1 => drop(rig.set(json!({"kind": "delay", "ms": seed.between(1, 30)})).await),
            _ => drop(rig.clear().await),
        }
        seed.moment(0, 15).await;
    }
    rig.clear().await;
    for talk in talks {
        within("a connection's bytes", talk).await.expect("whole");
    }
    rig.until_count("/counters/connections_open", 0).await;
    let counters = &rig.state().await["counters"];
    assert_eq!(counters["bytes_to_server"], to_server);
    assert_eq!(counters["bytes_to_client"], to_client);
    println!("{counters}");
    rig.stop().await;
}
