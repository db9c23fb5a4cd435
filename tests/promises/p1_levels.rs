//! The levels above "halt": orders are gone at the exchange, positions are sold, and whoever is killed in between goes
//! on. The judge is the exchange's own ledger.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::json;
use thunes_proto::gateway::v1::{OrderState, SubmitOrderRequest};
use thunes_proto::risk::v1::{ActivateKillSwitchResponse, KillSwitchLevel, Stop, StopState};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{
    Cluster, Ledger, Seed, assert_book_is_the_fold, buy, ledger_net, limit_buy, limit_sell, of_strategy, of_symbol,
    sell, until, until_ok,
};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(20);
const CANCEL: KillSwitchLevel = KillSwitchLevel::CancelOrders;
const FLATTEN: KillSwitchLevel = KillSwitchLevel::Flatten;

fn of(strategy_id: &str, order: SubmitOrderRequest) -> SubmitOrderRequest {
    SubmitOrderRequest {
        strategy_id: strategy_id.to_owned(),
        ..order
    }
}

async fn accepted(cluster: &Cluster, order: SubmitOrderRequest) {
    let order = cluster.calls.order_now(order).await;
    assert!(
        matches!(order.state(), OrderState::Filled | OrderState::New),
        "{order:?}"
    );
}

fn open(ledger: &Ledger) -> Vec<&str> {
    let open = ledger
        .orders
        .iter()
        .filter(|o| o.status == "NEW" || o.status == "PARTIALLY_FILLED");
    open.map(|order| order.client_order_id.as_str()).collect()
}

fn net(ledger: &Ledger, symbol: &str) -> Decimal {
    ledger_net(ledger).get(symbol).copied().unwrap_or_default()
}

/// Waits until the halt of that epoch is in that state.
async fn until_stop(cluster: &Cluster, epoch: i64, state: StopState) -> Stop {
    until_ok("the stop gets there", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let halt = status.halts.into_iter().find(|halt| halt.epoch == epoch);
        let stop = halt.and_then(|halt| halt.stop).ok_or("there is no such halt")?;
        if stop.state() == state {
            Ok(stop)
        } else {
            Err(format!("{stop:?}"))
        }
    })
    .await
}

async fn halted(
    cluster: &Cluster,
    scope: Option<thunes_proto::risk::v1::Scope>,
    level: KillSwitchLevel,
) -> ActivateKillSwitchResponse {
    let answer = cluster.calls.halt(scope, level).await.expect("an activation answers");
    println!("{answer:#?}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_canceling_leaves_no_order_of_its_scope_open_and_touches_no_other() {
    let seed = Seed::of("p1_canceling_leaves_no_order_of_its_scope_open_and_touches_no_other");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, buy("held", "BTCUSDT", "100")).await;
    accepted(&cluster, limit_buy("b1", "BTCUSDT", "0.001", "59000")).await;
    accepted(&cluster, of("s1", limit_buy("b2", "BTCUSDT", "0.001", "58000"))).await;
    accepted(&cluster, limit_sell("b3", "BTCUSDT", "0.001", "62000")).await;
    accepted(&cluster, of("s1", limit_buy("e1", "ETHUSDT", "0.01", "2900"))).await;
    let before = net(&cluster.sim.ledger().await, "BTCUSDT");
    let answer = halted(&cluster, of_strategy("s1"), CANCEL).await;
    let stop = answer.stop.expect("a stop");
    assert_eq!(stop.state(), StopState::Done, "{stop:?}");
    assert_eq!(stop.canceled_client_order_ids, ["b2", "e1"]);
    assert_eq!(
        open(&cluster.sim.ledger().await),
        ["b1", "b3"],
        "other scopes keep theirs"
    );
    let answer = halted(&cluster, None, CANCEL).await;
    let stop = answer.stop.expect("a stop");
    assert_eq!((stop.state(), stop.open_orders.len()), (StopState::Done, 0), "{stop:?}");
    assert_eq!(stop.canceled_client_order_ids, ["b1", "b3"]);
    let ledger = cluster.sim.ledger().await;
    assert!(open(&ledger).is_empty());
    assert_eq!(net(&ledger, "BTCUSDT"), before, "canceling sells nothing");
    // Closing by hand is still allowed, and what is placed now is not canceled.
    accepted(&cluster, limit_sell("by-hand", "BTCUSDT", "0.001", "62000")).await;
    until("some rounds have passed", LONG, async || {
        let trail = cluster.trail();
        trail.of_type("STOP_DONE").count() >= 2
    })
    .await;
    assert_eq!(open(&cluster.sim.ledger().await), ["by-hand"]);
}

