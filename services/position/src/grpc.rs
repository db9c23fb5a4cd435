use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use thunes_proto::position::v1::position_service_server::PositionService;
use thunes_proto::position::v1::*;
use thunes_rpc::actor_of;
use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::domain::{DailyPnl, TradingDay};
use crate::error::RequestError;
use crate::keeper::Keeper;
use crate::{decode, encode, watch};

/// The RPCs: decode, call, encode.
pub(crate) struct Grpc {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) shutdown: CancellationToken,
}

type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchPositionsResponse, Status>> + Send>>;

fn today() -> TradingDay {
    TradingDay::of(clock::now_ms())
}

#[tonic::async_trait]
impl PositionService for Grpc {
    type WatchPositionsStream = WatchStream;

    async fn record_fills(
        &self,
        request: Request<RecordFillsRequest>,
    ) -> Result<Response<RecordFillsResponse>, Status> {
        let actor = actor_of(request.metadata());
        let fills = decode::fills(request.get_ref()).map_err(RequestError::Invalid)?;
        let traceparents = fills
            .iter()
            .zip(&request.get_ref().traceparents)
            .map(|(fill, traceparent)| ((fill.symbol.clone(), fill.trade_id), traceparent.clone()))
            .collect();
        let done = self.keeper.record_fills(fills, traceparents, actor).await?;
        Ok(Response::new(RecordFillsResponse {
            recorded: done.recorded,
            duplicates: done.duplicates,
            revision: done.revision,
        }))
    }

    async fn record_baseline(
        &self,
        request: Request<RecordBaselineRequest>,
    ) -> Result<Response<RecordBaselineResponse>, Status> {
        let actor = actor_of(request.metadata());
        let request = decode::baseline(request.into_inner()).map_err(RequestError::Invalid)?;
        Ok(Response::new(self.keeper.record_baseline(request, actor).await?))
    }

    async fn get_baseline(
        &self,
        request: Request<GetBaselineRequest>,
    ) -> Result<Response<GetBaselineResponse>, Status> {
        let account = decode::account(&request.get_ref().account).map_err(RequestError::from)?;
        let found = self.keeper.baseline(&account).await?;
        Ok(Response::new(encode::baseline(found.as_ref(), account)))
    }

    async fn record_prices(
        &self,
        request: Request<RecordPricesRequest>,
    ) -> Result<Response<RecordPricesResponse>, Status> {
        let prices = decode::prices(request.get_ref(), clock::now_ms()).map_err(RequestError::Invalid)?;
        self.keeper.live.set_prices(prices, today())?;
        Ok(Response::new(RecordPricesResponse {}))
    }

    async fn count_open_positions(
        &self,
        _request: Request<CountOpenPositionsRequest>,
    ) -> Result<Response<CountOpenPositionsResponse>, Status> {
        let book = self.keeper.live.book();
        let count = i64::try_from(book.open_count()).expect("a count of symbols is small");
        Ok(Response::new(CountOpenPositionsResponse {
            count,
            revision: book.revision,
        }))
    }

    async fn list_open_positions(
        &self,
        request: Request<ListOpenPositionsRequest>,
    ) -> Result<Response<ListOpenPositionsResponse>, Status> {
        let all = request.get_ref().include_closed;
        let view = self.keeper.live.view(today()).map_err(RequestError::from)?;
        let positions = view
            .positions
            .iter()
            .filter(|position| all || position.is_open())
            .map(encode::position);
        Ok(Response::new(ListOpenPositionsResponse {
            positions: positions.collect(),
            revision: view.revision,
        }))
    }

    async fn watch_positions(&self, _request: Request<WatchPositionsRequest>) -> Result<Response<WatchStream>, Status> {
        let stream = watch::watch_positions(self.keeper.live.watch(), self.shutdown.clone());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_daily_pnl(
        &self,
        request: Request<GetDailyPnlRequest>,
    ) -> Result<Response<GetDailyPnlResponse>, Status> {
        let today = today();
        let day = decode::day(&request.get_ref().day, today).map_err(RequestError::from)?;
        let live = &self.keeper.live;
        let (daily, revision) = if day == today {
            let view = live.view(today).map_err(RequestError::from)?;
            (view.today, view.revision)
        } else {
            let book = live.book();
            (
                DailyPnl::realized_of(&book, day, live.pnl_asset()).map_err(RequestError::from)?,
                book.revision,
            )
        };
        Ok(Response::new(GetDailyPnlResponse {
            daily_pnl: Some(encode::daily_pnl(&daily)),
            revision,
        }))
    }

    async fn list_fills(&self, request: Request<ListFillsRequest>) -> Result<Response<ListFillsResponse>, Status> {
        let page = decode::page(request.get_ref()).map_err(RequestError::Invalid)?;
        let page = self.keeper.page(&page).await?;
        Ok(Response::new(ListFillsResponse {
            fills: page.fills.iter().map(encode::fill).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        }))
    }
}
