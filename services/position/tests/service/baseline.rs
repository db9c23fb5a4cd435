use thunes_proto::position::v1::*;
use thunes_proto::types::v1::Balance;
use thunes_rpc::reason_of;
use thunes_types::ReasonCode;
use tonic::Code;

use crate::running::*;

fn baseline(free: &str) -> RecordBaselineRequest {
    RecordBaselineRequest {
        account: "sim-1".into(),
        balances: vec![
            Balance {
                asset: "USDT".into(),
                free: free.into(),
                locked: "0".into(),
            },
            Balance {
                asset: "BTC".into(),
                free: "1.5".into(),
                locked: "0.25".into(),
            },
        ],
        cursors: vec![TradeCursor {
            symbol: "BTCUSDT".into(),
            last_trade_id: 41,
        }],
        taken_at_ms: NOON_MS,
        reason: "first start".into(),
        request_id: String::new(),
        replace: false,
    }
}

#[tokio::test]
async fn p9_a_baseline_is_recorded_once_and_replaced_only_on_demand() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let asked = GetBaselineRequest {
        account: "sim-1".into(),
    };
    assert!(
        !service
            .client
            .get_baseline(asked.clone())
            .await
            .expect("answers")
            .into_inner()
            .found
    );
    assert!(
        service
            .client
            .record_baseline(baseline("100"))
            .await
            .expect("recorded")
            .into_inner()
            .recorded
    );
    let mut same = baseline("100.00");
    same.balances.reverse();
    assert!(
        !service
            .client
            .record_baseline(same)
            .await
            .expect("known")
            .into_inner()
            .recorded
    );
    let error = service
        .client
        .record_baseline(baseline("200"))
        .await
        .expect_err("another");
    assert_eq!(
        (error.code(), reason_of(&error)),
        (Code::FailedPrecondition, Some(ReasonCode::BaselineConflict))
    );
    service.stop().await;
    let mut service = Running::start(dir.path()).await;
    let kept = service
        .client
        .get_baseline(asked.clone())
        .await
        .expect("answers")
        .into_inner();
    assert!(kept.found);
    assert_eq!(
        kept.balances.iter().map(|b| b.free.as_str()).collect::<Vec<_>>(),
        ["1.5", "100"]
    );
    assert_eq!((kept.cursors[0].last_trade_id, kept.taken_at_ms), (41, NOON_MS));
    let replacing = RecordBaselineRequest {
        replace: true,
        cursors: Vec::new(),
        ..baseline("200")
    };
    assert!(
        service
            .client
            .record_baseline(replacing)
            .await
            .expect("replaced")
            .into_inner()
            .recorded
    );
    let kept = service.client.get_baseline(asked).await.expect("answers").into_inner();
    assert_eq!((kept.balances[1].free.as_str(), kept.cursors.len()), ("200", 0));
    service.stop().await;
    let told: Vec<_> = events(dir.path())
        .await
        .into_iter()
        .filter(|(name, _)| name == "BASELINE_RECORDED")
        .collect();
    assert_eq!(
        told.iter()
            .map(|(_, payload)| payload["replaced"].as_bool())
            .collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
}

#[tokio::test]
async fn a_repeated_request_id_gets_its_answer_again_or_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let request = RecordBaselineRequest {
        request_id: "start-1".into(),
        ..baseline("100")
    };
    let first = service
        .client
        .record_baseline(request.clone())
        .await
        .expect("recorded")
        .into_inner();
    let again = service
        .client
        .record_baseline(request.clone())
        .await
        .expect("the same answer")
        .into_inner();
    assert_eq!(first, again);
    assert!(again.recorded);
    let other = RecordBaselineRequest {
        replace: true,
        ..request
    };
    let error = service
        .client
        .record_baseline(other)
        .await
        .expect_err("another payload");
    assert_eq!(
        (error.code(), reason_of(&error)),
        (Code::AlreadyExists, Some(ReasonCode::RequestIdReused))
    );
    service.stop().await;
    assert_eq!(count_events(dir.path(), "BASELINE_RECORDED").await, 1);
}