// The cancel is executed and its answer is lost, or it is not executed at all: only a question tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_cancel_whose_answer_is_lost_counts_when_the_exchange_was_asked() {
    let seed = Seed::of("p1_a_cancel_whose_answer_is_lost_counts_when_the_exchange_was_asked");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::ExchangeGateway, "gateway.exchange.order_timeout_ms", "500")
    })
    .await;
    for id in ["c1", "c2", "c3", "c4"] {
        accepted(&cluster, limit_buy(id, "BTCUSDT", "0.001", "59000")).await;
    }
    for kind in ["error_503_after", "error_503_before", "timeout_after", "timeout_before"] {
        let fault = json!({ "kind": kind, "method": "DELETE", "path": "/api/v3/order", "ms": 1500 });
        cluster.sim.fault(fault).await;
    }
    let answer = halted(&cluster, None, CANCEL).await;
    until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert!(open(&cluster.sim.ledger().await).is_empty());
    for kind in ["error_503_after", "error_503_before", "timeout_after", "timeout_before"] {
        assert_eq!(cluster.sim.hits(kind).await, 1, "{kind} struck");
    }
}

// While the exchange answers no cancel, the answer says RUNNING in bounded time, with the order and the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_cancel_that_cannot_be_confirmed_stays_running_with_its_reason() {
    let seed = Seed::of("p1_a_cancel_that_cannot_be_confirmed_stays_running_with_its_reason");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "700")
    })
    .await;
    accepted(&cluster, limit_buy("stuck", "BTCUSDT", "0.001", "59000")).await;
    let fault = json!({ "kind": "error_503_before", "count": 0, "method": "DELETE", "path": "/api/v3/order" });
    cluster.sim.fault(fault).await;
    let asked = thunes_runtime::clock::instant();
    let answer = halted(&cluster, None, CANCEL).await;
    assert!(thunes_runtime::clock::elapsed_ms(asked) < 5000);
    let stop = answer.stop.expect("a stop");
    assert_eq!(stop.state(), StopState::Running, "{stop:?}");
    until_ok("the order is named with its reason", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let stop = status.halts[0].stop.clone().ok_or("no stop")?;
        let named = stop
            .open_orders
            .iter()
            .any(|o| o.client_order_id == "stuck" && !o.reason.is_empty());
        if named { Ok(()) } else { Err(format!("{stop:?}")) }
    })
    .await;
    cluster.sim.clear_faults().await;
    let stop = until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert_eq!(stop.canceled_client_order_ids, ["stuck"]);
    assert!(open(&cluster.sim.ledger().await).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_flattening_sells_what_was_bought_and_names_the_dust() {
    let seed = Seed::of("p1_flattening_sells_what_was_bought_and_names_the_dust");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, of("s1", buy("btc", "BTCUSDT", "120"))).await;
    accepted(&cluster, of("s2", buy("eth", "ETHUSDT", "90"))).await;
    accepted(&cluster, of("s2", limit_buy("rests", "ETHUSDT", "0.01", "2900"))).await;
    accepted(&cluster, of("s1", limit_sell("offers", "BTCUSDT", "0.001", "63000"))).await;
    // Raised step by step: what holds at a lower level goes on at the higher one.
    let lower = halted(&cluster, None, KillSwitchLevel::HaltNew).await;
    assert!(lower.stop.is_none());
    let answer = halted(&cluster, None, FLATTEN).await;
    assert!(answer.changed && answer.epoch > lower.epoch, "raising is a change");
    let stop = until_stop(&cluster, answer.epoch, StopState::Done).await;
    let ledger = cluster.sim.ledger().await;
    assert!(open(&ledger).is_empty());
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let left = net(&ledger, symbol);
        assert!(left >= Decimal::ZERO, "{symbol}: sold more than was bought: {left}");
        let named: Decimal = stop
            .rest
            .iter()
            .filter(|rest| rest.symbol == symbol)
            .map(|rest| rest.quantity.parse::<Decimal>().expect("a decimal"))
            .sum();
        assert_eq!(named, left, "{symbol}: what is left is named: {stop:#?}");
    }
    assert!(
        stop.rest
            .iter()
            .all(|rest| rest.dust && !rest.reason.is_empty() && !rest.asset.is_empty()),
        "{stop:#?}"
    );
    assert_eq!(stop.sold.len(), 2, "{stop:#?}");
    assert_eq!(stop.canceled_client_order_ids, ["rests", "offers"]);
    ledger.assert_no_order_twice();
    let again = cluster.calls.halt(None, CANCEL).await.expect("answered");
    assert!(
        !again.changed && again.epoch == answer.epoch && again.level() == FLATTEN,
        "it is not lowered: {again:?}"
    );
    assert_book_is_the_fold(&cluster, LONG).await;
    // Dust is no reason to go on trying.
    let orders = cluster.sim.ledger().await.orders.len();
    let journal = cluster.calls.orders().await.expect("orders").len();
    let rounds = cluster.trail().of_type("STOP_DONE").count();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(cluster.sim.ledger().await.orders.len(), orders);
    assert_eq!(cluster.calls.orders().await.expect("orders").len(), journal);
    assert_eq!(cluster.trail().of_type("STOP_DONE").count(), rounds);
}

