//! Query and tail.

mod service;

use std::time::Duration;

use futures_util::StreamExt;
use service::{Api, PATIENCE, Service, counted, reason, request};
use thunes_proto::audit::v1::{QueryEventsRequest, TailEventsRequest, TailEventsResponse};
use tonic::{Code, Status, Streaming};

async fn all_pages(service: &Service, request: QueryEventsRequest) -> Vec<i64> {
    let mut seqs = Vec::new();
    let mut token = String::new();
    loop {
        let (events, next) = service
            .query(QueryEventsRequest {
                page_token: token,
                ..request.clone()
            })
            .await;
        assert!(!events.is_empty() || next.is_empty(), "an empty page leads nowhere");
        seqs.extend(events.iter().map(|event| event.seq));
        if next.is_empty() {
            return seqs;
        }
        token = next;
    }
}

#[tokio::test]
async fn pages_hold_every_match_once_in_both_orders_while_the_log_grows() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    service.append(counted("risk", 1, 50)).await.expect("appended");
    let query = QueryEventsRequest {
        event_types: vec!["ORDER_INTENT".into()],
        page_size: 7,
        ..Default::default()
    };
    assert_eq!(all_pages(&service, query.clone()).await, (2..=51).collect::<Vec<_>>());
    let newest = QueryEventsRequest {
        newest_first: true,
        ..query.clone()
    };
    let (first, token) = service.query(newest.clone()).await;
    service.append(counted("risk", 51, 60)).await.expect("appended");
    let (second, _) = service
        .query(QueryEventsRequest {
            page_token: token,
            ..newest
        })
        .await;
    let seqs: Vec<_> = first.iter().chain(&second).map(|event| event.seq).collect();
    assert_eq!(
        seqs,
        (38..=51).rev().collect::<Vec<_>>(),
        "what came meanwhile does not shift the pages"
    );
    let timed = QueryEventsRequest {
        from_ms: 1_764_000_000_010,
        to_ms: 1_764_000_000_013,
        ..query
    };
    assert_eq!(all_pages(&service, timed).await, [11, 12, 13]);
    let audit = QueryEventsRequest {
        services: vec!["audit".into()],
        ..Default::default()
    };
    let (events, _) = service.query(audit).await;
    assert_eq!(
        events.iter().map(|e| e.event_type.as_str()).collect::<Vec<_>>(),
        ["SERVICE_STARTED"]
    );
    assert_eq!(
        events[0].raw,
        service::lines(folder.path())[0],
        "raw is the line as it stands"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_page_of_large_events_stays_below_what_clients_take() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    for number in 0..80 {
        let mut large = request(&format!("r{number}"), 0..1);
        large.events[0].payload_json = format!("{{\"a\":\"{}\"}}", "\\u0000".repeat(10_000));
        service.append(large).await.expect("appended");
    }
    let query = QueryEventsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let (events, token) = service.query(query.clone()).await;
    assert!(
        events.len() > 10 && events.len() < 40 && !token.is_empty(),
        "{}",
        events.len()
    );
    assert_eq!(all_pages(&service, query).await, (1..=81).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn what_a_query_or_a_tail_cannot_mean_is_refused() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    for query in [
        QueryEventsRequest {
            page_size: -1,
            ..Default::default()
        },
        QueryEventsRequest {
            page_token: "zzz".into(),
            ..Default::default()
        },
        QueryEventsRequest {
            from_ms: 9,
            to_ms: 3,
            ..Default::default()
        },
    ] {
        let error = service.api.clone().query_events(query).await.expect_err("refused");
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::InvalidArgument, "INVALID_ARGUMENT"),
            "{error}"
        );
    }
    for tail in [
        TailEventsRequest {
            from_seq: -1,
            ..Default::default()
        },
        TailEventsRequest {
            last: -1,
            ..Default::default()
        },
        TailEventsRequest {
            last: 1001,
            ..Default::default()
        },
    ] {
        let error = service.api.clone().tail_events(tail).await.expect_err("refused");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    }
    service.stop().await;
}

async fn tail(api: &Api, from_seq: i64, last: i32, follow: bool) -> Streaming<TailEventsResponse> {
    let request = TailEventsRequest { from_seq, last, follow };
    api.clone().tail_events(request).await.expect("a tail").into_inner()
}

async fn next(stream: &mut Streaming<TailEventsResponse>) -> Option<Result<TailEventsResponse, Status>> {
    tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("something within the time")
}

/// The next events, past heartbeats.
async fn events(stream: &mut Streaming<TailEventsResponse>, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let message = next(stream).await.expect("goes on").expect("no error");
        seqs.extend(message.event.map(|event| event.seq));
    }
    seqs
}

#[tokio::test]
async fn a_tail_starts_where_it_is_asked_to_and_ends_or_follows() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    service.append(counted("risk", 1, 199)).await.expect("appended");
    for (from_seq, last, expected) in [
        (0, 5, 196..=200),
        (150, 0, 150..=200),
        (1, 0, 1..=200),
        (0, 1000, 1..=200),
        (200, 9, 200..=200),
    ] {
        let mut stream = tail(&service.api, from_seq, last, false).await;
        let expected: Vec<i64> = expected.collect();
        assert_eq!(events(&mut stream, expected.len()).await, expected);
        assert!(next(&mut stream).await.is_none(), "it ends at the present end");
    }
    for (from_seq, last) in [(0, 0), (201, 0), (9_999_999, 0)] {
        assert!(
            next(&mut tail(&service.api, from_seq, last, false).await)
                .await
                .is_none()
        );
    }
    let mut stream = tail(&service.api, 0, 2, true).await;
    let mut later = tail(&service.api, 203, 0, true).await;
    assert_eq!(events(&mut stream, 2).await, [199, 200]);
    service.append(counted("risk", 200, 204)).await.expect("appended");
    assert_eq!(events(&mut stream, 5).await, [201, 202, 203, 204, 205]);
    assert_eq!(
        events(&mut later, 3).await,
        [203, 204, 205],
        "a start that is still to come is waited for"
    );
    let beat = next(&mut stream).await.expect("goes on").expect("no error");
    assert_eq!((beat.heartbeat, beat.event, beat.last_seq), (true, None, 205));
    service.shutdown.cancel();
    let end = loop {
        match next(&mut stream).await {
            Some(Ok(message)) => assert!(message.heartbeat),
            Some(Err(status)) => break status,
            None => panic!("the stream ended without a word"),
        }
    };
    assert_eq!((end.code(), reason(&end)), (Code::Unavailable, "SHUTTING_DOWN"));
    service.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up_and_misses_nothing() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let mut slow = tail(&service.api, 1, 0, true).await;
    let mut number = 0;
    // Far more than a stream and a socket hold, while nobody reads.
    for _ in 0..60 {
        let mut large = counted("risk", number + 1, number + 10);
        for event in &mut large.events {
            event.payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
        }
        number += 10;
        service.append(large).await.expect("the writer goes on");
    }
    assert_eq!(events(&mut slow, 601).await, (1..=601).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn tails_are_bounded_and_a_closed_one_makes_room() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(tail(&service.api, 0, 0, true).await);
    }
    let follow = TailEventsRequest {
        follow: true,
        ..Default::default()
    };
    let error = service.api.clone().tail_events(follow).await.expect_err("one too many");
    assert_eq!((error.code(), reason(&error)), (Code::ResourceExhausted, "OVERLOADED"));
    open.pop();
    let room = async {
        while service.api.clone().tail_events(follow).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), room)
        .await
        .expect("room again");
    drop(open);
    service.stop().await;
}
