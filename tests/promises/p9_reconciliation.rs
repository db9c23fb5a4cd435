//! P9: each difference between the exchange and our books gets its class, both sides' evidence, a cause and a repair; an
//! account where nothing differs is clean.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use thunes_proto::gateway::v1::{
    Discrepancy, DiscrepancyClass as Class, OrderState, ProposedRepair, ReconcileResponse, ReconcileVerdict,
};
use thunes_proto::types::v1::Fill;
use thunes_supervisor::embedded::{Plan, Service};
use thunes_testkit::{Cluster, Seed, assert_book_is_the_fold, buy, limit_buy, sell, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);

/// No pass in the background, so that each look is the test's own.
fn on_demand(plan: Plan) -> Plan {
    plan.setting(Service::ExchangeGateway, "gateway.reconcile.interval_ms", "86400000")
}

pub(crate) fn of_class(found: &ReconcileResponse, class: Class) -> &Discrepancy {
    let all = found.discrepancies.iter().chain(&found.notes);
    let one = all.clone().find(|d| d.class() == class);
    let one = one.unwrap_or_else(|| panic!("P9: no {class:?}: {found:#?}"));
    assert!(!one.cause.is_empty() && !one.proposed_repair.is_empty(), "{one:?}");
    assert_ne!(one.repair(), ProposedRepair::Unspecified, "{one:?}");
    let evidence = [&one.local_json, &one.exchange_json].map(|text| text.parse::<serde_json::Value>().expect("JSON"));
    assert!(evidence.iter().any(|side| !side.is_null()), "{one:?}");
    one
}

pub(crate) fn classes(found: &ReconcileResponse) -> Vec<Class> {
    let mut classes: Vec<Class> = found.discrepancies.iter().map(Discrepancy::class).collect();
    classes.sort();
    classes
}

