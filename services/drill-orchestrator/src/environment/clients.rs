use std::time::Duration;

use thunes_proto::audit::v1 as audit;
use thunes_proto::audit::v1::audit_service_client::AuditServiceClient;
use thunes_proto::gateway::v1 as gateway;
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::position::v1 as position;
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::risk::v1 as risk;
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_proto::types::v1::{Fill, Side};
use thunes_rpc::{Client, ClientError, deadline, with_actor};
use thunes_types::parse_decimal;

use crate::domain::Holding;
use crate::error::ActionError;

/// For questions.
const ASK: Duration = Duration::from_secs(5);
/// For an order: longer than the gateway's own patience with the exchange.
const ORDER: Duration = Duration::from_secs(12);
/// The fence may wait for a lease and the receive window to run out.
const SWITCH: Duration = Duration::from_secs(15);
const RECONCILE: Duration = Duration::from_secs(30);
const PAGES_MAX: usize = 10_000;
/// As the audit trail shows who did it.
pub const ACTOR: &str = "drill";

/// The services' APIs. A connection comes back by itself after its service was killed.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Of risk, position, audit and gateway.
    urls: [String; 4],
    risk: RiskServiceClient<Client>,
    position: PositionServiceClient<Client>,
    audit: AuditServiceClient<Client>,
    gateway: GatewayServiceClient<Client>,
}

type Answer<T> = Result<T, ActionError>;

fn request<T>(message: T, within: Duration) -> tonic::Request<T> {
    with_actor(deadline(message, within), ACTOR)
}

impl Clients {
    /// # Errors
    /// When an address is malformed.
    pub fn new(risk: &str, position: &str, audit: &str, gateway: &str) -> Result<Self, ClientError> {
        Ok(Self {
            urls: [risk, position, audit, gateway].map(str::to_owned),
            risk: RiskServiceClient::new(thunes_rpc::connect(risk)?),
            position: PositionServiceClient::new(thunes_rpc::connect(position)?),
            audit: AuditServiceClient::new(thunes_rpc::connect(audit)?),
            gateway: GatewayServiceClient::new(thunes_rpc::connect(gateway)?),
        })
    }

    /// The same with connections of their own: one to a container that was killed can stay silent for seconds, which says
    /// nothing of the container that came after it.
    ///
    /// # Errors
    /// As [`Clients::new`].
    pub fn fresh(&self) -> Result<Self, ClientError> {
        let [risk, position, audit, gateway] = &self.urls;
        Self::new(risk, position, audit, gateway)
    }

    /// # Errors
    /// When risk does not answer.
    pub async fn risk_status(&self) -> Answer<risk::GetRiskStatusResponse> {
        let call = self
            .risk
            .clone()
            .get_risk_status(request(risk::GetRiskStatusRequest {}, ASK))
            .await;
        call.map(tonic::Response::into_inner).map_err(ActionError::rpc("risk"))
    }

    /// # Errors
    /// When risk does not answer.
    pub async fn activate(&self, reason: &str) -> Answer<risk::ActivateKillSwitchResponse> {
        let message = risk::ActivateKillSwitchRequest {
            reason: reason.to_owned(),
            ..Default::default()
        };
        let call = self.risk.clone().activate_kill_switch(request(message, SWITCH)).await;
        call.map(tonic::Response::into_inner).map_err(ActionError::rpc("risk"))
    }

    /// # Errors
    /// When risk does not answer.
    pub async fn deactivate(&self, reason: &str) -> Answer<risk::DeactivateKillSwitchResponse> {
        let message = risk::DeactivateKillSwitchRequest {
            reason: reason.to_owned(),
            ..Default::default()
        };
        let call = self.risk.clone().deactivate_kill_switch(request(message, SWITCH)).await;
        call.map(tonic::Response::into_inner).map_err(ActionError::rpc("risk"))
    }

    /// # Errors
    /// When risk does not answer.
    pub async fn validate(&self, symbol: &str, amount: &str, side: Side) -> Answer<risk::ValidateTradeResponse> {
        let message = risk::ValidateTradeRequest {
            symbol: symbol.to_owned(),
            quote_amount: amount.to_owned(),
            side: side.into(),
            strategy_id: "test".to_owned(),
        };
        let call = self.risk.clone().validate_trade(request(message, ASK)).await;
        call.map(tonic::Response::into_inner).map_err(ActionError::rpc("risk"))
    }