// A strategy sells its own part and leaves the other's, in the same symbol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_flattening_a_strategy_leaves_what_another_one_holds() {
    let seed = Seed::of("p1_flattening_a_strategy_leaves_what_another_one_holds");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, of("s1", buy("one", "BTCUSDT", "120"))).await;
    accepted(&cluster, of("s2", buy("two", "BTCUSDT", "60"))).await;
    let bought = |id: &str, ledger: &Ledger| {
        let fills = ledger.fills.iter().filter(|fill| fill.client_order_id == id);
        fills.map(|fill| fill.qty - fill.commission).sum::<Decimal>()
    };
    let answer = halted(&cluster, of_strategy("s1"), FLATTEN).await;
    until_stop(&cluster, answer.epoch, StopState::Done).await;
    let ledger = cluster.sim.ledger().await;
    let dust = net(&ledger, "BTCUSDT") - bought("two", &ledger);
    assert!(
        dust >= Decimal::ZERO && dust < Decimal::new(1, 5),
        "the other one keeps its own: {dust}"
    );
    accepted(&cluster, of("s2", buy("three", "BTCUSDT", "60"))).await;
}

// Killed again and again while it sells in chunks: everything is sold in the end, and nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_gateway_that_is_killed_while_it_flattens_sells_everything_once() {
    let seed = Seed::of("p4_a_gateway_that_is_killed_while_it_flattens_sells_everything_once");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for (id, symbol) in [("btc", "BTCUSDT"), ("eth", "ETHUSDT"), ("bnb", "BNBUSDT")] {
        accepted(&cluster, buy(id, symbol, "120")).await;
    }
    accepted(&cluster, limit_buy("rests", "ETHUSDT", "0.01", "2900")).await;
    cluster.kill(Service::ExchangeGateway).await;
    let mut epoch = 0;
    for failpoint in [
        "gateway.stop.after_cancel",
        "gateway.stop.before_sale",
        "gateway.submit.before_send",
        "gateway.submit.after_send",
        "gateway.stop.after_sale",
    ] {
        cluster
            .restart_with(Service::ExchangeGateway, &format!("{failpoint}=kill"))
            .await;
        if epoch == 0 {
            epoch = halted(&cluster, None, FLATTEN).await.epoch;
        }
        cluster.until_killed_by_itself(Service::ExchangeGateway).await;
        println!("killed at {failpoint}");
    }
    cluster.restart_with(Service::ExchangeGateway, "").await;
    // An order that was written down and not sent is in doubt until its absence is proven: up to 15 s.
    let stop = until_ok("everything is sold", Duration::from_secs(60), async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let stop = status
            .halts
            .first()
            .and_then(|halt| halt.stop.clone())
            .ok_or("no stop")?;
        if stop.state() == StopState::Done {
            Ok(stop)
        } else {
            Err(format!("{stop:?}"))
        }
    })
    .await;
    println!("{stop:#?}");
    let ledger = cluster.sim.ledger().await;
    ledger.assert_no_order_twice();
    assert!(open(&ledger).is_empty());
    for symbol in ["BTCUSDT", "ETHUSDT", "BNBUSDT"] {
        let left = net(&ledger, symbol);
        assert!(left >= Decimal::ZERO, "{symbol}: oversold: {left}");
        let named: Decimal = stop
            .rest
            .iter()
            .filter(|r| r.symbol == symbol)
            .map(|r| r.quantity.parse::<Decimal>().expect("a decimal"))
            .sum();
        assert_eq!(named, left, "{symbol}");
        assert!(stop.rest.iter().all(|rest| rest.dust), "{stop:#?}");
    }
    assert_book_is_the_fold(&cluster, LONG).await;
}

