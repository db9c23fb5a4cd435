//! P2: who cannot prove that opening is allowed does not open; closing passes, up to what is held.

use std::time::Duration;

use futures_util::future::join_all;
use rust_decimal::Decimal;
use serde_json::json;
use thunes_proto::gateway::v1::{Order, OrderState, SubmitOrderRequest};
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, ledger_net, sell, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);

async fn assert_filled(cluster: &Cluster, order: SubmitOrderRequest) -> Order {
    let order = cluster.calls.order_now(order).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
    order
}

async fn assert_denied(cluster: &Cluster, order: SubmitOrderRequest, codes: &[&str]) {
    let id = order.client_order_id.clone();
    let order = cluster.calls.order_now(order).await;
    assert_eq!(order.state(), OrderState::Denied, "{order:?}");
    assert!(
        codes.contains(&order.reason_code.as_str()),
        "one of {codes:?}: {order:?}"
    );
    assert!(!order.reason.is_empty(), "a denial says why: {order:?}");
    assert!(
        cluster.sim.ledger().await.order(&id).is_none(),
        "a denied order is not at the exchange"
    );
}

/// Base that the exchange says is held.
async fn held(cluster: &Cluster) -> Decimal {
    ledger_net(&cluster.sim.ledger().await)
        .get("BTCUSDT")
        .copied()
        .unwrap_or_default()
}

