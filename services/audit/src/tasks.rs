//! The writer's thread, and the streams that follow the log.

use std::sync::Arc;
use std::time::Duration;

use thunes_proto::audit::v1::TailEventsResponse;
use thunes_types::ReasonCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::domain::offer::Offer;
use crate::error::{AuditError, Denied};
use crate::grpc;
use crate::journal::{Answer, Journal};
use crate::trail::Trail;

/// What one commit takes at most, about.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What may wait for the disk at most, about.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the writer is asked to do.
pub(crate) enum Command {
    Append(Waiting),
    /// Finish what came before and end.
    Stop,
}

pub(crate) struct Waiting {
    offer: Offer,
    answer: oneshot::Sender<Answer>,
    /// Its share of the queue's memory.
    _room: OwnedSemaphorePermit,
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(requests_max: usize) -> (Self, mpsc::Receiver<Command>) {
        let (commands, queued) = mpsc::channel(requests_max);
        (
            Self {
                commands,
                room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            },
            queued,
        )
    }

    /// Waits until the request is durable, or says why it is not. A full queue is said at once.
    pub(crate) async fn append(&self, offer: Offer) -> Answer {
        let bytes = u32::try_from(offer.bytes()).map_err(|_| Denied::Overloaded)?;
        let room = self
            .room
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| Denied::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        match self.commands.try_send(Command::Append(Waiting {
            offer,
            answer,
            _room: room,
        })) {
            Ok(()) => answered.await.unwrap_or(Err(Denied::ShuttingDown)),
            Err(TrySendError::Full(_)) => Err(Denied::Overloaded),
            Err(TrySendError::Closed(_)) => Err(Denied::ShuttingDown),
        }
    }

    /// Lets the writer end after what waits.
    pub(crate) async fn stop(&self) {
        // A writer that is gone already has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }
}

/// The writer's thread: takes everything that waits, commits it at once, answers all. Ends at [`Command::Stop`], or with
/// the first error, which it tells everybody who waits and `failed`.
pub(crate) fn write_loop(
    mut journal: Journal,
    mut queue: mpsc::Receiver<Command>,
    failed: &CancellationToken,
) -> Result<(), AuditError> {
    let mut stopping = false;
    while !stopping {
        let Some(first) = queue.blocking_recv() else {
            return Ok(());
        };
        let waiting;
        (waiting, stopping) = gather(first, &mut queue);
        if let Err(error) = serve_waiting(&mut journal, waiting) {
            tracing::error!(%error, "the audit log cannot be written");
            failed.cancel();
            refuse_rest(queue, &error);
            return Err(error);
        }
    }
    Ok(())
}

/// Everything that waits at this moment, up to a bound, and whether the writer has to end after it.
fn gather(first: Command, queue: &mut mpsc::Receiver<Command>) -> (Vec<Waiting>, bool) {
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(command) = next {
        match command {
            Command::Append(one) => {
                bytes += one.offer.bytes();
                waiting.push(one);
            }
            Command::Stop => return (waiting, true),
        }
        next = if bytes < BATCH_BYTES_MAX {
            queue.try_recv().ok()
        } else {
            None
        };
    }
    (waiting, false)
}

fn serve_waiting(journal: &mut Journal, waiting: Vec<Waiting>) -> Result<(), AuditError> {
    let mut offers = Vec::with_capacity(waiting.len());
    let mut senders = Vec::with_capacity(waiting.len());
    let mut rooms = Vec::with_capacity(waiting.len());
    for Waiting {
        offer,
        answer,
        _room: room,
    } in waiting
    {
        offers.push(offer);
        senders.push(answer);
        rooms.push(room);
    }
    let answers = match journal.commit(offers) {
        Ok(answers) => answers,
        Err(error) => {
            for sender in senders {
                let _ = sender.send(Err(Denied::Storage(error.to_string())));
            }
            return Err(error);
        }
    };
    drop(rooms);
    for (sender, answer) in senders.into_iter().zip(answers) {
        // Who no longer waits will deliver again and be told that it is known.
        let _ = sender.send(answer);
    }
    Ok(())
}

fn refuse_rest(mut queue: mpsc::Receiver<Command>, error: &AuditError) {
    queue.close();
    while let Some(command) = queue.blocking_recv() {
        if let Command::Append(one) = command {
            let _ = one.answer.send(Err(Denied::Storage(error.to_string())));
        }
    }
}

/// Feeds one tail: lines from `seq` on; with `follow` also those that become durable later, and heartbeats.
pub(crate) async fn feed_tail(
    trail: Arc<Trail>,
    mut seq: u64,
    follow: bool,
    out: mpsc::Sender<Result<TailEventsResponse, Status>>,
    shutdown: CancellationToken,
) {
    let mut head = trail.watch();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = trail.head().seq;
    loop {
        head.borrow_and_update();
        let last = if follow { trail.head().seq } else { end };
        while seq <= last {
            let source = trail.clone();
            let run = match tokio::task::spawn_blocking(move || source.run(seq)).await {
                Ok(Ok(run)) => run,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a tail met a damaged line");
                    let status = thunes_rpc::refusal(Code::Internal, ReasonCode::StorageFailed, error.to_string());
                    let _ = out.send(Err(status)).await;
                    return;
                }
                Err(_) => return,
            };
            for read in run.into_iter().filter(|read| read.line.seq <= last) {
                seq = read.line.seq + 1;
                let event = grpc::tail_event(&trail, Some(read));
                let sent = tokio::select! {
                    sent = out.send(Ok(event)) => sent.is_ok(),
                    () = shutdown.cancelled() => false,
                };
                if !sent {
                    break;
                }
            }
            if out.is_closed() || shutdown.is_cancelled() {
                return end_tail(&out, &shutdown);
            }
        }
        if !follow {
            return;
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            _ = heartbeat.tick() => {
                // A reader who has not taken what was sent needs no sign of life.
                let _ = out.try_send(Ok(grpc::tail_event(&trail, None)));
            }
            () = shutdown.cancelled() => return end_tail(&out, &shutdown),
            () = out.closed() => return,
        }
    }
}

