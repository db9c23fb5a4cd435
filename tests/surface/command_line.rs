//! The operator's commands against a running system.

use std::time::Duration;

use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, until};

use crate::THUNES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_is_toggled_and_trades_pass_or_do_not() {
    let seed = Seed::of("the_kill_switch_is_toggled_and_trades_pass_or_do_not");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let run = async |args: &[&str]| cluster.thunes(args).await;
    run(&["kill-switch", "status"])
        .await
        .assert_exit(0)
        .assert_says("Kill-switch active: False");
    let buy = ["trade", "--symbol", "BTCUSDT", "--side", "BUY", "--amount", "100"];
    run(&buy).await.assert_exit(0).assert_says("FILLED");
    until("the book has it", Duration::from_secs(5), async || {
        cluster
            .calls
            .positions()
            .await
            .is_ok_and(|book| book.positions.len() == 1)
    })
    .await;
    run(&["positions"])
        .await
        .assert_exit(0)
        .assert_says("Total open positions: 1")
        .assert_says("BTCUSDT");
    let said = run(&["kill-switch", "activate", "--reason", "the operator says so"]).await;
    said.assert_exit(0)
        .assert_says("🚨 KILL SWITCH ACTIVATED: the operator says so")
        .assert_says("Kill-switch active: True")
        .assert_says("gateway-1");
    run(&buy)
        .await
        .assert_exit(1)
        .assert_says("❌ Kill-switch is active. No new positions allowed.");
    run(&["trade", "--symbol", "BTCUSDT", "--side", "SELL", "--amount", "50"])
        .await
        .assert_exit(0)
        .assert_says("FILLED");
    run(&["trade", "--symbol", "BTCUSDT", "--side", "SELL", "--quantity", "5"])
        .await
        .assert_exit(1)
        .assert_says("CLOSABLE_QUANTITY_EXCEEDED");
    let said = run(&["kill-switch", "status", "--json"]).await;
    assert_eq!(said.assert_exit(0).json()["kill_switch_active"], true, "{}", said.out);
    run(&["kill-switch", "deactivate", "--reason", "all is well"])
        .await
        .assert_exit(0)
        .assert_says("🔓 Kill-switch deactivated: all is well")
        .assert_says("Kill-switch active: False");
    cluster.until_opening().await;
    let said = run(&[
        "trade", "--symbol", "BTCUSDT", "--side", "BUY", "--amount", "100", "--json",
    ])
    .await;
    let json = said.assert_exit(0).json();
    assert_eq!(
        (&json["accepted"], &json["order"]["state"]),
        (&true.into(), &"ORDER_STATE_FILLED".into()),
        "{json:#}"
    );

    let reused = run(&["kill-switch", "activate", "--reason", "one", "--request-id", "x"]).await;
    reused.assert_exit(0);
    run(&["kill-switch", "activate", "--reason", "two", "--request-id", "x"])
        .await
        .assert_exit(1)
        .assert_says("REQUEST_ID_REUSED");
    run(&["trade", "--symbol", "BTCUSDT", "--side", "BUY", "--amount", "1e5"])
        .await
        .assert_exit(1)
        .assert_says("quote_amount")
        .assert_says("docs/errors/INVALID_ARGUMENT.md");
    let trail = run(&["audit", "query", "--type", "KILL_SWITCH_ACTIVATED"]).await;
    trail.assert_exit(0).assert_says("the operator says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_exits_with_0_1_and_2() {
    let seed = Seed::of("reconcile_exits_with_0_1_and_2");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let run = async |args: &[&str]| cluster.thunes(args).await;
    run(&["trade", "--symbol", "BTCUSDT", "--side", "BUY", "--amount", "100"])
        .await
        .assert_exit(0);
    run(&["reconcile"]).await.assert_exit(0).assert_says("Clean");
    cluster.sim.external_trade("BTCUSDT", "BUY", "0.001").await;
    let found = run(&["reconcile"]).await;
    found.assert_exit(1).assert_says("EXTERNAL_TRADE").assert_says("cause");
    let json = run(&["reconcile", "--json"]).await;
    json.assert_exit(1);
    assert_eq!(
        json.json()["discrepancies"].as_array().map(Vec::len),
        Some(1),
        "{}",
        json.out
    );
    run(&["reconcile", "--repair", "--reason", "adopt it"])
        .await
        .assert_exit(0);
    run(&["reconcile"]).await.assert_exit(0);
    cluster.kill(Service::Position).await;
    run(&["reconcile"]).await.assert_exit(2).assert_says("position");
    cluster.restart(Service::Position).await;
    cluster.kill(Service::ExchangeSim).await;
    run(&["reconcile"]).await.assert_exit(2);
    cluster.kill(Service::ExchangeGateway).await;
    run(&["reconcile"]).await.assert_exit(2).assert_says("exchange-gateway");
}
