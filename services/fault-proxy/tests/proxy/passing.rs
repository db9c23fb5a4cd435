//! Without a fault the proxy is a wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Rig, expect, expect_end, expect_rst, noise, send, within};

const MANY: usize = 10 * 1024 * 1024;
/// More than the kernel's buffers of four sockets and the proxy's queue take.
const MORE_THAN_FITS: usize = 48 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_each_way_at_once_arrive_whole_and_are_counted_exactly() {
    let rig = Rig::start().await;
    let (client, server) = rig.pair().await;
    let (up, down) = (noise(MANY, 1), noise(MANY + 1, 2));
    let carry = async |stream: tokio::net::TcpStream, bytes: &[u8]| {
        let (mut reader, mut writer) = stream.into_split();
        let mut got = Vec::new();
        let (sent, received) = tokio::join!(
            async {
                writer.write_all(bytes).await?;
                writer.shutdown().await
            },
            reader.read_to_end(&mut got)
        );
        sent.expect("sent");
        received.expect("received");
        got
    };
    let begun = std::time::Instant::now();
    let (at_client, at_server) = within("20 MB", async {
        tokio::join!(carry(client, &up), carry(server, &down))
    })
    .await;
    println!("{} bytes in {} ms", 2 * MANY + 1, begun.elapsed().as_millis());
    assert!(at_server == up && at_client == down, "bytes were changed on the way");
    rig.until_count("/counters/connections_open", 0).await;
    let counters = &rig.state().await["counters"];
    assert_eq!(counters["bytes_to_server"], MANY);
    assert_eq!(counters["bytes_to_client"], MANY + 1);
    assert_eq!(counters["connections"], 1);
    for hits in ["cut_connections", "reset_connections", "held_bytes", "delayed_chunks"] {
        assert_eq!(counters[hits], 0, "{hits}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_half_that_is_closed_is_closed_at_the_other_end_and_the_other_half_lives() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"question").await;
    client.shutdown().await.expect("half closed");
    expect(&mut server, b"question").await;
    expect_end(&mut server).await;
    for part in [b"long", b"slow", b"talk"] {
        send(&mut server, part).await;
        expect(&mut client, part).await;
    }
    rig.until_count("/counters/connections_open", 1).await;
    server.shutdown().await.expect("closed");
    expect_end(&mut client).await;
    rig.until_count("/counters/connections_open", 0).await;
    rig.stop().await;
}

#[tokio::test]
async fn an_rst_of_either_end_is_an_rst_at_the_other() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, b"last words").await;
    expect(&mut server, b"last words").await;
    client.set_zero_linger().expect("set");
    drop(client);
    expect_rst(&mut server).await;

    let (mut client, server) = rig.pair().await;
    server.set_zero_linger().expect("set");
    drop(server);
    expect_rst(&mut client).await;
    rig.until_count("/counters/connections_open", 0).await;
    rig.stop().await;
}

#[tokio::test]
async fn who_broke_off_after_a_half_close_is_noticed_when_written_to() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    client.shutdown().await.expect("half closed");
    expect_end(&mut server).await;
    client.set_zero_linger().expect("set");
    drop(client);
    let mut refused = false;
    within("the writer is told", async {
        while !refused {
            refused = server.write_all(&[0; 1024]).await.is_err();
        }
    })
    .await;
    rig.until_count("/counters/connections_open", 0).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_read_holds_the_sender_back() {
    let rig = Rig::start().await;
    let (client, mut server) = rig.pair().await;
    let (mut reader, mut writer) = client.into_split();
    let bytes = noise(MORE_THAN_FITS, 3);
    let copy = bytes.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&copy).await.expect("sent");
        writer.shutdown().await.expect("ended");
    });
    let passed = rig.until_still("/counters/bytes_to_server").await;
    assert!(
        passed < bytes.len() as u64 && !sending.is_finished(),
        "{passed} bytes are somewhere"
    );
    let mut got = Vec::new();
    within("the rest", server.read_to_end(&mut got))
        .await
        .expect("received");
    assert!(got == bytes, "bytes were changed on the way");
    server.shutdown().await.expect("ended");
    let mut end = Vec::new();
    within("the end", reader.read_to_end(&mut end)).await.expect("ended");
    sending.await.expect("sent");
    rig.stop().await;
}

#[tokio::test]
async fn an_rst_that_shows_only_when_something_is_written_is_an_rst_all_the_same() {
    let rig = Rig::start().await;
    let (mut client, mut server) = rig.pair().await;
    server.set_zero_linger().expect("set");
    let sending = tokio::spawn(async move {
        let _ = tokio::time::timeout(crate::rig::LONG, server.write_all(&noise(MORE_THAN_FITS, 4))).await;
    });
    // The proxy has no room left, so that it does not read from the server.
    rig.until_still("/counters/bytes_to_client").await;
    sending.abort();
    let _ = sending.await;
    send(&mut client, b"anybody there?").await;
    // The proxy writes before it reads; if it did not, the end would have to be the same.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut rest = Vec::new();
    let read = within("the end", client.read_to_end(&mut rest)).await;
    let error = read.expect_err("an RST, not an orderly end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    rig.until_count("/counters/connections_open", 0).await;
    rig.stop().await;
}
