//! All of the gateway's SQL.

mod facts;
mod fills;
mod orders;
mod reconcile;
mod stops;

pub(crate) use facts::{
    add_to_holding, fact, holding, moves_holdings, raise_fact, set_fact, set_holding, set_holding_cursor,
};
pub(crate) use fills::{
    FillRow, fill, filled_quantity, filled_since, fills_by_ids, fills_of_order, has_undelivered, insert_fill,
    mark_delivered, mark_undelivered, undelivered, undelivered_count,
};
pub(crate) use orders::{OrderRow, find_order, insert_order, list_orders, live_orders, remaining_sells, update_order};
pub(crate) use reconcile::{
    insert_transfer, known_trades, order_by_venue_id, own_venue_ids, transfers_since, turned_up_since, witness_before,
};
pub(crate) use stops::{
    add_stop_order, confirm_stop_order, fills_after, insert_stop, open_orders, orders_with_prefix, set_stop_state,
    stop_orders, stop_state, stops_under_way,
};
