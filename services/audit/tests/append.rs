//! What is acknowledged is on disk, once, in order, whole.

mod service;

use proptest::prelude::*;
use service::{Service, counted, event, lines, reason, request, verified};
use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};
use thunes_tlog::LeafHash;
use tonic::Code;

#[tokio::test]
async fn p6_an_acknowledged_event_is_a_line_of_the_file_and_of_the_chain() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let answer = service.append(counted("risk", 1, 3)).await.expect("appended").appended;
    // Read at once: the answer came after the sync.
    let lines = lines(folder.path());
    for appended in &answer {
        let line = &lines[appended.seq as usize - 1];
        assert_eq!(appended.leaf_hash, LeafHash::of(line.as_bytes()).to_base64());
        let fields: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(fields["event_id"], appended.event_id.as_str());
        assert!(!appended.duplicate);
    }
    let last: serde_json::Value = serde_json::from_str(lines.last().expect("one")).expect("JSON");
    assert_eq!(last["event_id"], "risk:db1:3");
    assert_eq!(last["ts"], "2025-11-24T16:00:00.003Z");
    assert_eq!(last["payload"], serde_json::json!({ "number": 3 }));
    let status = service.status().await;
    assert_eq!(
        (status.last_seq, status.last_leaf_hash),
        (4, answer[2].leaf_hash.clone())
    );
    assert_eq!(
        status.size_bytes as u64,
        std::fs::metadata(service.log()).expect("log").len()
    );
    assert_eq!(verified(folder.path()).last_leaf_hash, answer[2].leaf_hash);
    service.stop().await;
}

#[tokio::test]
async fn p7_a_delivery_that_comes_again_is_answered_again_even_after_a_restart() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let first = service.append(counted("risk", 1, 3)).await.expect("appended").appended;
    let again = service.append(counted("risk", 1, 3)).await.expect("known").appended;
    let ids = |list: &[thunes_proto::audit::v1::Appended]| -> Vec<_> {
        list.iter()
            .map(|a| (a.seq, a.event_id.clone(), a.leaf_hash.clone()))
            .collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert!(again.iter().all(|appended| appended.duplicate));
    service.stop().await;

    let service = Service::start(folder.path()).await;
    let overlapping = service
        .append(counted("risk", 2, 5))
        .await
        .expect("known and new")
        .appended;
    assert_eq!(ids(&overlapping[..2]), ids(&first[1..]));
    assert_eq!(
        overlapping.iter().map(|a| a.duplicate).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    // The same counts of another database, and of another producer, are other events.
    let mut other = counted("risk", 1, 1);
    other.incarnation = "db2".into();
    assert!(!service.append(other).await.expect("new").appended[0].duplicate);
    assert!(!service.append(counted("position", 1, 1)).await.expect("new").appended[0].duplicate);
    service.stop().await;
    let numbers: Vec<_> = lines(folder.path())
        .into_iter()
        .filter(|line| line.contains("risk:db1:"))
        .collect();
    assert_eq!(numbers.len(), 5, "each once");
}

#[tokio::test]
async fn p7_other_contents_under_a_known_count_are_refused_and_told_of_once() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    service.append(counted("risk", 1, 2)).await.expect("appended");
    for change in [
        (|e: &mut NewEvent| e.reason = "another".into()) as fn(&mut NewEvent),
        |e| e.payload_json = "{\"number\":2,\"more\":1}".into(),
        |e| e.occurred_at_ms += 1,
        |e| e.event_type = "ORDER_DENIED".into(),
    ] {
        let mut conflicting = counted("risk", 1, 4);
        change(&mut conflicting.events[1]);
        for _ in 0..3 {
            let error = service.append(conflicting.clone()).await.expect_err("refused");
            assert_eq!(
                (error.code(), reason(&error)),
                (Code::AlreadyExists, "PRODUCER_CONFLICT"),
                "{error}"
            );
        }
    }
    let told = service.of_type("PRODUCER_CONFLICT").await;
    assert_eq!(told.len(), 4, "one for each offer, not for each repetition");
    assert!(told[0].payload_json.contains("\"producer_seq\":2") && told[0].service == "audit");
    let logged = service.of_type("ORDER_INTENT").await;
    assert_eq!(logged.len(), 2, "nothing of a refused request entered");
    let spaced = {
        let mut same = counted("risk", 2, 2);
        same.events[0].payload_json = " { \"number\" :2 } ".into();
        service.append(same).await.expect("white space says nothing").appended
    };
    assert!(spaced[0].duplicate);
    service.stop().await;
    verified(folder.path());
}

#[tokio::test]
async fn p7_a_gap_is_refused_and_the_first_count_is_one() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    for (request, expected) in [(counted("risk", 2, 2), "1"), (counted("risk", 5, 9), "1")] {
        let error = service.append(request).await.expect_err("a gap");
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::FailedPrecondition, "PRODUCER_GAP")
        );
        assert!(error.message().contains(&format!("waits for {expected}")), "{error}");
    }
    service.append(counted("risk", 1, 1)).await.expect("the first");
    assert_eq!(
        reason(&service.append(counted("risk", 3, 3)).await.expect_err("a gap")),
        "PRODUCER_GAP"
    );
    service.append(counted("risk", 2, 3)).await.expect("in order");
    assert_eq!(service.status().await.last_seq, 4, "refused requests leave no trace");
    service.stop().await;
}

