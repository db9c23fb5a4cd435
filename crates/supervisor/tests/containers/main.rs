//! Containers on the real engine. Skipped where there is none, unless `THUNES_REQUIRE` names docker.

mod calls;
mod engine;
mod environment;
mod logs;
mod networks;
mod scope;

use std::time::{Duration, Instant};

use thunes_supervisor::containers::{ContainerControl, LogLine, ServiceName};
use thunes_testkit::docker::{Fleet, service};

const LONG: Duration = Duration::from_secs(20);

/// The fleet, or the end of the test where there is no Docker.
macro_rules! fleet {
    () => {
        match thunes_testkit::docker::Fleet::new().await {
            Some(fleet) => fleet,
            None => return,
        }
    };
}
pub(crate) use fleet;

/// Waits until the log of `name` satisfies `holds`.
async fn until_logged(fleet: &Fleet, name: &str, what: &str, holds: impl Fn(&[LogLine]) -> bool) -> Vec<LogLine> {
    let direct = fleet.direct().await;
    let name: ServiceName = service(name);
    let begun = Instant::now();
    loop {
        let lines = direct.logs(&name, 0).await.expect("its log");
        if holds(&lines) {
            return lines;
        }
        assert!(
            begun.elapsed() < LONG,
            "waited in vain until {what}; its log: {lines:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the last line of the log of `name` contains `text`.
async fn until_last_line(fleet: &Fleet, name: &str, text: &str) {
    until_logged(fleet, name, text, |lines| {
        lines.last().is_some_and(|line| line.text.contains(text))
    })
    .await;
}