    /// # Errors
    /// When the gateway does not answer; the order's fate is unknown then.
    pub async fn submit(&self, order: gateway::SubmitOrderRequest) -> Answer<gateway::SubmitOrderResponse> {
        let call = self.gateway.clone().submit_order(request(order, ORDER)).await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("exchange-gateway"))
    }

    /// # Errors
    /// When the gateway does not answer or does not know the order.
    pub async fn order(&self, client_order_id: &str) -> Answer<gateway::Order> {
        let message = gateway::GetOrderRequest {
            client_order_id: client_order_id.to_owned(),
        };
        let call = self.gateway.clone().get_order(request(message, ASK)).await;
        let answer = call.map_err(ActionError::rpc("exchange-gateway"))?.into_inner();
        answer
            .order
            .ok_or_else(|| ActionError::NotMet(format!("the gateway's answer on {client_order_id} is empty")))
    }

    /// Every order in one of the states.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn orders(&self, states: &[gateway::OrderState]) -> Answer<Vec<gateway::Order>> {
        let mut page_token = String::new();
        let mut orders = Vec::new();
        for _ in 0..PAGES_MAX {
            let message = gateway::ListOrdersRequest {
                symbol: String::new(),
                states: states.iter().map(|state| (*state).into()).collect(),
                page_size: 500,
                page_token,
            };
            let call = self.gateway.clone().list_orders(request(message, ASK)).await;
            let answer = call.map_err(ActionError::rpc("exchange-gateway"))?.into_inner();
            orders.extend(answer.orders);
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(orders)
    }

    /// # Errors
    /// When the gateway does not answer or the order cannot be canceled.
    pub async fn cancel(&self, client_order_id: &str, reason: &str) -> Answer<gateway::CancelOrderResponse> {
        let (client_order_id, reason) = (client_order_id.to_owned(), reason.to_owned());
        let message = gateway::CancelOrderRequest {
            client_order_id,
            reason,
        };
        let call = self.gateway.clone().cancel_order(request(message, ORDER)).await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("exchange-gateway"))
    }

    /// # Errors
    /// When the gateway or the exchange does not answer.
    pub async fn account(&self) -> Answer<gateway::GetAccountResponse> {
        let call = self
            .gateway
            .clone()
            .get_account(request(gateway::GetAccountRequest {}, ORDER))
            .await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("exchange-gateway"))
    }

    /// # Errors
    /// When the gateway does not answer.
    pub async fn reconcile(&self, repair: bool, reason: &str) -> Answer<gateway::ReconcileResponse> {
        let message = gateway::ReconcileRequest {
            repair,
            reason: reason.to_owned(),
            ..Default::default()
        };
        let call = self.gateway.clone().reconcile(request(message, RECONCILE)).await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("exchange-gateway"))
    }

    /// # Errors
    /// When the gateway does not answer.
    pub async fn gateway_status(&self) -> Answer<gateway::GetGatewayStatusResponse> {
        let call = self
            .gateway
            .clone()
            .get_gateway_status(request(gateway::GetGatewayStatusRequest {}, ASK))
            .await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("exchange-gateway"))
    }

    /// The book: open positions, and those that are flat now.
    ///
    /// # Errors
    /// When position does not answer.
    pub async fn positions(&self) -> Answer<Vec<position::Position>> {
        let message = position::ListOpenPositionsRequest { include_closed: true };
        let call = self.position.clone().list_open_positions(request(message, ASK)).await;
        Ok(call.map_err(ActionError::rpc("position"))?.into_inner().positions)
    }

    /// Net base quantity per symbol, by the book.
    ///
    /// # Errors
    /// When position does not answer, or with something that is no decimal.
    pub async fn holding(&self) -> Answer<Holding> {
        let mut holding = Holding::new();
        for position in self.positions().await? {
            let quantity = parse_decimal("quantity", &position.quantity).map_err(|_| ActionError::Decimal {
                field: "quantity",
                text: position.quantity.clone(),
            })?;
            let signed = if position.side() == Side::Sell {
                -quantity
            } else {
                quantity
            };
            holding.insert(position.symbol, signed);
        }
        Ok(holding)
    }

    /// # Errors
    /// When position does not answer.
    pub async fn position_count(&self) -> Answer<i64> {
        let call = self
            .position
            .clone()
            .count_open_positions(request(position::CountOpenPositionsRequest {}, ASK))
            .await;
        Ok(call.map_err(ActionError::rpc("position"))?.into_inner().count)
    }

    /// Every fill of the ledger, oldest first.
    ///
    /// # Errors
    /// When position does not answer.
    pub async fn fills(&self) -> Answer<Vec<Fill>> {
        let mut page_token = String::new();
        let mut fills = Vec::new();
        for _ in 0..PAGES_MAX {
            let message = position::ListFillsRequest {
                symbol: String::new(),
                page_size: 1000,
                page_token,
            };
            let call = self.position.clone().list_fills(request(message, ASK)).await;
            let answer = call.map_err(ActionError::rpc("position"))?.into_inner();
            fills.extend(answer.fills);
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(fills)
    }

    /// # Errors
    /// When position does not answer.
    pub async fn baseline(&self, account: &str) -> Answer<position::GetBaselineResponse> {
        let message = position::GetBaselineRequest {
            account: account.to_owned(),
        };
        let call = self.position.clone().get_baseline(request(message, ASK)).await;
        call.map(tonic::Response::into_inner)
            .map_err(ActionError::rpc("position"))
    }

    /// # Errors
    /// When audit does not answer.
    pub async fn audit_status(&self) -> Answer<audit::GetAuditStatusResponse> {
        let call = self
            .audit
            .clone()
            .get_audit_status(request(audit::GetAuditStatusRequest {}, ASK))
            .await;
        call.map(tonic::Response::into_inner).map_err(ActionError::rpc("audit"))
    }

    /// Appends one event of the drill's own; what audit acknowledges must still be there at the end.
    ///
    /// # Errors
    /// When audit does not answer.
    pub async fn append_event(
        &self,
        event_type: &str,
        reason: &str,
        payload: &serde_json::Value,
    ) -> Answer<audit::Appended> {
        let event = audit::NewEvent {
            event_type: event_type.to_owned(),
            reason: reason.to_owned(),
            actor: ACTOR.to_owned(),
            service: "drill-orchestrator".to_owned(),
            trace_id: thunes_runtime::current_trace_id(),
            payload_json: payload.to_string(),
            occurred_at_ms: thunes_runtime::clock::now_ms(),
            producer_seq: 0,
            traceparent: thunes_runtime::current_traceparent(),
        };
        let message = audit::AppendEventsRequest {
            producer: String::new(),
            incarnation: String::new(),
            events: vec![event],
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        let call = self.audit.clone().append_events(request(message, ASK)).await;
        let answer = call.map_err(ActionError::rpc("audit"))?.into_inner();
        answer
            .appended
            .into_iter()
            .next()
            .ok_or_else(|| ActionError::NotMet("audit acknowledged nothing".to_owned()))
    }
}