/// The largest lot that is not above `quantity`, and what is one lot more.
fn lots(quantity: Decimal) -> (String, String) {
    let most = quantity.trunc_with_scale(5);
    (most.to_string(), (most + Decimal::new(1, 5)).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_without_risk_nothing_opens_and_closing_passes_up_to_the_holding() {
    let seed = Seed::of("p2_without_risk_nothing_opens_and_closing_passes_up_to_the_holding");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_filled(&cluster, buy("b1", "BTCUSDT", "120")).await;
    cluster.kill(Service::Risk).await;
    // At once, and when the lease has certainly run out.
    let unreachable = ["RISK_UNREACHABLE", "LEASE_EXPIRED"];
    assert_denied(&cluster, buy("b2", "BTCUSDT", "12"), &unreachable).await;
    let (most, beyond) = lots(held(&cluster).await);
    assert_denied(
        &cluster,
        sell("s1", "BTCUSDT", &beyond),
        &["CLOSABLE_QUANTITY_EXCEEDED"],
    )
    .await;
    assert_filled(&cluster, sell("s2", "BTCUSDT", "0.0005")).await;
    assert_denied(&cluster, sell("s3", "BTCUSDT", &most), &["CLOSABLE_QUANTITY_EXCEEDED"]).await;
    let (rest, _) = lots(held(&cluster).await);
    assert_filled(&cluster, sell("s4", "BTCUSDT", &rest)).await;
    assert_denied(&cluster, buy("b3", "BTCUSDT", "12"), &unreachable).await;

    cluster.restart(Service::Risk).await;
    cluster.until_opening().await;
    assert_filled(&cluster, buy("b4", "BTCUSDT", "12")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_risk_that_hangs_is_as_good_as_none() {
    let seed = Seed::of("p2_a_risk_that_hangs_is_as_good_as_none");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_filled(&cluster, buy("b1", "BTCUSDT", "120")).await;
    cluster.target(Service::Risk).pause().await.expect("paused");
    let asked = clock::instant();
    assert_denied(
        &cluster,
        buy("b2", "BTCUSDT", "12"),
        &["RISK_UNREACHABLE", "LEASE_EXPIRED"],
    )
    .await;
    assert_filled(&cluster, sell("s1", "BTCUSDT", "0.0005")).await;
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "a hung risk holds nobody up: {:?}",
        asked.elapsed()
    );
    cluster.target(Service::Risk).resume().await.expect("resumed");
    cluster.until_opening().await;
    assert_filled(&cluster, buy("b3", "BTCUSDT", "12")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_stale_book_opens_nothing() {
    let seed = Seed::of("p2_a_stale_book_opens_nothing");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_filled(&cluster, buy("b1", "BTCUSDT", "120")).await;
    cluster.kill(Service::Position).await;
    until_ok("risk knows that its book is stale", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        if status.positions_fresh {
            Err(format!("{} ms old", status.positions_age_ms))
        } else {
            Ok(())
        }
    })
    .await;
    assert_denied(&cluster, buy("b2", "BTCUSDT", "12"), &["POSITIONS_STALE"]).await;
    let answer = cluster
        .calls
        .validate("BTCUSDT", "12", thunes_proto::types::v1::Side::Buy)
        .await
        .expect("risk answers");
    assert_eq!((answer.valid, answer.reason_code.as_str()), (false, "POSITIONS_STALE"));
    assert_filled(&cluster, sell("s1", "BTCUSDT", "0.0005")).await;
    cluster.restart(Service::Position).await;
    cluster.until_opening().await;
    assert_filled(&cluster, buy("b3", "BTCUSDT", "12")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_audit_that_lags_too_far_behind_opens_nothing() {
    let seed = Seed::of("p2_audit_that_lags_too_far_behind_opens_nothing");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::ExchangeGateway, "gateway.audit_backlog_max_age_ms", "1000")
    })
    .await;
    assert_filled(&cluster, buy("b1", "BTCUSDT", "120")).await;
    cluster.kill(Service::Audit).await;
    assert_filled(&cluster, sell("s1", "BTCUSDT", "0.0001")).await;
    until_ok("the oldest undelivered event is too old", LONG, async || {
        let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
        let age = status.audit_outbox_oldest_age_ms;
        if age > 1000 { Ok(()) } else { Err(format!("{age} ms")) }
    })
    .await;
    assert_denied(&cluster, buy("b2", "BTCUSDT", "12"), &["AUDIT_BACKLOG_TOO_OLD"]).await;
    assert_filled(&cluster, sell("s2", "BTCUSDT", "0.0001")).await;
}

// Many callers sell the whole holding at once, some of whose orders get lost on the way: what is sold, or may be, never
// exceeds what is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_what_may_have_been_sold_cannot_be_sold_again() {
    let seed = Seed::of("p2_what_may_have_been_sold_cannot_be_sold_again");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_filled(&cluster, buy("b1", "BTCUSDT", "120")).await;
    let (most, _) = lots(held(&cluster).await);
    // Executed, and nobody tells the gateway: it counts in full until the exchange has been asked.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    cluster
        .sim
        .fault(json!({ "kind": "hide_order", "count": 2, "path": "/api/v3/order", "method": "GET" }))
        .await;
    cluster
        .sim
        .fault(json!({ "kind": "error_503_after", "count": 1 }))
        .await;
    let all = join_all((0..10).map(|n| cluster.calls.order_now(sell(&format!("s{n}"), "BTCUSDT", &most)))).await;
    let denied = all
        .iter()
        .filter(|order| order.reason_code == "CLOSABLE_QUANTITY_EXCEEDED")
        .count();
    assert_eq!(denied, 9, "one sale of everything passes: {all:#?}");
    let ledger = cluster.sim.ledger().await;
    assert_eq!(ledger.orders.iter().filter(|order| order.side == "SELL").count(), 1);
    let passed = all
        .iter()
        .find(|order| order.state() != OrderState::Denied)
        .expect("one passed");
    let known = until_ok("the doubt ends", LONG, async || {
        let order = cluster
            .calls
            .order(&passed.client_order_id)
            .await
            .map_err(|s| s.to_string())?;
        if order.state() == OrderState::Filled {
            Ok(order)
        } else {
            Err(format!("{:?}", order.state()))
        }
    })
    .await;
    assert!(known.resolved_at_ms > 0, "it was in doubt: {known:?}");
    assert_denied(
        &cluster,
        sell("again", "BTCUSDT", "0.0001"),
        &["CLOSABLE_QUANTITY_EXCEEDED"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_while_the_exchange_wants_silence_nothing_is_sent_and_then_it_goes_on() {
    let seed = Seed::of("p2_while_the_exchange_wants_silence_nothing_is_sent_and_then_it_goes_on");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_filled(&cluster, buy("before", "BTCUSDT", "100")).await;
    cluster
        .sim
        .fault(json!({ "kind": "http_429", "count": 0, "retry_after_s": 2 }))
        .await;
    let blocked = |wanted: bool| {
        let calls = &cluster.calls;
        move || async move {
            let status = calls.gateway_status().await.map_err(|s| s.to_string())?;
            let is = status.exchange_blocked_until_ms > clock::now_ms();
            if is == wanted {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        }
    };
    // Whatever the gateway asks next hears of it; two more words of the exchange are six seconds of silence.
    until_ok("it is told to wait", LONG, blocked(true)).await;
    assert_denied(&cluster, buy("opening", "BTCUSDT", "100"), &["EXCHANGE_RATE_LIMITED"]).await;
    assert_denied(
        &cluster,
        sell("closing", "BTCUSDT", "0.0005"),
        &["EXCHANGE_RATE_LIMITED"],
    )
    .await;
    let begun_ms = clock::now_ms();
    until_ok("it was told three times", LONG, async || {
        match cluster.sim.hits("http_429").await {
            3.. => Ok(()),
            hits => Err(format!("{hits} hits")),
        }
    })
    .await;
    let took_ms = clock::now_ms() - begun_ms;
    assert!(
        took_ms > 2_000,
        "it asked again {took_ms} ms after the first word, which asked for 2000 each"
    );
    cluster.sim.clear_faults().await;
    until_ok("the wait is over", LONG, blocked(false)).await;
    assert_filled(&cluster, buy("after", "BTCUSDT", "100")).await;
    assert_filled(&cluster, sell("closed", "BTCUSDT", "0.0005")).await;
    cluster.sim.ledger().await.assert_no_order_twice();
}
