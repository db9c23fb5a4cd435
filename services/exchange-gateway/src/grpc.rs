//! Decode, call, encode.

use std::sync::Arc;

use thunes_proto::gateway::v1::gateway_service_server::GatewayService;
use thunes_proto::gateway::v1::*;
use thunes_rpc::{actor_of, invalid, invalid_fields};
use thunes_runtime::clock;
use thunes_types::{ClientOrderId, Symbol};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::cancel::optional_reason;
use crate::engine::Engine;
use crate::questions::balances_to_wire;
use crate::wire::wish_of;

/// The gRPC face of the engine.
pub(crate) struct GatewayGrpc {
    pub engine: Arc<Engine>,
}

#[tonic::async_trait]
impl GatewayService for GatewayGrpc {
    async fn submit_order(
        &self,
        request: Request<SubmitOrderRequest>,
    ) -> Result<Response<SubmitOrderResponse>, Status> {
        let made_id = format!("th-{}", uuid::Uuid::now_v7().simple());
        let wish = wish_of(&request.into_inner(), &made_id).map_err(invalid_fields)?;
        let engine = Arc::clone(&self.engine);
        // A task of its own: a caller that hangs up must not stop an order half way.
        let work = tokio::spawn(async move { engine.submit(wish).await }.in_current_span());
        let order = work
            .await
            .map_err(|e| Status::internal(format!("the submission ended early: {e}")))??;
        let accepted = order.state().is_ok_and(|state| state.is_accepted());
        let order = Some(self.engine.shown(&order).await?);
        Ok(Response::new(SubmitOrderResponse { accepted, order }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let actor = actor_of(request.metadata());
        let request = request.into_inner();
        let id = ClientOrderId::parse(&request.client_order_id).map_err(invalid)?;
        optional_reason(&request.reason).map_err(invalid)?;
        self.engine.note_cancel(id.as_str(), &request.reason, &actor);
        let order = self.engine.cancel(&id).await?;
        Ok(Response::new(CancelOrderResponse {
            order: Some(self.engine.shown(&order).await?),
        }))
    }

    async fn cancel_all_orders(
        &self,
        request: Request<CancelAllOrdersRequest>,
    ) -> Result<Response<CancelAllOrdersResponse>, Status> {
        let actor = actor_of(request.metadata());
        let CancelAllOrdersRequest { symbol, reason } = request.into_inner();
        if !symbol.is_empty() {
            Symbol::parse(&symbol).map_err(invalid)?;
        }
        optional_reason(&reason).map_err(invalid)?;
        self.engine
            .note_cancel(if symbol.is_empty() { "all" } else { &symbol }, &reason, &actor);
        Ok(Response::new(self.engine.cancel_all(&symbol).await?))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let id = ClientOrderId::parse(&request.into_inner().client_order_id).map_err(invalid)?;
        let order = self.engine.order(id.as_str()).await?;
        Ok(Response::new(GetOrderResponse {
            order: Some(self.engine.shown(&order).await?),
        }))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        Ok(Response::new(self.engine.orders(&request.into_inner()).await?))
    }

    async fn get_account(&self, _: Request<GetAccountRequest>) -> Result<Response<GetAccountResponse>, Status> {
        let account = self.engine.account().await?;
        Ok(Response::new(GetAccountResponse {
            balances: balances_to_wire(&account),
            can_trade: account.can_trade,
            asked_at_ms: clock::now_ms(),
        }))
    }

    async fn list_trades(&self, request: Request<ListTradesRequest>) -> Result<Response<ListTradesResponse>, Status> {
        Ok(Response::new(self.engine.shown_trades(&request.into_inner()).await?))
    }

    async fn reconcile(&self, request: Request<ReconcileRequest>) -> Result<Response<ReconcileResponse>, Status> {
        let actor = actor_of(request.metadata());
        let request = request.into_inner();
        let engine = Arc::clone(&self.engine);
        let work = tokio::spawn(async move { engine.reconcile(&request, &actor).await }.in_current_span());
        let answer = work
            .await
            .map_err(|e| Status::internal(format!("the reconciliation ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    async fn resolve_order(
        &self,
        request: Request<ResolveOrderRequest>,
    ) -> Result<Response<ResolveOrderResponse>, Status> {
        let actor = actor_of(request.metadata());
        let request = request.into_inner();
        let engine = Arc::clone(&self.engine);
        let work = tokio::spawn(async move { engine.resolve_by_hand(&request, &actor).await }.in_current_span());
        let answer = work
            .await
            .map_err(|e| Status::internal(format!("the resolution ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    async fn override_reconciliation(
        &self,
        request: Request<OverrideReconciliationRequest>,
    ) -> Result<Response<OverrideReconciliationResponse>, Status> {
        let actor = actor_of(request.metadata());
        let request = request.into_inner();
        let engine = Arc::clone(&self.engine);
        let work =
            tokio::spawn(async move { engine.override_reconciliation(&request, &actor).await }.in_current_span());
        let answer = work
            .await
            .map_err(|e| Status::internal(format!("the override ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    async fn get_gateway_status(
        &self,
        _: Request<GetGatewayStatusRequest>,
    ) -> Result<Response<GetGatewayStatusResponse>, Status> {
        Ok(Response::new(self.engine.status().await?))
    }
}
