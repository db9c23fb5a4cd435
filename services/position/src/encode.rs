//! What goes over the wire.

use thunes_proto::position::v1 as pb;
use thunes_proto::types::v1 as types;
use thunes_runtime::clock;
use thunes_types::Decimal;

use crate::domain::{Asset, Baseline, DailyPnl, Fees, Fill, FillSource, PositionView, Side, View};

fn amount(value: Decimal) -> String {
    value.normalize().to_string()
}

fn side(side: Side) -> types::Side {
    match side {
        Side::Buy => types::Side::Buy,
        Side::Sell => types::Side::Sell,
    }
}

fn fees(fees: &Fees) -> Vec<pb::FeeTotal> {
    let total = |(asset, sum): (&Asset, &Decimal)| pb::FeeTotal {
        asset: asset.to_string(),
        amount: amount(*sum),
    };
    fees.0.iter().map(total).collect()
}

pub(crate) fn position(view: &PositionView) -> pb::Position {
    let book = &view.book;
    pb::Position {
        symbol: view.symbol.to_string(),
        base_asset: book.base_asset.to_string(),
        quote_asset: book.quote_asset.to_string(),
        side: book.holding.side().map_or(types::Side::Unspecified, side).into(),
        quantity: amount(book.holding.quantity.abs()),
        average_entry_price: amount(view.average),
        realized_pnl: amount(book.realized),
        unrealized_pnl: view.unrealized.map(amount).unwrap_or_default(),
        last_price: view.last.map(|last| amount(last.price)).unwrap_or_default(),
        last_price_at_ms: view.last.map_or(0, |last| last.at_ms),
        fees: fees(&book.fees),
        fill_count: book.fill_count,
        opened_at_ms: book.opened_at_ms,
        updated_at_ms: book.updated_at_ms,
        notional: amount(view.notional),
    }
}

pub(crate) fn daily_pnl(daily: &DailyPnl) -> pb::DailyPnl {
    pb::DailyPnl {
        day: clock::utc_day(daily.day.start_ms()),
        realized: amount(daily.realized),
        unrealized: amount(daily.unrealized),
        total: amount(daily.total),
        fees: fees(&daily.fees),
    }
}

pub(crate) fn watched(view: &View) -> pb::WatchPositionsResponse {
    pb::WatchPositionsResponse {
        revision: view.revision,
        heartbeat: false,
        positions: view.positions.iter().map(position).collect(),
        daily_pnl: Some(daily_pnl(&view.today)),
    }
}

pub(crate) fn heartbeat(revision: i64) -> pb::WatchPositionsResponse {
    pb::WatchPositionsResponse {
        revision,
        heartbeat: true,
        positions: Vec::new(),
        daily_pnl: None,
    }
}

/// A fill as the ledger holds it: amounts with the places that the exchange stated.
pub(crate) fn fill(fill: &Fill) -> types::Fill {
    let source = match fill.source {
        FillSource::Unspecified => types::FillSource::Unspecified,
        FillSource::OrderAnswer => types::FillSource::OrderAnswer,
        FillSource::Stream => types::FillSource::Stream,
        FillSource::Query => types::FillSource::Query,
        FillSource::Adopted => types::FillSource::Adopted,
    };
    types::Fill {
        symbol: fill.symbol.to_string(),
        trade_id: fill.trade_id,
        base_asset: fill.base_asset.to_string(),
        quote_asset: fill.quote_asset.to_string(),
        side: side(fill.side).into(),
        price: fill.price.to_string(),
        quantity: fill.quantity.to_string(),
        quote_quantity: fill.quote_quantity.to_string(),
        commission: fill.commission.to_string(),
        commission_asset: fill.commission_asset.as_ref().map(Asset::to_string).unwrap_or_default(),
        executed_at_ms: fill.executed_at_ms,
        venue_order_id: fill.venue_order_id.clone(),
        client_order_id: fill.client_order_id.clone(),
        strategy_id: fill.strategy_id.to_string(),
        is_maker: fill.is_maker,
        source: source.into(),
    }
}

pub(crate) fn baseline(found: Option<&Baseline>, account: String) -> pb::GetBaselineResponse {
    let Some(baseline) = found else {
        return pb::GetBaselineResponse {
            account,
            ..pb::GetBaselineResponse::default()
        };
    };
    let balances = baseline.balances.iter().map(|(asset, held)| types::Balance {
        asset: asset.to_string(),
        free: held.free.to_string(),
        locked: held.locked.to_string(),
    });
    let cursors = baseline.cursors.iter().map(|(symbol, last_trade_id)| pb::TradeCursor {
        symbol: symbol.to_string(),
        last_trade_id: *last_trade_id,
    });
    pb::GetBaselineResponse {
        found: true,
        account,
        balances: balances.collect(),
        cursors: cursors.collect(),
        taken_at_ms: baseline.taken_at_ms,
    }
}
