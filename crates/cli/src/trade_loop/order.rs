use std::sync::Arc;
use std::time::{Duration, Instant};

use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::gateway::v1::{GetOrderRequest, Order, OrderState, SubmitOrderRequest};
use thunes_rpc::{Client, deadline, reason_of, with_actor};
use thunes_types::ReasonCode;
use tonic::{Code, Request, Status};

use crate::commands::trade::is_accepted;
use crate::trade_loop::acks::{Acks, Via};
use crate::trade_loop::totals::Totals;

const CALL_WITHIN: Duration = Duration::from_secs(5);
/// Between two questions about the same order; doubles while nobody answers.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The end of one order, as far as this side knows.
#[derive(Debug)]
pub enum Ended {
    /// It has ended, or rests at the exchange.
    Known(Box<Order>),
    /// The gateway would not take the request at all.
    Refused,
    /// Nobody answered for as long as we asked.
    Unknown,
}

/// Sends orders so that each is known in the end, and none is sent twice.
#[derive(Debug, Clone)]
pub struct Sender {
    pub gateway: GatewayServiceClient<Client>,
    pub actor: Option<String>,
    pub acks: Arc<Acks>,
    pub totals: Arc<Totals>,
    pub retry_for: Duration,
}

/// What is known of an order so far.
enum Step {
    /// Never sent, or the gateway has never heard of it.
    Send,
    /// Sent, perhaps.
    Ask,
    Done(Ended),
}

impl Sender {
    /// Sends one order and stays with it until its fate is known. The same `client_order_id` goes with every attempt.
    pub async fn send(&mut self, request: SubmitOrderRequest) -> anyhow::Result<Ended> {
        let begun = Instant::now();
        self.totals.begun();
        self.acks.sent(&request)?;
        let mut step = Step::Send;
        let mut attempts = 0_u32;
        let mut doubted = false;
        loop {
            let pause = RETRY_MIN.saturating_mul(1 << attempts.min(10)).min(RETRY_MAX);
            if attempts > 0 {
                self.totals.retried();
                tokio::time::sleep(pause).await;
            }
            attempts += 1;
            step = match step {
                Step::Send => {
                    self.submit(&request, &mut doubted, (attempts == 1).then_some(begun))
                        .await?
                }
                Step::Ask => self.ask(&request.client_order_id, &mut doubted).await?,
                Step::Done(_) => step,
            };
            match step {
                Step::Done(ended) => return Ok(ended),
                _ if begun.elapsed() >= self.retry_for => {
                    self.totals.unknown();
                    return Ok(Ended::Unknown);
                }
                _ => {}
            }
        }
    }

    async fn submit(
        &mut self,
        request: &SubmitOrderRequest,
        doubted: &mut bool,
        first: Option<Instant>,
    ) -> anyhow::Result<Step> {
        let id = &request.client_order_id;
        let sent = self.request(request.clone());
        match self.gateway.submit_order(sent).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let order = answer.order.unwrap_or_default();
                let latency = first.map(|begun| begun.elapsed());
                self.learned(order, answer.accepted, Via::Submit, latency, doubted)
            }
            Err(status) => {
                self.acks.failed(id, &status)?;
                if may_pass(&status) {
                    return Ok(Step::Ask);
                }
                self.totals.refused(&status);
                Ok(Step::Done(Ended::Refused))
            }
        }
    }

    async fn ask(&mut self, id: &str, doubted: &mut bool) -> anyhow::Result<Step> {
        let request = self.request(GetOrderRequest {
            client_order_id: id.to_owned(),
        });
        match self.gateway.get_order(request).await {
            Ok(answer) => {
                let order = answer.into_inner().order.unwrap_or_default();
                let accepted = is_accepted(&order);
                self.learned(order, accepted, Via::GetOrder, None, doubted)
            }
            // The gateway writes an order down before it sends it: what it has not heard of was never sent, and its
            // name makes at most one order however often it is sent.
            Err(status) if status.code() == Code::NotFound => Ok(Step::Send),
            Err(status) => {
                self.acks.failed(id, &status)?;
                Ok(Step::Ask)
            }
        }
    }

    fn learned(
        &self,
        order: Order,
        accepted: bool,
        via: Via,
        latency: Option<Duration>,
        doubted: &mut bool,
    ) -> anyhow::Result<Step> {
        let open = match order.state() {
            OrderState::Intent | OrderState::InDoubt => true,
            OrderState::Unspecified
            | OrderState::Denied
            | OrderState::New
            | OrderState::PartiallyFilled
            | OrderState::Filled
            | OrderState::Canceled
            | OrderState::Rejected
            | OrderState::Expired
            | OrderState::NeverArrived => false,
        };
        // The answer to a submission is an acknowledgement even while the order is in doubt; of the questions after
        // that only the last word is.
        if !open || via == Via::Submit {
            self.acks.answered(&order, accepted, via)?;
        }
        if open {
            if !std::mem::replace(doubted, true) {
                self.totals.doubted();
            }
            return Ok(Step::Ask);
        }
        self.totals.known(&order, accepted, latency);
        Ok(Step::Done(Ended::Known(Box::new(order))))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let request = deadline(message, CALL_WITHIN);
        match &self.actor {
            Some(actor) => with_actor(request, actor),
            None => request,
        }
    }
}

/// Whether the same request may be answered another way later: the gateway is down, overloaded, or lost its answer.
fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::Aborted
        | Code::ResourceExhausted => true,
        _ => matches!(
            reason_of(status),
            Some(ReasonCode::ShuttingDown | ReasonCode::DependencyUnavailable)
        ),
    }
}