// The sale is executed, its answer is lost, and the exchange does not find it for a while: it is waited for, not repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_sale_whose_fate_is_not_known_is_not_sold_again() {
    let seed = Seed::of("p4_a_sale_whose_fate_is_not_known_is_not_sold_again");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "0")
    })
    .await;
    accepted(&cluster, buy("btc", "BTCUSDT", "120")).await;
    // Somebody else bought on this account: so there would be enough to sell twice.
    cluster.sim.external_trade("BTCUSDT", "BUY", "0.01").await;
    cluster.calls.reconcile(true).await.expect("the trade is adopted");
    let foreign = Decimal::new(999, 5);
    for fault in [
        json!({ "kind": "hide_order", "count": 0 }),
        json!({ "kind": "drop_stream_event", "count": 0 }),
        json!({ "kind": "error_503_after" }),
    ] {
        cluster.sim.fault(fault).await;
    }
    let answer = halted(&cluster, None, FLATTEN).await;
    until("the exchange was asked again and again", LONG, async || {
        cluster.sim.hits("hide_order").await >= 8
    })
    .await;
    let sold = |ledger: &Ledger| ledger.orders.iter().filter(|order| order.side == "SELL").count();
    assert_eq!(
        sold(&cluster.sim.ledger().await),
        1,
        "one sale, and its fate is not known"
    );
    cluster.sim.clear_faults().await;
    let stop = until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert_eq!(stop.sold.len(), 1, "{stop:#?}");
    let ledger = cluster.sim.ledger().await;
    assert!(
        sold(&ledger) == 1 && net(&ledger, "BTCUSDT") >= foreign,
        "only what is ours is sold"
    );
    assert_book_is_the_fold(&cluster, LONG).await;
}

// Risk dies while the gateway sells. The restarted risk repeats the halt, and hears how far it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_risk_that_is_killed_while_a_gateway_flattens_hears_how_it_ended() {
    let mut seed = Seed::of("p3_a_risk_that_is_killed_while_a_gateway_flattens_hears_how_it_ended");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "0")
    })
    .await;
    for (id, symbol) in [("btc", "BTCUSDT"), ("eth", "ETHUSDT"), ("bnb", "BNBUSDT")] {
        accepted(&cluster, buy(id, symbol, "120")).await;
    }
    cluster
        .sim
        .fault(json!({ "kind": "latency", "count": 0, "ms": 400 }))
        .await;
    let answer = halted(&cluster, None, FLATTEN).await;
    assert_eq!(
        answer.stop.expect("a stop").state(),
        StopState::Running,
        "nobody waited for it"
    );
    seed.moment(0, 900).await;
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    let stop = until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert_eq!(stop.sold.len(), 3, "{stop:#?}");
    let ledger = cluster.sim.ledger().await;
    ledger.assert_no_order_twice();
    for symbol in ["BTCUSDT", "ETHUSDT", "BNBUSDT"] {
        assert!(net(&ledger, symbol) >= Decimal::ZERO, "{symbol}: oversold");
    }
    assert_book_is_the_fold(&cluster, LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_symbol_that_does_not_trade_is_named_and_sold_when_it_does() {
    let seed = Seed::of("p1_a_symbol_that_does_not_trade_is_named_and_sold_when_it_does");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, buy("btc", "BTCUSDT", "120")).await;
    accepted(&cluster, buy("eth", "ETHUSDT", "90")).await;
    cluster
        .sim
        .fault(json!({ "kind": "halt_symbol", "symbol": "BTCUSDT" }))
        .await;
    let answer = halted(&cluster, None, FLATTEN).await;
    let stop = until_stop(&cluster, answer.epoch, StopState::Incomplete).await;
    let held: Vec<_> = stop.rest.iter().filter(|rest| !rest.dust).collect();
    assert_eq!(held.len(), 1, "{stop:#?}");
    assert_eq!((held[0].symbol.as_str(), held[0].asset.as_str()), ("BTCUSDT", "BTC"));
    assert!(held[0].reason.contains("does not trade"), "{stop:#?}");
    let ledger = cluster.sim.ledger().await;
    assert_eq!(
        held[0].quantity.parse::<Decimal>().expect("a decimal"),
        net(&ledger, "BTCUSDT")
    );
    assert!(net(&ledger, "ETHUSDT") < Decimal::new(1, 4), "the other one is sold");
    cluster.sim.clear_faults().await;
    until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert!(net(&cluster.sim.ledger().await, "BTCUSDT") < Decimal::new(1, 5));
}

