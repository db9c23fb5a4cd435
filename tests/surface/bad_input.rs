//! Requests that are wrong: each is refused with what is wrong, changes nothing and ends no process.

use std::fmt::Debug;

use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent, QueryEventsRequest};
use thunes_proto::gateway::v1::{ListOrdersRequest, ReconcileRequest, SubmitOrderRequest, TimeInForce};
use thunes_proto::position::v1::{ListFillsRequest, RecordBaselineRequest, RecordFillsRequest};
use thunes_proto::risk::v1::{ActivateKillSwitchResponse, UpdateLimitsRequest, ValidateTradeRequest};
use thunes_proto::types::v1::{Balance, Fill, Side};
use thunes_runtime::clock;
use thunes_testkit::{Cluster, Seed, buy, limit_buy};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::THUNES;

fn assert_field<T: Debug>(what: &str, field: &str, answer: Result<T, Status>) {
    let status = answer.expect_err(what);
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
    let violations = status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default();
    assert!(
        violations.iter().any(|v| v.field == field),
        "{what}: {field} is not named: {violations:?}"
    );
    assert!(
        status.message().len() < 4000,
        "{what}: the answer is not flooded: {} bytes",
        status.message().len()
    );
}

fn assert_reused<T: Debug>(what: &str, answer: Result<T, Status>) {
    let status = answer.expect_err(what);
    assert_eq!(status.code(), Code::AlreadyExists, "{what}: {status:?}");
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    assert_eq!(reason, "REQUEST_ID_REUSED", "{what}: {status:?}");
}

/// Nothing died on the way, and nothing panicked.
fn assert_all_alive(cluster: &Cluster) {
    for service in cluster.env.services() {
        assert!(cluster.target(service).is_running(), "{service} has ended");
        let log = std::fs::read_to_string(cluster.env.log_file(service)).unwrap_or_default();
        assert!(!log.contains("panicked"), "{service} panicked: {log}");
    }
}

