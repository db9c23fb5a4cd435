//! Crashes by SIGKILL: the service runs as a process of its own, which is this test binary again.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use thunes_position::serve;
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::position::v1::*;
use thunes_proto::types::v1::{Fill, Side};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::running::*;

const DATA_DIR: &str = "POSITION_TEST_DATA_DIR";
const LISTENING: &str = "position test process listens on ";

/// Not a test by itself: what the crash tests run in another process.
#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_process_serves() {
    let Ok(data_dir) = std::env::var(DATA_DIR) else { return };
    let listening = thunes_rpc::bind("position", "127.0.0.1:0".parse().expect("an address"), false)
        .await
        .expect("a port");
    println!("\n{LISTENING}{}", listening.address);
    serve(
        config(Path::new(&data_dir)),
        listening.listener,
        CancellationToken::new(),
    )
    .await
    .expect("serves");
}

async fn spawn(data_dir: &Path, failpoints: &str) -> (Child, PositionServiceClient<Channel>) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "crash::child_process_serves", "--ignored", "--nocapture"])
        .env(DATA_DIR, data_dir)
        .env("THUNES_FAILPOINTS", failpoints)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("spawns");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = loop {
        let line = lines
            .next_line()
            .await
            .expect("reads")
            .expect("the process listens before it ends");
        if let Some(address) = line.strip_prefix(LISTENING) {
            break address.to_owned();
        }
    };
    let client = PositionServiceClient::connect(format!("http://{address}"))
        .await
        .expect("connects");
    (child, client)
}

fn batch() -> Vec<Fill> {
    vec![
        fill(1, Side::Buy, "1", "100", "100"),
        fill(2, Side::Buy, "1", "110", "110"),
    ]
}

async fn killed_at(place: &str, survives: bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut child, mut client) = spawn(dir.path(), &format!("{place}=kill")).await;
    client
        .record_fills(RecordFillsRequest {
            fills: batch(),
            ..Default::default()
        })
        .await
        .expect_err("the answer never comes");
    assert_eq!(child.wait().await.expect("ends").signal(), Some(9));
    let expected = if survives { 2 } else { 0 };
    assert_eq!(
        count_events(dir.path(), "FILL_RECORDED").await,
        expected,
        "events and fills are one transaction"
    );
    let mut service = Running::start(dir.path()).await;
    let listed = service.all_positions().await;
    assert_eq!(
        (listed.revision, listed.positions.len()),
        if survives { (1, 1) } else { (0, 0) }
    );
    let again = service.record(&batch()).await.expect("the caller delivers again");
    assert_eq!(
        (again.recorded, again.duplicates),
        if survives { (0, 2) } else { (2, 0) }
    );
    assert_eq!(service.all_positions().await.positions[0].quantity, "2");
    service.stop().await;
    assert_eq!(
        count_events(dir.path(), "FILL_RECORDED").await,
        2,
        "one event a fill, whatever happened"
    );
}

#[tokio::test]
async fn p5_p7_killed_before_the_commit_nothing_is_there_and_redelivery_completes() {
    killed_at("position.record.before_commit", false).await;
}

#[tokio::test]
async fn p5_p7_killed_after_the_commit_everything_is_there_and_redelivery_adds_nothing() {
    killed_at("position.record.after_commit", true).await;
    killed_at("position.record.before_answer", true).await;
}

#[tokio::test]
async fn p5_the_canary_that_loses_a_fill_shows_in_the_ledger() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut child, mut client) = spawn(dir.path(), "position.record.lose_fill=break").await;
    let answer = client
        .record_fills(RecordFillsRequest {
            fills: batch(),
            ..Default::default()
        })
        .await
        .expect("acknowledged")
        .into_inner();
    assert_eq!(answer.recorded, 2);
    let ledger = client
        .list_fills(ListFillsRequest::default())
        .await
        .expect("lists")
        .into_inner();
    assert_eq!(
        ledger.fills.iter().map(|fill| fill.trade_id).collect::<Vec<_>>(),
        [1],
        "the last one is gone"
    );
    child.kill().await.expect("ends");
}
