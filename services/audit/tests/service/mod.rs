//! The audit service over real gRPC, on a free port, with a real log in a temporary folder.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use thunes_audit::{AuditConfig, AuditError, serve};
use thunes_proto::audit::v1::audit_service_client::AuditServiceClient;
use thunes_proto::audit::v1::{
    AppendEventsRequest, AppendEventsResponse, Event, GetAuditStatusRequest, GetAuditStatusResponse, NewEvent,
    QueryEventsRequest,
};
use thunes_rpc::{Client, deadline};
use thunes_tlog::{LogPaths, VerifyReport, verify_file};
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Api = AuditServiceClient<Client>;

pub struct Service {
    pub api: Api,
    pub data_dir: PathBuf,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), AuditError>>,
}

pub fn config(data_dir: &Path) -> AuditConfig {
    let settings = thunes_runtime::Settings::default()
        .with("audit.listen", "127.0.0.1:0")
        .with("audit.data_dir", data_dir.display().to_string());
    AuditConfig::read(&settings).expect("settings").0
}

pub fn client(address: &str) -> Api {
    AuditServiceClient::new(thunes_rpc::connect(&format!("http://{address}")).expect("address"))
}

impl Service {
    /// Starts the service and waits until it serves.
    pub async fn start(data_dir: &Path) -> Self {
        let config = config(data_dir);
        let listening = thunes_rpc::bind("audit", config.listen.clone(), config.plaintext)
            .await
            .expect("bind");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(config, listening.listener, shutdown.clone()));
        let api = client(&listening.address.to_string());
        let service = Self {
            api,
            data_dir: data_dir.to_owned(),
            shutdown,
            task,
        };
        service.status().await;
        service
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("joined").expect("stopped in order");
    }

    pub async fn status(&self) -> GetAuditStatusResponse {
        let request = deadline(GetAuditStatusRequest {}, PATIENCE);
        self.api
            .clone()
            .get_audit_status(request)
            .await
            .expect("status")
            .into_inner()
    }

    pub async fn append(&self, request: AppendEventsRequest) -> Result<AppendEventsResponse, Status> {
        append(&self.api, request).await
    }

    pub async fn query(&self, request: QueryEventsRequest) -> (Vec<Event>, String) {
        let answer = self
            .api
            .clone()
            .query_events(deadline(request, PATIENCE))
            .await
            .expect("query")
            .into_inner();
        (answer.events, answer.next_page_token)
    }

    pub async fn of_type(&self, event_type: &str) -> Vec<Event> {
        self.query(QueryEventsRequest {
            event_types: vec![event_type.into()],
            ..Default::default()
        })
        .await
        .0
    }

    pub fn log(&self) -> PathBuf {
        log_of(&self.data_dir)
    }
}

pub async fn append(api: &Api, request: AppendEventsRequest) -> Result<AppendEventsResponse, Status> {
    Ok(api
        .clone()
        .append_events(deadline(request, PATIENCE))
        .await?
        .into_inner())
}

pub fn log_of(data_dir: &Path) -> PathBuf {
    LogPaths::in_data_dir(data_dir).log
}

/// The log's text as the paper form's `tail` sees it.
pub fn lines(data_dir: &Path) -> Vec<String> {
    std::fs::read_to_string(log_of(data_dir))
        .expect("the log")
        .lines()
        .map(str::to_owned)
        .collect()
}

pub fn verified(data_dir: &Path) -> VerifyReport {
    let report = verify_file(&log_of(data_dir)).expect("readable");
    assert_eq!(report.first_bad, None);
    report
}

pub fn event(number: u64) -> NewEvent {
    NewEvent {
        event_type: "ORDER_INTENT".into(),
        reason: format!("event {number}"),
        actor: "unauthenticated:local".into(),
        service: "risk".into(),
        trace_id: String::new(),
        payload_json: format!("{{\"number\": {number}}}"),
        occurred_at_ms: 1_764_000_000_000 + i64::try_from(number).expect("small"),
        producer_seq: 0,
        traceparent: String::new(),
    }
}

/// Events `first..=last` of a counting producer.
pub fn counted(producer: &str, first: u64, last: u64) -> AppendEventsRequest {
    let events = (first..=last)
        .map(|number| NewEvent {
            producer_seq: i64::try_from(number).expect("small"),
            ..event(number)
        })
        .collect();
    AppendEventsRequest {
        producer: producer.into(),
        incarnation: "db1".into(),
        events,
        request_id: String::new(),
    }
}

pub fn request(request_id: &str, numbers: std::ops::Range<u64>) -> AppendEventsRequest {
    let events = numbers.map(event).collect();
    AppendEventsRequest {
        request_id: request_id.into(),
        events,
        ..Default::default()
    }
}

pub fn reason(status: &Status) -> &'static str {
    thunes_rpc::reason_of(status).map_or("none", thunes_types::ReasonCode::as_str)
}