fn bad_orders() -> Vec<(&'static str, SubmitOrderRequest)> {
    let good = || buy("good", "BTCUSDT", "12");
    let long = "x".repeat(10_000);
    vec![
        ("symbol", buy("o", "btcusdt", "12")),
        ("symbol", buy("o", "", "12")),
        ("symbol", buy("o", "NOSUCHUSDT", "12")),
        ("symbol", buy("o", &long.to_uppercase(), "12")),
        ("client_order_id", buy("has a space", "BTCUSDT", "12")),
        ("client_order_id", buy(&"a".repeat(37), "BTCUSDT", "12")),
        ("client_order_id", buy("ö", "BTCUSDT", "12")),
        ("side", SubmitOrderRequest { side: 0, ..good() }),
        ("side", SubmitOrderRequest { side: 99, ..good() }),
        ("side", SubmitOrderRequest { side: -1, ..good() }),
        ("type", SubmitOrderRequest { r#type: 77, ..good() }),
        (
            "time_in_force",
            SubmitOrderRequest {
                time_in_force: 77,
                ..limit_buy("o", "BTCUSDT", "0.001", "59000")
            },
        ),
        (
            "time_in_force",
            SubmitOrderRequest {
                time_in_force: TimeInForce::Ioc.into(),
                ..good()
            },
        ),
        (
            "limit_price",
            SubmitOrderRequest {
                limit_price: "1".into(),
                ..good()
            },
        ),
        ("limit_price", limit_buy("o", "BTCUSDT", "0.001", "")),
        (
            "quote_amount",
            SubmitOrderRequest {
                quantity: "1".into(),
                ..good()
            },
        ),
        (
            "quantity",
            SubmitOrderRequest {
                quote_amount: String::new(),
                ..good()
            },
        ),
        (
            "strategy_id",
            SubmitOrderRequest {
                strategy_id: long,
                ..good()
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_name_the_field_and_change_nothing() {
    let seed = Seed::of("wrong_requests_name_the_field_and_change_nothing");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for (field, order) in bad_orders() {
        assert_field(&format!("{order:?}"), field, cluster.calls.submit(order).await);
    }
    assert!(cluster.calls.orders().await.expect("answered").is_empty());
    for reason in ["", "   ", "two\nlines", "bell\u{7}", &"x".repeat(10_240)] {
        assert_field("activate", "reason", cluster.calls.activate(reason, "").await);
        assert_field("deactivate", "reason", cluster.calls.deactivate(reason, "").await);
    }
    assert_field(
        "activate",
        "request_id",
        cluster.calls.activate("why", &"i".repeat(65)).await,
    );
    assert!(!cluster.calls.risk_status().await.expect("answered").kill_switch_active);
    let trade = ValidateTradeRequest {
        symbol: "BTCUSDT".into(),
        quote_amount: "1".into(),
        side: 42,
        strategy_id: String::new(),
    };
    assert_field(
        "validate",
        "side",
        cluster.calls.risk.clone().validate_trade(trade).await,
    );
    let unknown = cluster
        .calls
        .validate("NOSUCHUSDT", "100", Side::Buy)
        .await
        .expect("it is well formed");
    assert_eq!(
        (unknown.valid, unknown.reason_code.as_str()),
        (false, "SYMBOL_NOT_ALLOWED")
    );

    let mut gateway = cluster.calls.gateway.clone();
    let page = ListOrdersRequest {
        page_size: -1,
        ..Default::default()
    };
    assert_field("orders", "page_size", gateway.list_orders(page).await);
    let page = ListOrdersRequest {
        page_token: "garbage".into(),
        ..Default::default()
    };
    assert_field("orders", "page_token", gateway.list_orders(page).await);
    let mut position = cluster.calls.position.clone();
    let page = ListFillsRequest {
        page_size: 5000,
        ..Default::default()
    };
    assert_field("fills", "page_size", position.list_fills(page).await);
    assert_field(
        "fills",
        "fills",
        position.record_fills(RecordFillsRequest::default()).await,
    );
    let fills = vec![Fill::default(); 501];
    assert_field(
        "fills",
        "fills",
        position
            .record_fills(RecordFillsRequest {
                fills,
                ..Default::default()
            })
            .await,
    );
    let mut audit = cluster.calls.audit.clone();
    let page = QueryEventsRequest {
        page_size: 5000,
        ..Default::default()
    };
    assert_field("query", "page_size", audit.query_events(page).await);
    let event = |event_type: &str, payload: &str| AppendEventsRequest {
        events: vec![NewEvent {
            event_type: event_type.into(),
            payload_json: payload.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_field(
        "append",
        "events[0].event_type",
        audit.append_events(event("lower case", "{}")).await,
    );
    assert_field(
        "append",
        "events[0].payload_json",
        audit.append_events(event("GOOD", "[1]")).await,
    );
    assert_field(
        "append",
        "events[0].payload_json",
        audit.append_events(event("GOOD", "{\"a\":")).await,
    );

    // Larger than any message may be.
    let huge = cluster
        .calls
        .activate(&"x".repeat(3 * 1024 * 1024), "")
        .await
        .expect_err("too large");
    assert!(
        matches!(
            huge.code(),
            Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument
        ),
        "{huge:?}"
    );
    assert_all_alive(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_means_one_request() {
    let seed = Seed::of("a_request_id_means_one_request");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let calls = &cluster.calls;
    let first = calls.activate("one", "a").await.expect("answered");
    let again = calls.activate("one", "a").await.expect("answered");
    // The same decision; what it says of the fence is as of now.
    let told = |answer: &ActivateKillSwitchResponse| {
        let gateways: Vec<_> = answer.gateways.iter().map(|gateway| gateway.id.clone()).collect();
        (
            answer.active,
            answer.epoch,
            answer.changed,
            answer.reason.clone(),
            answer.activated_at_ms,
            gateways,
        )
    };
    assert_eq!(told(&first), told(&again));
    assert_reused("activate", calls.activate("two", "a").await);
    assert_reused("the id of another method", calls.deactivate("one", "a").await);
    calls.deactivate("one", "d").await.expect("answered");
    assert_reused("deactivate", calls.deactivate("two", "d").await);
    // A late repetition of the activation tells what was, and does not activate again.
    calls.activate("one", "a").await.expect("answered");
    assert!(!calls.risk_status().await.expect("answered").kill_switch_active);

    let limits = |positions| UpdateLimitsRequest {
        reason: "why".into(),
        request_id: "l".into(),
        open_positions_max: Some(positions),
        ..Default::default()
    };
    calls.risk.clone().update_limits(limits(7)).await.expect("answered");
    calls
        .risk
        .clone()
        .update_limits(limits(7))
        .await
        .expect("the same again");
    assert_reused(
        "limits",
        calls
            .risk
            .clone()
            .update_limits(limits(8))
            .await
            .map(Response::into_inner),
    );

    let append = |word: &str| AppendEventsRequest {
        events: vec![NewEvent {
            event_type: "WORD".into(),
            reason: word.into(),
            ..Default::default()
        }],
        request_id: "e".into(),
        ..Default::default()
    };
    let one = calls.append(append("one")).await.expect("answered");
    let two = calls.append(append("one")).await.expect("answered");
    assert_eq!(one.appended[0].seq, two.appended[0].seq);
    assert_reused("append", calls.append(append("two")).await);

    let baseline = |free: &str| RecordBaselineRequest {
        account: "another".into(),
        balances: vec![Balance {
            asset: "USDT".into(),
            free: free.into(),
            locked: "0".into(),
        }],
        taken_at_ms: clock::now_ms() - 1000,
        reason: "why".into(),
        request_id: "b".into(),
        ..Default::default()
    };
    let good = baseline("1");
    calls
        .position
        .clone()
        .record_baseline(good.clone())
        .await
        .expect("answered");
    calls
        .position
        .clone()
        .record_baseline(good)
        .await
        .expect("the same again");
    assert_reused(
        "baseline",
        calls
            .position
            .clone()
            .record_baseline(baseline("2"))
            .await
            .map(Response::into_inner),
    );
    assert_all_alive(&cluster);
}

// A repair that is repeated by mistake, or under an id that was given for looking only, must not be a second repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_means_one_reconciliation() {
    let seed = Seed::of("a_request_id_means_one_reconciliation");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let reconcile = async |repair| {
        let request = ReconcileRequest {
            repair,
            reason: "why".into(),
            request_id: "r".into(),
            ..Default::default()
        };
        cluster
            .calls
            .gateway
            .clone()
            .reconcile(request)
            .await
            .map(Response::into_inner)
    };
    let first = reconcile(false).await.expect("answered");
    let again = reconcile(false).await.expect("answered");
    assert_eq!(
        first.started_at_ms, again.started_at_ms,
        "the same id gives the same answer"
    );
    assert_reused("reconcile", reconcile(true).await);
}
