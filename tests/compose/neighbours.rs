//! Environments side by side, kept apart by their project names.

use std::net::TcpListener;

use thunes_testkit::buy;

use crate::environment::{Compose, Turn};
use crate::operation::wait_open;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_environments_side_by_side_know_nothing_of_each_other() {
    let Some(turn) = Turn::wait().await else { return };
    let (one, other) = (Compose::up(&turn).await, Compose::up(&turn).await);
    one.calls().activate("here only", "").await.expect("answered");
    let (calls, sim) = (other.calls(), other.sim());
    assert!(!calls.risk_status().await.expect("answered").kill_switch_active);
    wait_open(&calls).await;
    assert!(
        calls
            .submit(buy("other-1", "BTCUSDT", "100"))
            .await
            .expect("answered")
            .accepted
    );
    assert!(sim.ledger().await.order("other-1").is_some());
    assert!(one.sim().ledger().await.order("other-1").is_none());
    assert!(one.calls().positions().await.expect("answered").positions.is_empty());

    one.run(&["down", "--volumes"]).await.assert_exit(0);
    assert_eq!(one.leftovers().await, Vec::<String>::new());
    assert!(
        calls
            .submit(buy("other-2", "BTCUSDT", "100"))
            .await
            .expect("answered")
            .accepted
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named_another_variable_helps_and_down_leaves_nothing() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::new(&turn);
    let taken = TcpListener::bind(compose.address("THUNES_RISK_PORT")).expect("bound");
    let said = compose.run(&["up", "-d"]).await;
    assert_ne!(said.exit, Some(0), "{}{}", said.out, said.err);
    said.assert_says(&compose.address("THUNES_RISK_PORT"))
        .assert_says("address already in use");
    compose.run(&["down", "--volumes"]).await.assert_exit(0);
    assert_eq!(compose.leftovers().await, Vec::<String>::new());

    let free = Compose::new(&turn);
    let compose = compose.with("THUNES_RISK_PORT", &free.port("THUNES_RISK_PORT").to_string());
    compose.run(&["up", "-d", "risk"]).await.assert_exit(0);
    drop(taken);
}