// An order in doubt is named until the exchange has been asked; then it is canceled if it rests there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_an_order_in_doubt_is_named_and_canceled_when_it_is_found() {
    let seed = Seed::of("p4_an_order_in_doubt_is_named_and_canceled_when_it_is_found");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "300")
    })
    .await;
    // The order is accepted, the answer is lost, and the exchange does not find it for a while.
    cluster.sim.fault(json!({ "kind": "hide_order", "count": 0 })).await;
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 1, "event": "NEW" }))
        .await;
    cluster.sim.fault(json!({ "kind": "error_503_after" })).await;
    let order = cluster
        .calls
        .order_now(limit_buy("doubt", "BTCUSDT", "0.001", "59000"))
        .await;
    assert_eq!(order.state(), OrderState::InDoubt, "{order:?}");
    let answer = halted(&cluster, None, CANCEL).await;
    let stop = until_ok("it is named", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let stop = status.halts[0].stop.clone().ok_or("no stop")?;
        if stop.open_orders.is_empty() {
            Err(format!("{stop:?}"))
        } else {
            Ok(stop)
        }
    })
    .await;
    assert_eq!(
        (stop.state(), stop.open_orders[0].state.as_str()),
        (StopState::Running, "IN_DOUBT"),
        "{stop:?}"
    );
    cluster.sim.clear_faults().await;
    let stop = until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert_eq!(stop.canceled_client_order_ids, ["doubt"]);
    assert!(open(&cluster.sim.ledger().await).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_fills_that_come_while_halted_are_recorded() {
    let seed = Seed::of("p5_fills_that_come_while_halted_are_recorded");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, limit_buy("rests", "BTCUSDT", "0.002", "59000")).await;
    accepted(&cluster, buy("held", "ETHUSDT", "60")).await;
    let answer = halted(&cluster, None, KillSwitchLevel::HaltNew).await;
    assert_eq!(answer.resting_orders.len(), 1);
    cluster.sim.price("BTCUSDT", "58900").await;
    until_ok("the fill is known", LONG, async || {
        let order = cluster.calls.order("rests").await.map_err(|s| s.to_string())?;
        if order.state() == OrderState::Filled {
            Ok(())
        } else {
            Err(format!("{order:?}"))
        }
    })
    .await;
    accepted(&cluster, sell("closes", "ETHUSDT", "0.005")).await;
    assert_book_is_the_fold(&cluster, LONG).await;
    // And at the highest level what came late is sold as well.
    let answer = halted(&cluster, of_symbol("BTCUSDT"), FLATTEN).await;
    until_stop(&cluster, answer.epoch, StopState::Done).await;
    assert!(net(&cluster.sim.ledger().await, "BTCUSDT") < Decimal::new(1, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_the_command_waits_for_the_exchange_and_its_exit_code_says_what_came_of_it() {
    let seed = Seed::of("p12_the_command_waits_for_the_exchange_and_its_exit_code_says_what_came_of_it");
    let cluster = Cluster::start(THUNES, seed.number).await;
    accepted(&cluster, buy("btc", "BTCUSDT", "120")).await;
    accepted(&cluster, limit_buy("rests", "ETHUSDT", "0.01", "2900")).await;
    let reason = ["--reason", "a test stops"];
    let args = [
        &["kill-switch", "activate", "--level", "flatten", "--wait", "20"][..],
        &reason,
    ]
    .concat();
    let said = cluster.thunes(&args).await;
    assert_eq!(said.exit, Some(0), "{said:?}");
    for part in ["Stop: DONE", "canceled: rests", "sold: ", "dust: ", "BTC (BTCUSDT)"] {
        assert!(said.out.contains(part), "{part:?} is missing: {said:?}");
    }
    let said = cluster.thunes(&["kill-switch", "status"]).await;
    assert!(said.out.contains("Halted: everything, level flatten"), "{said:?}");
    let said = cluster
        .thunes(&[&["kill-switch", "deactivate"][..], &reason].concat())
        .await;
    assert_eq!(said.exit, Some(0), "{said:?}");
    cluster.until_opening().await;
    accepted(&cluster, limit_buy("stuck", "ETHUSDT", "0.01", "2900")).await;
    let fault = json!({ "kind": "error_503_before", "count": 0, "method": "DELETE", "path": "/api/v3/order" });
    cluster.sim.fault(fault).await;
    let args = [
        &[
            "kill-switch",
            "activate",
            "--level",
            "cancel",
            "--symbol",
            "ETHUSDT",
            "--wait",
            "1",
            "--json",
        ][..],
        &reason,
    ]
    .concat();
    let said = cluster.thunes(&args).await;
    assert_eq!(said.exit, Some(1), "it is not done: {said:?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("json");
    assert_eq!(json["stop"]["state"], "STOP_STATE_RUNNING", "{json}");
    let said = cluster
        .thunes(&[&["kill-switch", "deactivate", "--symbol", ""][..], &reason].concat())
        .await;
    assert_eq!(said.exit, Some(2), "an empty symbol does not mean everything: {said:?}");
}
