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
use thunes_rpc::{Client, deadline};
use tonic::Status;

const ASK: Duration = Duration::from_secs(10);
/// Longer than anything that an order may wait for.
const ORDER: Duration = Duration::from_secs(20);
const SWITCH: Duration = Duration::from_secs(20);
const PAGES_MAX: usize = 10_000;

/// The four services as a caller sees them. Connections come back by themselves after a service was killed.
#[derive(Debug, Clone)]
pub struct Calls {
    pub risk: RiskServiceClient<Client>,
    pub position: PositionServiceClient<Client>,
    pub audit: AuditServiceClient<Client>,
    pub gateway: GatewayServiceClient<Client>,
}

/// A market order that spends `quote`.
pub fn buy(client_order_id: &str, symbol: &str, quote: &str) -> gateway::SubmitOrderRequest {
    gateway::SubmitOrderRequest {
        client_order_id: client_order_id.to_owned(),
        symbol: symbol.to_owned(),
        side: Side::Buy.into(),
        quote_amount: quote.to_owned(),
        ..Default::default()
    }
}

/// A market order that sells `quantity` of the base asset.
pub fn sell(client_order_id: &str, symbol: &str, quantity: &str) -> gateway::SubmitOrderRequest {
    gateway::SubmitOrderRequest {
        client_order_id: client_order_id.to_owned(),
        symbol: symbol.to_owned(),
        side: Side::Sell.into(),
        quantity: quantity.to_owned(),
        ..Default::default()
    }
}

/// A limit order that rests until its price comes.
pub fn limit_buy(client_order_id: &str, symbol: &str, quantity: &str, price: &str) -> gateway::SubmitOrderRequest {
    gateway::SubmitOrderRequest {
        client_order_id: client_order_id.to_owned(),
        symbol: symbol.to_owned(),
        side: Side::Buy.into(),
        r#type: gateway::OrderType::Limit.into(),
        quantity: quantity.to_owned(),
        limit_price: price.to_owned(),
        ..Default::default()
    }
}

/// A limit order that sells `quantity` of the base asset when its price comes.
pub fn limit_sell(client_order_id: &str, symbol: &str, quantity: &str, price: &str) -> gateway::SubmitOrderRequest {
    gateway::SubmitOrderRequest {
        side: Side::Sell.into(),
        ..limit_buy(client_order_id, symbol, quantity, price)
    }
}

/// The scope of one symbol.
pub fn of_symbol(symbol: &str) -> Option<risk::Scope> {
    let symbol = symbol.to_owned();
    Some(risk::Scope {
        symbol,
        ..Default::default()
    })
}

/// The scope of one strategy.
pub fn of_strategy(strategy_id: &str) -> Option<risk::Scope> {
    let strategy_id = strategy_id.to_owned();
    Some(risk::Scope {
        strategy_id,
        ..Default::default()
    })
}

impl Calls {
    /// # Panics
    /// When an address is malformed.
    pub fn new(risk: &str, position: &str, audit: &str, gateway: &str) -> Self {
        let client = |url: &str| thunes_rpc::connect(url).expect("a well-formed address");
        Self {
            risk: RiskServiceClient::new(client(risk)),
            position: PositionServiceClient::new(client(position)),
            audit: AuditServiceClient::new(client(audit)),
            gateway: GatewayServiceClient::new(client(gateway)),
        }
    }

    pub async fn activate(&self, reason: &str, request_id: &str) -> Result<risk::ActivateKillSwitchResponse, Status> {
        let (reason, request_id) = (reason.to_owned(), request_id.to_owned());
        let request = risk::ActivateKillSwitchRequest {
            reason,
            request_id,
            ..Default::default()
        };
        Ok(self
            .risk
            .clone()
            .activate_kill_switch(deadline(request, SWITCH))
            .await?
            .into_inner())
    }

    pub async fn deactivate(
        &self,
        reason: &str,
        request_id: &str,
    ) -> Result<risk::DeactivateKillSwitchResponse, Status> {
        let (reason, request_id) = (reason.to_owned(), request_id.to_owned());
        let request = risk::DeactivateKillSwitchRequest {
            reason,
            request_id,
            ..Default::default()
        };
        Ok(self
            .risk
            .clone()
            .deactivate_kill_switch(deadline(request, SWITCH))
            .await?
            .into_inner())
    }

    /// Halts a scope at a level.
    pub async fn halt(
        &self,
        scope: Option<risk::Scope>,
        level: risk::KillSwitchLevel,
    ) -> Result<risk::ActivateKillSwitchResponse, Status> {
        let request = risk::ActivateKillSwitchRequest {
            reason: "a test halts".to_owned(),
            level: level.into(),
            scope,
            ..Default::default()
        };
        let answer = self
            .risk
            .clone()
            .activate_kill_switch(deadline(request, SWITCH))
            .await?;
        Ok(answer.into_inner())
    }

    /// Ends the halt of a scope.
    pub async fn lift(&self, scope: Option<risk::Scope>) -> Result<risk::DeactivateKillSwitchResponse, Status> {
        let request = risk::DeactivateKillSwitchRequest {
            reason: "a test goes on".to_owned(),
            scope,
            ..Default::default()
        };
        let answer = self
            .risk
            .clone()
            .deactivate_kill_switch(deadline(request, SWITCH))
            .await?;
        Ok(answer.into_inner())
    }

    pub async fn risk_status(&self) -> Result<risk::GetRiskStatusResponse, Status> {
        let request = deadline(risk::GetRiskStatusRequest {}, ASK);
        Ok(self.risk.clone().get_risk_status(request).await?.into_inner())
    }