fn end_tail(out: &mpsc::Sender<Result<TailEventsResponse, Status>>, shutdown: &CancellationToken) {
    if shutdown.is_cancelled() {
        let _ = out.try_send(Err(Denied::ShuttingDown.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::offer::read_offer;
    use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};

    fn offer(payload_bytes: usize) -> Offer {
        let event = NewEvent {
            event_type: "A".into(),
            payload_json: format!("{{\"a\":\"{}\"}}", "x".repeat(payload_bytes)),
            ..NewEvent::default()
        };
        let request = AppendEventsRequest {
            events: vec![event; 20],
            ..Default::default()
        };
        read_offer(&request, 0, "", &mut || "id".to_owned()).expect("valid")
    }

    #[tokio::test]
    async fn a_full_queue_is_said_at_once() {
        let (queue, commands) = Queue::new(2);
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.append(offer(1)).await })
            })
            .collect();
        while commands.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.append(offer(1)).await, Err(Denied::Overloaded));
        drop(commands);
        for one in waiting {
            assert_eq!(one.await.expect("joined"), Err(Denied::ShuttingDown));
        }
        assert_eq!(queue.append(offer(1)).await, Err(Denied::ShuttingDown));
    }

    #[tokio::test]
    async fn one_commit_takes_all_that_wait_up_to_its_bound() {
        for (payload_bytes, expected) in [(1, 50), (60_000, BATCH_BYTES_MAX.div_ceil(offer(60_000).bytes()))] {
            let (queue, mut commands) = Queue::new(50);
            for _ in 0..50 {
                let (queue, offer) = (queue.clone(), offer(payload_bytes));
                tokio::spawn(async move { queue.append(offer).await });
            }
            while commands.len() < 50 {
                tokio::task::yield_now().await;
            }
            let first = commands.recv().await.expect("queued");
            let (waiting, stopping) = gather(first, &mut commands);
            assert_eq!((waiting.len(), stopping), (expected, false));
            assert_eq!(commands.len(), 50 - expected, "the rest waits for the next");
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes_too() {
        let (queue, commands) = Queue::new(10_000);
        let large = offer(60_000);
        let fits = QUEUE_BYTES_MAX / large.bytes();
        for _ in 0..fits {
            let (queue, large) = (queue.clone(), large.clone());
            tokio::spawn(async move { queue.append(large).await });
        }
        while commands.len() < fits {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.append(large).await, Err(Denied::Overloaded));
    }
}