#[tokio::test]
async fn a_request_id_gives_the_same_answer_or_is_refused() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let first = service
        .append(request("drill:1", 0..3))
        .await
        .expect("appended")
        .appended;
    assert_eq!(first[2].event_id, "req:drill:1:2");
    service.stop().await;
    let service = Service::start(folder.path()).await;
    let again = service.append(request("drill:1", 0..3)).await.expect("known").appended;
    assert_eq!(
        again.iter().map(|a| a.seq).collect::<Vec<_>>(),
        first.iter().map(|a| a.seq).collect::<Vec<_>>()
    );
    for other in [
        request("drill:1", 0..2),
        request("drill:1", 0..4),
        request("drill:1", 1..4),
    ] {
        let error = service.append(other).await.expect_err("another payload");
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::AlreadyExists, "REQUEST_ID_REUSED")
        );
    }
    let mut now = request("now", 0..1);
    now.events[0].occurred_at_ms = 0;
    let first = service.append(now.clone()).await.expect("appended").appended;
    let again = service
        .append(now)
        .await
        .expect("the time was ours, not the caller's")
        .appended;
    assert_eq!((first[0].seq, again[0].duplicate), (again[0].seq, true));
    let plain = AppendEventsRequest {
        events: vec![event(1)],
        ..Default::default()
    };
    let one = service.append(plain.clone()).await.expect("appended").appended;
    let two = service.append(plain).await.expect("appended").appended;
    assert!(
        one[0].event_id != two[0].event_id && !two[0].duplicate,
        "who names nothing is not remembered"
    );
    service.stop().await;
}

#[tokio::test]
async fn hostile_events_are_refused_with_field_value_and_rule_and_nothing_of_their_request_enters() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let before = service.status().await.last_seq;
    let mut bad = request("", 0..3);
    bad.events[1].event_type = "not upper case".into();
    bad.events[2].payload_json = "[1]".into();
    let error = service.append(bad).await.expect_err("refused");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::InvalidArgument, "INVALID_ARGUMENT")
    );
    for part in [
        "events[1].event_type",
        "not upper case",
        "events[2].payload_json",
        "[1]",
        "must be an object",
    ] {
        assert!(error.message().contains(part), "{part} in {error}");
    }
    let mut large = request("", 0..2);
    large.events[1].payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(65_536));
    let error = service.append(large).await.expect_err("too large");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::InvalidArgument, "EVENT_TOO_LARGE")
    );
    assert!(error.message().contains("events[1]"), "{error}");
    let deep = format!("{}1{}", "{\"a\":".repeat(33), "}".repeat(33));
    let mut nested = request("", 0..1);
    nested.events[0].payload_json = deep;
    assert_eq!(
        reason(&service.append(nested).await.expect_err("too deep")),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        reason(&service.append(request("", 0..501)).await.expect_err("too many")),
        "INVALID_ARGUMENT"
    );
    assert_eq!(service.status().await.last_seq, before);
    service.stop().await;
}

#[tokio::test]
async fn of_many_at_once_each_gets_its_own_place() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..40u64 {
        let api = service.api.clone();
        calls.spawn(async move {
            let mut seqs = Vec::new();
            for number in 1..=10u64 {
                let producer = format!("caller-{caller}");
                let answer = service::append(&api, counted(&producer, number, number))
                    .await
                    .expect("appended");
                seqs.push((answer.appended[0].seq, answer.appended[0].event_id.clone()));
            }
            seqs
        });
    }
    let mut all: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    all.sort();
    all.dedup_by_key(|(seq, _)| *seq);
    assert_eq!(all.len(), 400);
    let lines = lines(folder.path());
    for (seq, event_id) in &all {
        assert!(lines[*seq as usize - 1].contains(event_id.as_str()));
    }
    service.stop().await;
    assert_eq!(verified(folder.path()).lines, 401);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever the strings hold: they are taken as they are or refused with a reason, and the log verifies.
    #[test]
    fn p6_hostile_strings_never_break_the_log(texts in prop::collection::vec(("\\PC{0,40}", any::<String>()), 1..20)) {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let folder = tempfile::tempdir().expect("temp folder");
        runtime.block_on(async {
            let service = Service::start(folder.path()).await;
            for (reason_text, any_text) in &texts {
                let payload = serde_json::json!({ any_text.as_str(): any_text, "nul": "\0", "ls": "\u{2028}" });
                let said = NewEvent { reason: reason_text.clone(), service: any_text.chars().take(64).collect(),
                    payload_json: payload.to_string(), ..event(1) };
                service.append(AppendEventsRequest { events: vec![said.clone()], ..Default::default() })
                    .await.expect("within every bound");
                let newest = thunes_proto::audit::v1::QueryEventsRequest {
                    newest_first: true, page_size: 1, ..Default::default() };
                let (events, _) = service.query(newest).await;
                assert_eq!((&events[0].reason, &events[0].service), (&said.reason, &said.service));
                let read: serde_json::Value = serde_json::from_str(&events[0].payload_json).expect("JSON");
                assert_eq!(read, payload);
                let garbage = NewEvent { payload_json: any_text.clone(), event_type: any_text.clone(), ..event(1) };
                let _ = service.append(AppendEventsRequest { events: vec![garbage], ..Default::default() }).await;
            }
            service.stop().await;
        });
        verified(folder.path());
    }
}