    pub async fn validate(&self, symbol: &str, quote: &str, side: Side) -> Result<risk::ValidateTradeResponse, Status> {
        let request = risk::ValidateTradeRequest {
            symbol: symbol.to_owned(),
            quote_amount: quote.to_owned(),
            side: side.into(),
            strategy_id: String::new(),
        };
        Ok(self
            .risk
            .clone()
            .validate_trade(deadline(request, ASK))
            .await?
            .into_inner())
    }

    pub async fn submit(&self, order: gateway::SubmitOrderRequest) -> Result<gateway::SubmitOrderResponse, Status> {
        Ok(self
            .gateway
            .clone()
            .submit_order(deadline(order, ORDER))
            .await?
            .into_inner())
    }

    /// Submits an order and gives it as the gateway knows it then.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn order_now(&self, order: gateway::SubmitOrderRequest) -> gateway::Order {
        let id = order.client_order_id.clone();
        let answer = self
            .submit(order)
            .await
            .unwrap_or_else(|status| panic!("order {id}: {status:?}"));
        answer.order.expect("an answer holds the order")
    }

    pub async fn order(&self, client_order_id: &str) -> Result<gateway::Order, Status> {
        let request = gateway::GetOrderRequest {
            client_order_id: client_order_id.to_owned(),
        };
        let answer = self
            .gateway
            .clone()
            .get_order(deadline(request, ASK))
            .await?
            .into_inner();
        answer
            .order
            .ok_or_else(|| Status::internal("the answer holds no order"))
    }

    /// Every order of the journal.
    pub async fn orders(&self) -> Result<Vec<gateway::Order>, Status> {
        let mut orders = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = gateway::ListOrdersRequest {
                page_size: 500,
                page_token,
                ..Default::default()
            };
            let page = self
                .gateway
                .clone()
                .list_orders(deadline(request, ASK))
                .await?
                .into_inner();
            orders.extend(page.orders);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(orders);
            }
        }
        Err(Status::internal("the pages do not end"))
    }

    pub async fn gateway_status(&self) -> Result<gateway::GetGatewayStatusResponse, Status> {
        let request = deadline(gateway::GetGatewayStatusRequest {}, ASK);
        Ok(self.gateway.clone().get_gateway_status(request).await?.into_inner())
    }

    /// Compares every trade anew.
    pub async fn reconcile_in_full(&self) -> Result<gateway::ReconcileResponse, Status> {
        let request = gateway::ReconcileRequest {
            full: true,
            reason: "a test looks at everything".to_owned(),
            ..Default::default()
        };
        let request = deadline(request, Duration::from_secs(60));
        Ok(self.gateway.clone().reconcile(request).await?.into_inner())
    }

    /// An operator's word on an order in doubt.
    pub async fn resolve(
        &self,
        client_order_id: &str,
        outcome: gateway::ResolvedOutcome,
        reason: &str,
    ) -> Result<gateway::Order, Status> {
        let request = gateway::ResolveOrderRequest {
            client_order_id: client_order_id.to_owned(),
            outcome: outcome.into(),
            reason: reason.to_owned(),
            request_id: String::new(),
        };
        let answer = self.gateway.clone().resolve_order(deadline(request, ORDER)).await?;
        answer
            .into_inner()
            .order
            .ok_or_else(|| Status::internal("the answer holds no order"))
    }

    /// Opens in spite of what reconciliation found.
    pub async fn override_reconciliation(
        &self,
        reason: &str,
        request_id: &str,
    ) -> Result<gateway::OverrideReconciliationResponse, Status> {
        let request = gateway::OverrideReconciliationRequest {
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
            valid_for_ms: 0,
        };
        let request = deadline(request, Duration::from_secs(60));
        let answer = self.gateway.clone().override_reconciliation(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn reconcile(&self, repair: bool) -> Result<gateway::ReconcileResponse, Status> {
        let request = gateway::ReconcileRequest {
            repair,
            reason: "a test looks".to_owned(),
            ..Default::default()
        };
        Ok(self
            .gateway
            .clone()
            .reconcile(deadline(request, Duration::from_secs(60)))
            .await?
            .into_inner())
    }

    /// The book: open positions, and those that are flat now.
    pub async fn positions(&self) -> Result<position::ListOpenPositionsResponse, Status> {
        let request = deadline(position::ListOpenPositionsRequest { include_closed: true }, ASK);
        Ok(self.position.clone().list_open_positions(request).await?.into_inner())
    }

    /// Every fill of the ledger, oldest first.
    pub async fn fills(&self) -> Result<Vec<Fill>, Status> {
        let mut fills = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = position::ListFillsRequest {
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let page = self
                .position
                .clone()
                .list_fills(deadline(request, ASK))
                .await?
                .into_inner();
            fills.extend(page.fills);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(fills);
            }
        }
        Err(Status::internal("the pages do not end"))
    }

    pub async fn record_fills(&self, fills: Vec<Fill>) -> Result<position::RecordFillsResponse, Status> {
        let request = deadline(
            position::RecordFillsRequest {
                fills,
                ..Default::default()
            },
            ASK,
        );
        Ok(self.position.clone().record_fills(request).await?.into_inner())
    }

    pub async fn append(&self, request: audit::AppendEventsRequest) -> Result<audit::AppendEventsResponse, Status> {
        Ok(self
            .audit
            .clone()
            .append_events(deadline(request, ASK))
            .await?
            .into_inner())
    }

    pub async fn audit_status(&self) -> Result<audit::GetAuditStatusResponse, Status> {
        let request = deadline(audit::GetAuditStatusRequest {}, ASK);
        Ok(self.audit.clone().get_audit_status(request).await?.into_inner())
    }
}
