//! The service over real gRPC with a real journal. The environment cannot start here (this test program is no `thunes`),
//! which is itself a case: the run must end, and say why.

use std::time::Duration;

use thunes_drill::DrillConfig;
use thunes_proto::drill::v1::drill_service_client::DrillServiceClient;
use thunes_proto::drill::v1::*;
use thunes_rpc::{Client, deadline, reason_of};
use thunes_runtime::Settings;
use thunes_types::ReasonCode;
use tokio_util::sync::CancellationToken;
use tonic::Code;

struct Service {
    client: DrillServiceClient<Client>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), thunes_drill::DrillError>>,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let settings = Settings::from_toml("")
            .expect("toml")
            .with("drill.data_dir", folder.path().display().to_string());
        let config = DrillConfig::read(&settings).expect("config").0;
        let bound = thunes_rpc::bind("drill", "127.0.0.1:0".parse().expect("address"), false)
            .await
            .expect("bound");
        let client = DrillServiceClient::new(thunes_rpc::connect(&format!("http://{}", bound.address)).expect("url"));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(thunes_drill::serve(config, bound.listener, shutdown.clone()));
        Self {
            client,
            shutdown,
            task,
            _folder: folder,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic").expect("stops in order");
    }
}

fn within<T>(message: T) -> tonic::Request<T> {
    deadline(message, Duration::from_secs(20))
}

fn run(reason: &str, request_id: &str, ids: &[&str]) -> tonic::Request<RunDrillRequest> {
    within(RunDrillRequest {
        drill_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        reason: reason.to_owned(),
        request_id: request_id.to_owned(),
        seed: 3,
    })
}

/// Watches until the run has ended; returns its last state.
async fn watched(client: &mut DrillServiceClient<Client>, run_id: &str) -> DrillRun {
    let request = within(WatchDrillRunRequest {
        run_id: run_id.to_owned(),
    });
    let mut stream = client.watch_drill_run(request).await.expect("watches").into_inner();
    let mut last = None;
    while let Some(event) = stream.message().await.expect("the stream goes on") {
        last = event.run.or(last);
    }
    last.expect("at least the state")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_start_ends_as_aborted_and_its_report_says_why() {
    let mut service = Service::start().await;
    let client = &mut service.client;
    let drills = client
        .list_drills(within(ListDrillsRequest {}))
        .await
        .expect("lists")
        .into_inner()
        .drills;
    assert_eq!(
        drills.iter().map(|drill| drill.id.as_str()).collect::<Vec<_>>(),
        ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9"]
    );
    let run_id = client
        .run_drill(run("test", "once", &["t1"]))
        .await
        .expect("runs")
        .into_inner()
        .run_id;
    let again = client
        .run_drill(run("test", "once", &["t1"]))
        .await
        .expect("the same")
        .into_inner()
        .run_id;
    assert_eq!(again, run_id, "the same request id starts nothing new");
    let other = client
        .run_drill(run("another", "once", &["t1"]))
        .await
        .expect_err("reused");
    assert_eq!(
        (other.code(), reason_of(&other)),
        (Code::AlreadyExists, Some(ReasonCode::RequestIdReused))
    );
    let ended = watched(client, &run_id).await;
    assert_eq!((ended.state(), ended.verdict()), (RunState::Ended, Verdict::Aborted));
    let asked = client
        .get_drill_run(within(GetDrillRunRequest { run_id: run_id.clone() }))
        .await
        .expect("known");
    assert_eq!(asked.into_inner().run.expect("run").verdict(), Verdict::Aborted);
    for (format, kind, part) in [
        (
            ReportFormat::Unspecified,
            "application/json",
            "\"verdict\": \"ABORTED\"",
        ),
        (ReportFormat::Html, "text/html; charset=utf-8", "<!DOCTYPE html>"),
        (ReportFormat::Markdown, "text/markdown; charset=utf-8", "[x] ABORTED"),
    ] {
        let request = within(GetDrillReportRequest {
            run_id: run_id.clone(),
            format: format.into(),
        });
        let report = client.get_drill_report(request).await.expect("report").into_inner();
        assert_eq!(report.content_type, kind);
        assert!(
            report.content.contains(part) && report.content.contains("before it was ready"),
            "{}",
            report.content
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_refused_with_their_reason() {
    let mut service = Service::start().await;
    let client = &mut service.client;
    let code = |status: tonic::Status| (status.code(), reason_of(&status));
    let refused = client.run_drill(run("", "", &[])).await.expect_err("no reason");
    assert_eq!(
        code(refused),
        (Code::InvalidArgument, Some(ReasonCode::InvalidArgument))
    );
    let refused = client.run_drill(run("x", "", &["T99"])).await.expect_err("unknown");
    assert_eq!(code(refused), (Code::NotFound, Some(ReasonCode::DrillUnknown)));
    let mut negative = run("x", "", &["T1"]);
    negative.get_mut().seed = -1;
    assert_eq!(
        client.run_drill(negative).await.expect_err("seed").code(),
        Code::InvalidArgument
    );
    let nobody = || "nobody".to_owned();
    let refused = client
        .get_drill_run(within(GetDrillRunRequest { run_id: nobody() }))
        .await
        .expect_err("unknown");
    assert_eq!(code(refused), (Code::NotFound, Some(ReasonCode::DrillUnknown)));
    let cancel = within(CancelDrillRunRequest {
        run_id: nobody(),
        reason: "x".into(),
    });
    assert_eq!(
        client.cancel_drill_run(cancel).await.expect_err("unknown").code(),
        Code::NotFound
    );
    let format = within(GetDrillReportRequest {
        run_id: nobody(),
        format: 99,
    });
    assert_eq!(
        client.get_drill_report(format).await.expect_err("format").code(),
        Code::InvalidArgument
    );
    for (page_size, page_token) in [(-1, ""), (101, ""), (1, "x"), (1, "o-1")] {
        let request = within(ListDrillRunsRequest {
            page_size,
            page_token: page_token.into(),
        });
        let refused = client.list_drill_runs(request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{page_size} {page_token:?}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_page_by_page_and_an_ended_one_cannot_be_cancelled() {
    let mut service = Service::start().await;
    let client = &mut service.client;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let run_id = client
            .run_drill(run("test", "", &["T2"]))
            .await
            .expect("runs")
            .into_inner()
            .run_id;
        watched(client, &run_id).await;
        ids.insert(0, run_id);
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = within(ListDrillRunsRequest {
            page_size: 2,
            page_token,
        });
        let page = client.list_drill_runs(request).await.expect("lists").into_inner();
        assert!(page.runs.len() <= 2);
        listed.extend(page.runs.into_iter().map(|run| run.run_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let cancel = within(CancelDrillRunRequest {
        run_id: ids[0].clone(),
        reason: "too late".into(),
    });
    let refused = client.cancel_drill_run(cancel).await.expect_err("ended");
    assert_eq!(
        (refused.code(), reason_of(&refused)),
        (Code::FailedPrecondition, Some(ReasonCode::DrillNotRunning))
    );
    service.stop().await;
}
