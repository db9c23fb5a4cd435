use std::time::Duration;

use thunes_proto::gateway::v1 as gateway;
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::position::v1 as position;
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::risk::v1 as risk;
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_proto::types::v1::Fill;
use thunes_rpc::{Client, deadline};
use thunes_supervisor::embedded::{Environment, Service};
use tonic::Status;

use crate::SoakError;

const ASK: Duration = Duration::from_secs(5);
const ORDER: Duration = Duration::from_secs(4);
const SWITCH: Duration = Duration::from_secs(10);
const PAGES_MAX: usize = 100_000;

/// The services as their callers see them; connections come back by themselves.
#[derive(Debug, Clone)]
pub struct Calls {
    risk: RiskServiceClient<Client>,
    position: PositionServiceClient<Client>,
    gateway: GatewayServiceClient<Client>,
}

impl Calls {
    /// To the services of an environment.
    ///
    /// # Errors
    /// When an address is malformed.
    pub fn new(environment: &Environment) -> Result<Self, SoakError> {
        let client = |service| {
            thunes_rpc::connect(&environment.url(service)).map_err(|error| SoakError::NotReady(error.to_string()))
        };
        Ok(Self {
            risk: RiskServiceClient::new(client(Service::Risk)?),
            position: PositionServiceClient::new(client(Service::Position)?),
            gateway: GatewayServiceClient::new(client(Service::ExchangeGateway)?),
        })
    }

    pub async fn submit(&self, order: gateway::SubmitOrderRequest) -> Result<gateway::SubmitOrderResponse, Status> {
        let request = deadline(order, ORDER);
        Ok(self.gateway.clone().submit_order(request).await?.into_inner())
    }

    pub async fn cancel(&self, client_order_id: &str) -> Result<gateway::CancelOrderResponse, Status> {
        let request = gateway::CancelOrderRequest {
            client_order_id: client_order_id.to_owned(),
            reason: "the soak changes its mind".to_owned(),
        };
        let request = deadline(request, ORDER);
        Ok(self.gateway.clone().cancel_order(request).await?.into_inner())
    }

    pub async fn gateway_status(&self) -> Result<gateway::GetGatewayStatusResponse, Status> {
        let request = deadline(gateway::GetGatewayStatusRequest {}, ASK);
        Ok(self.gateway.clone().get_gateway_status(request).await?.into_inner())
    }

    pub async fn risk_status(&self) -> Result<risk::GetRiskStatusResponse, Status> {
        let request = deadline(risk::GetRiskStatusRequest {}, ASK);
        Ok(self.risk.clone().get_risk_status(request).await?.into_inner())
    }

    pub async fn activate(
        &self,
        reason: &str,
        request_id: &str,
        level: risk::KillSwitchLevel,
    ) -> Result<risk::ActivateKillSwitchResponse, Status> {
        let request = risk::ActivateKillSwitchRequest {
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
            level: level as i32,
            ..Default::default()
        };
        let request = deadline(request, SWITCH);
        Ok(self.risk.clone().activate_kill_switch(request).await?.into_inner())
    }

    pub async fn deactivate(
        &self,
        reason: &str,
        request_id: &str,
    ) -> Result<risk::DeactivateKillSwitchResponse, Status> {
        let request = risk::DeactivateKillSwitchRequest {
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        let request = deadline(request, SWITCH);
        Ok(self.risk.clone().deactivate_kill_switch(request).await?.into_inner())
    }

    /// Changes a limit that nobody meets.
    pub async fn change_limit(&self, orders_per_minute_max: i64) -> Result<(), Status> {
        let request = risk::UpdateLimitsRequest {
            reason: "the soak changes a limit".to_owned(),
            orders_per_minute_max: Some(orders_per_minute_max),
            ..Default::default()
        };
        let request = deadline(request, ASK);
        self.risk.clone().update_limits(request).await.map(|_| ())
    }

    /// Asks the gateway to compare; without `repair` it changes nothing.
    pub async fn reconcile(&self, repair: bool) -> Result<gateway::ReconcileResponse, Status> {
        let request = gateway::ReconcileRequest {
            repair,
            reason: "the soak looks".to_owned(),
            ..Default::default()
        };
        let request = deadline(request, Duration::from_secs(60));
        Ok(self.gateway.clone().reconcile(request).await?.into_inner())
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
            let request = deadline(request, ASK);
            let page = self.gateway.clone().list_orders(request).await?.into_inner();
            orders.extend(page.orders);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(orders);
            }
        }
        Err(Status::internal("the pages do not end"))
    }

    /// Every fill of the book.
    pub async fn fills(&self) -> Result<Vec<Fill>, Status> {
        let mut fills = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = position::ListFillsRequest {
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let request = deadline(request, ASK);
            let page = self.position.clone().list_fills(request).await?.into_inner();
            fills.extend(page.fills);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(fills);
            }
        }
        Err(Status::internal("the pages do not end"))
    }

    /// The positions, flat ones too.
    pub async fn positions(&self) -> Result<position::ListOpenPositionsResponse, Status> {
        let request = deadline(position::ListOpenPositionsRequest { include_closed: true }, ASK);
        Ok(self.position.clone().list_open_positions(request).await?.into_inner())
    }
}
