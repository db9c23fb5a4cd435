//! Decode, call, encode.

use std::sync::Arc;

use thunes_proto::audit::v1::audit_service_server::AuditService;
use thunes_proto::audit::v1::{
    AppendEventsRequest, AppendEventsResponse, Appended, Event, GetAuditStatusRequest, GetAuditStatusResponse,
    NewEvent, QueryEventsRequest, QueryEventsResponse, TailEventsRequest, TailEventsResponse,
};
use thunes_rpc::{invalid, refusal};
use thunes_runtime::{clock, continue_trace, current_trace_id};
use thunes_types::{FieldError, ReasonCode};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tracing::Span;

use crate::domain::offer::read_offer;
use crate::domain::page::Query;
use crate::journal::Logged;
use crate::tasks::{Queue, feed_tail};
use crate::trail::{Read, Trail};

const TAIL_LAST_MAX: i32 = 1000;
/// Tails that may be open at once.
const TAILS_MAX: usize = 64;
/// Answers that wait in one tail for its reader.
const TAIL_BUFFER: usize = 64;

pub(crate) struct AuditApi {
    queue: Queue,
    trail: Arc<Trail>,
    tails: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl AuditApi {
    pub(crate) fn new(queue: Queue, trail: Arc<Trail>, shutdown: CancellationToken) -> Self {
        Self {
            queue,
            trail,
            tails: Arc::new(Semaphore::new(TAILS_MAX)),
            shutdown,
        }
    }
}

/// The writing of one event, in the trace in which it happened: events come in batches, long after their calls.
fn append_span(event: &NewEvent) -> Span {
    let span = tracing::info_span!(
        "audit.append",
        event_type = %event.event_type,
        producer = %event.service,
        audit.seq = tracing::field::Empty,
        audit.duplicate = tracing::field::Empty,
    );
    continue_trace(&span, &event.traceparent);
    span
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn append_events(
        &self,
        request: Request<AppendEventsRequest>,
    ) -> Result<Response<AppendEventsResponse>, Status> {
        let offer = read_offer(request.get_ref(), clock::now_ms(), &current_trace_id(), &mut || {
            uuid::Uuid::new_v4().to_string()
        })?;
        let spans: Vec<Span> = request.get_ref().events.iter().map(append_span).collect();
        let logged = self.queue.append(offer).await?;
        for (span, logged) in spans.iter().zip(&logged) {
            span.record("audit.seq", i64::try_from(logged.seq).unwrap_or(i64::MAX));
            span.record("audit.duplicate", logged.duplicate);
        }
        Ok(Response::new(AppendEventsResponse {
            appended: logged.into_iter().map(appended).collect(),
        }))
    }

    async fn query_events(
        &self,
        request: Request<QueryEventsRequest>,
    ) -> Result<Response<QueryEventsResponse>, Status> {
        let query = Query::read(request.get_ref()).map_err(invalid)?;
        let (trail, asked) = (self.trail.clone(), query.clone());
        let page = tokio::task::spawn_blocking(move || trail.page(&asked)).await;
        let page = page.map_err(|e| refusal(Code::Internal, ReasonCode::Internal, e.to_string()))?;
        let (lines, next) = page.map_err(|e| refusal(Code::Internal, ReasonCode::StorageFailed, e.to_string()))?;
        Ok(Response::new(QueryEventsResponse {
            events: lines.into_iter().map(event).collect(),
            next_page_token: next.map(|seq| query.token(seq)).unwrap_or_default(),
        }))
    }

    type TailEventsStream = ReceiverStream<Result<TailEventsResponse, Status>>;

    async fn tail_events(
        &self,
        request: Request<TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        let TailEventsRequest { from_seq, last, follow } = request.into_inner();
        let first = first_of_tail(from_seq, last, self.trail.head().seq).map_err(invalid)?;
        let place = self.tails.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{TAILS_MAX} tails are open already; close one, or query instead");
            refusal(Code::ResourceExhausted, ReasonCode::Overloaded, message)
        })?;
        let (out, stream) = mpsc::channel(TAIL_BUFFER);
        let (trail, shutdown) = (self.trail.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            feed_tail(trail, first, follow, out, shutdown).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get_audit_status(
        &self,
        _request: Request<GetAuditStatusRequest>,
    ) -> Result<Response<GetAuditStatusResponse>, Status> {
        let head = self.trail.head();
        Ok(Response::new(GetAuditStatusResponse {
            last_seq: wire(head.seq),
            size_bytes: wire(head.bytes),
            last_leaf_hash: head.leaf.map(|leaf| leaf.to_base64()).unwrap_or_default(),
            path: self.trail.path.display().to_string(),
            quarantined_batches: wire(self.trail.quarantined_batches),
        }))
    }
}

fn first_of_tail(from_seq: i64, last: i32, head_seq: u64) -> Result<u64, FieldError> {
    let from = u64::try_from(from_seq).map_err(|_| {
        FieldError::new(
            "from_seq",
            &from_seq.to_string(),
            "a sequence from 1, or 0 for the last few",
        )
    })?;
    if !(0..=TAIL_LAST_MAX).contains(&last) {
        return Err(FieldError::new(
            "last",
            &last.to_string(),
            format!("0 to {TAIL_LAST_MAX}"),
        ));
    }
    if from > 0 {
        return Ok(from);
    }
    Ok((head_seq + 1).saturating_sub(u64::from(last.unsigned_abs())).max(1))
}

/// Counts stay far below the bound of the wire's type.
fn wire(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn appended(logged: Logged) -> Appended {
    Appended {
        seq: wire(logged.seq),
        event_id: logged.event_id,
        duplicate: logged.duplicate,
        leaf_hash: logged.leaf.to_base64(),
    }
}

fn event(read: Read) -> Event {
    let Read { line, raw } = read;
    let entry = line.entry;
    Event {
        seq: wire(line.seq),
        event_id: entry.event_id,
        ts: entry.ts,
        event_type: entry.event_type,
        reason: entry.reason,
        actor: entry.actor,
        service: entry.service,
        trace_id: entry.trace_id,
        payload_json: entry.payload.as_str().to_owned(),
        prev: line.prev.map(|leaf| leaf.to_base64()).unwrap_or_default(),
        crc: format!("{:08x}", line.crc),
        raw,
    }
}

/// An event of a tail, or a heartbeat.
pub(crate) fn tail_event(trail: &Trail, read: Option<Read>) -> TailEventsResponse {
    let last_seq = wire(trail.head().seq);
    TailEventsResponse {
        heartbeat: read.is_none(),
        event: read.map(event),
        last_seq,
    }
}
