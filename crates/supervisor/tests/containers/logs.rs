//! Logs are complete, in order, and bounded.

use thunes_runtime::clock;
use thunes_supervisor::containers::{ContainerControl, LogStream};
use thunes_testkit::docker::{Spec, service};

use crate::{fleet, until_last_line, until_logged};

const LINES: usize = 2000;

#[tokio::test]
async fn both_streams_come_complete_in_the_order_of_their_times_and_long_lines_whole() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", &format!("flood {LINES}"))).await;
    let lines = until_logged(&fleet, "risk", "it ticks", |lines| {
        lines.iter().any(|line| line.text == "out 1")
    })
    .await;
    assert!(lines.is_sorted_by_key(|line| line.at_ms));
    let of = |stream: LogStream, parity: usize| {
        let numbered: Vec<usize> = lines
            .iter()
            .filter(|line| line.stream == stream)
            .filter_map(|line| line.text.strip_prefix("line ")?.parse().ok())
            .collect();
        let expected: Vec<usize> = (1..=LINES).filter(|n| n % 2 == parity).collect();
        assert_eq!(numbered, expected, "{stream:?}");
    };
    of(LogStream::Stdout, 1);
    of(LogStream::Stderr, 0);
    let long = lines
        .iter()
        .find(|line| line.text.starts_with("xx"))
        .expect("the long line");
    assert_eq!(long.text, "x".repeat(100_000));
}

#[tokio::test]
async fn only_what_was_logged_since_is_given() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    until_logged(&fleet, "risk", "it runs", |lines| lines.len() > 20).await;
    let since_ms = clock::now_ms();
    direct.kill(&risk).await.expect("killed");
    direct.start(&risk).await.expect("started");
    until_last_line(&fleet, "risk", "err").await;
    let all = direct.logs(&risk, 0).await.expect("log");
    let since = direct.logs(&risk, since_ms).await.expect("log");
    assert!(since.iter().all(|line| line.at_ms >= since_ms));
    let after: Vec<_> = all.into_iter().filter(|line| line.at_ms >= since_ms).collect();
    assert_eq!(since[..after.len()], after, "nothing is missing");
    assert!(
        since.iter().any(|line| line.text == "out 1"),
        "the new run began behind the mark"
    );
    let future = direct.logs(&risk, clock::now_ms() + 3_600_000).await.expect("log");
    assert_eq!(future, []);
}