async fn assert_clean(cluster: &Cluster) -> ReconcileResponse {
    assert_book_is_the_fold(cluster, LONG).await;
    let everything = cluster.calls.reconcile_in_full().await.expect("answered");
    assert_eq!(everything.verdict(), ReconcileVerdict::Clean, "{everything:#?}");
    assert!(everything.full && everything.fills_agreed_before == 0);
    let news = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(news.verdict(), ReconcileVerdict::Clean, "{news:#?}");
    assert!(!news.full, "what was agreed is not read again: {news:?}");
    assert_eq!(news.fills_compared, everything.fills_compared, "and it counts");
    assert_eq!(news.fills_agreed_before, everything.fills_compared);
    assert_eq!(
        (&news.balances, &news.positions),
        (&everything.balances, &everything.positions)
    );
    news
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_what_comes_from_outside_is_told_apart() {
    let seed = Seed::of("p9_what_comes_from_outside_is_told_apart");
    let cluster = Cluster::start_with(THUNES, seed.number, on_demand).await;
    assert_clean(&cluster).await;
    let bought = cluster.calls.order_now(buy("b1", "BTCUSDT", "120")).await;
    assert_eq!(bought.state(), OrderState::Filled);
    let resting = cluster
        .calls
        .order_now(limit_buy("rests", "BTCUSDT", "0.01", "59000"))
        .await;
    assert_eq!(resting.state(), OrderState::New, "what it locks is accounted for");
    assert_clean(&cluster).await;

    cluster.sim.external_trade("BTCUSDT", "BUY", "0.001").await;
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(classes(&found), [Class::ExternalTrade], "{found:#?}");
    assert_eq!(
        of_class(&found, Class::ExternalTrade).repair(),
        ProposedRepair::AdoptFill
    );
    let repaired = cluster.calls.reconcile(true).await.expect("answered");
    assert!(repaired.discrepancies.iter().all(|d| d.repaired), "{repaired:#?}");
    assert_clean(&cluster).await;

    // A transfer that the stream told of is accounted for, also when it is told twice.
    let told = json!({ "kind": "duplicate_stream_event", "count": 0, "event": "balanceUpdate" });
    cluster.sim.fault(told).await;
    cluster.sim.deposit("USDT", "5").await;
    cluster.sim.deposit("BNB", "0.25").await;
    cluster.sim.withdraw("BNB", "0.125").await;
    until_ok("the transfers were heard", LONG, async || {
        let trail = cluster.trail();
        let heard = trail.of_type("TRANSFER_HEARD").count();
        if heard == 3 { Ok(()) } else { Err(format!("{heard}")) }
    })
    .await;
    assert!(cluster.sim.hits("duplicate_stream_event").await >= 3);
    cluster.sim.clear_faults().await;
    let clean = assert_clean(&cluster).await;
    assert_eq!(
        of_class(&clean, Class::DepositWithdrawal).repair(),
        ProposedRepair::Nothing
    );
    assert_eq!(
        clean
            .notes
            .iter()
            .filter(|n| n.asset == "BNB" && n.difference == "0.125")
            .count(),
        1,
        "{clean:#?}"
    );

    // One that nobody saw is not assumed.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    cluster.sim.withdraw("USDT", "0.75").await;
    assert!(cluster.sim.hits("drop_stream_event").await > 0);
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(classes(&found), [Class::UnexplainedBalance], "{found:#?}");
    assert_eq!(of_class(&found, Class::UnexplainedBalance).difference, "-0.75");
    assert_eq!(
        (found.unexplained.as_str(), found.unexplained_asset.as_str()),
        ("0.75", "USDT")
    );
    assert!(!found.unexplained_above_tolerance, "the tolerance is 1: {found:?}");
    cluster.sim.withdraw("BTC", "0.00001").await;
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert!(found.unexplained_above_tolerance, "0.75 + 0.6: {found:?}");
    cluster.sim.clear_faults().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_what_is_wrong_in_the_book_is_told_apart() {
    let seed = Seed::of("p9_what_is_wrong_in_the_book_is_told_apart");
    let cluster = Cluster::start_with(THUNES, seed.number, on_demand).await;
    let bought = cluster.calls.order_now(buy("b1", "BTCUSDT", "120")).await;
    let fill = bought.fills.first().expect("a fill").clone();
    assert_eq!(
        cluster.calls.order_now(buy("b2", "ETHUSDT", "120")).await.state(),
        OrderState::Filled
    );
    assert_clean(&cluster).await;
    let made_up = Fill {
        trade_id: fill.trade_id + 1000,
        venue_order_id: "424242".into(),
        ..fill.clone()
    };
    let copy = Fill {
        trade_id: fill.trade_id + 2000,
        ..fill.clone()
    };
    cluster.calls.record_fills(vec![made_up, copy]).await.expect("recorded");
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(
        classes(&found),
        [Class::PhantomFill, Class::DuplicateFill],
        "{found:#?}"
    );
    of_class(&found, Class::PhantomFill);
    assert!(
        of_class(&found, Class::DuplicateFill)
            .cause
            .contains(&fill.trade_id.to_string())
    );

    let file = cluster.data_dir().join("position.db");
    let mut book = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("opened");
    let change = "UPDATE fills SET commission = '0.00000777' WHERE symbol = 'ETHUSDT'";
    sqlx::query(change).execute(&mut book).await.expect("changed");
    book.close().await.expect("closed");
    let found = cluster.calls.reconcile_in_full().await.expect("answered");
    let of_fee = of_class(&found, Class::FeeDifference);
    assert_eq!(
        (of_fee.symbol.as_str(), of_fee.asset.as_str()),
        ("ETHUSDT", "ETH"),
        "{of_fee:?}"
    );
    // The fee was paid in the base asset, so that the position is not the fold of these fills, either.
    let all = [
        Class::PhantomFill,
        Class::PositionMismatch,
        Class::DuplicateFill,
        Class::FeeDifference,
    ];
    assert_eq!(classes(&found), all, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_remainder_that_cannot_be_sold_is_noted_and_clean() {
    let seed = Seed::of("p9_a_remainder_that_cannot_be_sold_is_noted_and_clean");
    let cluster = Cluster::start_with(THUNES, seed.number, on_demand).await;
    assert_eq!(
        cluster.calls.order_now(buy("b", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    let sold = cluster.calls.order_now(sell("s", "BTCUSDT", "0.00018")).await;
    assert_eq!(sold.state(), OrderState::Filled, "{sold:?}");
    let clean = assert_clean(&cluster).await;
    let dust = of_class(&clean, Class::Dust);
    assert_eq!(dust.symbol, "BTCUSDT");
    assert!(clean.discrepancies.is_empty(), "{clean:#?}");
    let shown = cluster.thunes(&["reconcile"]).await;
    assert!(
        shown.out.contains("DUST BTCUSDT") && shown.out.contains("Clean"),
        "{}",
        shown.out
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_fill_of_ours_is_adopted_by_itself_unless_that_is_turned_off() {
    let seed = Seed::of("p9_a_fill_of_ours_is_adopted_by_itself_unless_that_is_turned_off");
    for auto in ["true", "false"] {
        let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
            plan.setting(Service::ExchangeGateway, "gateway.reconcile.interval_ms", "300")
                .setting(Service::ExchangeGateway, "gateway.reconcile.auto_adopt", auto)
        })
        .await;
        assert_eq!(
            cluster.calls.order_now(buy("kept", "BTCUSDT", "120")).await.state(),
            OrderState::Filled
        );
        assert_book_is_the_fold(&cluster, LONG).await;
        until_ok("the gateway knows that position has the fill", LONG, async || {
            let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
            if status.fills_undelivered == 0 {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
        cluster.kill(Service::ExchangeGateway).await;
        cluster.kill(Service::Position).await;
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(cluster.data_dir().join(format!("position.db{suffix}")));
        }
        cluster.restart(Service::Position).await;
        cluster.restart(Service::ExchangeGateway).await;
        if auto == "true" {
            cluster.until_opening().await;
            assert_book_is_the_fold(&cluster, LONG).await;
            assert_eq!(cluster.trail().of_type("FILL_ADOPTED").count(), 1);
            continue;
        }
        until_ok("opening waits for a person", LONG, async || {
            let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
            let known = status.reconciliation.clone().unwrap_or_default();
            let waits = status.opening_refused_reason_code == "RECONCILIATION_NOT_CLEAN" && known.mismatches > 0;
            if waits { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
        let found = cluster.calls.reconcile(false).await.expect("answered");
        assert_eq!(classes(&found), [Class::MissedFill], "{found:#?}");
        let repaired = cluster.calls.reconcile(true).await.expect("answered");
        assert_eq!(repaired.verdict(), ReconcileVerdict::Clean, "{repaired:#?}");
        cluster.until_opening().await;
    }
}
