//! P6: what audit has acknowledged is there after any crash, unchanged and in order; what was changed is found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Calls, Cluster, Seed, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::THUNES;

/// What audit said of one event.
#[derive(Debug)]
struct Acknowledged {
    seq: u64,
    event_id: String,
    mark: String,
}

fn events(mark: &str, count: usize) -> Vec<NewEvent> {
    let event = |index| NewEvent {
        event_type: "CRASH_TEST".to_owned(),
        reason: format!("line {index} of {mark}"),
        actor: "tester".to_owned(),
        service: "tester".to_owned(),
        payload_json: serde_json::json!({ "mark": format!("{mark}/{index}"), "filler": "x".repeat(index * 300) })
            .to_string(),
        ..Default::default()
    };
    (0..count).map(event).collect()
}

/// Appends without a pause until `stop`, whatever becomes of audit meanwhile.
fn append(calls: &Calls, name: String, stop: CancellationToken) -> JoinHandle<Vec<Acknowledged>> {
    let calls = calls.clone();
    tokio::spawn(async move {
        let mut all = Vec::new();
        for number in 0.. {
            if stop.is_cancelled() {
                break;
            }
            let mark = format!("{name}-{number}");
            let count = 1 + number % 5;
            let request = AppendEventsRequest {
                events: events(&mark, count),
                request_id: mark.clone(),
                ..Default::default()
            };
            let Ok(answer) = calls.append(request).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            for (index, appended) in answer.appended.into_iter().enumerate() {
                let seq = u64::try_from(appended.seq).expect("counts from 1");
                all.push(Acknowledged {
                    seq,
                    event_id: appended.event_id,
                    mark: format!("{mark}/{index}"),
                });
            }
        }
        all
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_sigkill_under_load_loses_no_acknowledged_event() {
    let mut seed = Seed::of("p6_sigkill_under_load_loses_no_acknowledged_event");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let stop = CancellationToken::new();
    let writers: Vec<_> = (0..4)
        .map(|n| append(&cluster.calls, format!("w{n}"), stop.clone()))
        .collect();
    for round in 0..10 {
        let lived = seed.moment(20, 250).await;
        cluster.kill(Service::Audit).await;
        println!("round {round}: killed after {} ms", lived.as_millis());
        cluster.restart(Service::Audit).await;
        // A line may be half written at any moment now, but what stood there at the start is whole.
        let verified = cluster.thunes(&["audit", "tail", "-n", "5"]).await;
        verified.assert_exit(0);
    }
    stop.cancel();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("no panic"));
    }
    cluster.kill(Service::Audit).await;
    cluster.restart(Service::Audit).await;
    cluster.thunes(&["audit", "verify"]).await.assert_exit(0);
    let trail = cluster.trail();
    println!("{} lines, {} acknowledged", trail.lines.len(), acknowledged.len());
    assert!(acknowledged.len() > 100, "audit was under load");
    for one in &acknowledged {
        let line = trail
            .line(one.seq)
            .unwrap_or_else(|| panic!("P6: acknowledged and lost: {one:?}"));
        let same = line.event_id == one.event_id && line.payload["mark"] == one.mark.as_str();
        assert!(same, "P6: acknowledged as {one:?}, and there stands {line:?}");
    }
    let ids: BTreeSet<_> = trail.lines.iter().map(|line| &line.event_id).collect();
    assert_eq!(ids.len(), trail.lines.len(), "P7: no event stands there twice");
    trail.assert_each_producer_counts_on();
}

/// Ways to tamper with a log, each before its last batch.
fn tampered(log: &[u8], kind: &str, seed: &mut Seed) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let half = u64::try_from(lines.len() / 2).expect("few lines");
    let at = usize::try_from(seed.between(1, half)).expect("an index");
    match kind {
        "a flipped bit" => {
            let byte = usize::try_from(seed.between(0, lines[at].len() as u64)).expect("an index");
            lines[at][byte] ^= 1 << seed.between(0, 7);
        }
        "a removed line" => drop(lines.remove(at)),
        "swapped lines" => lines.swap(at, at + 1),
        "a doubled line" => lines.insert(at, lines[at].clone()),
        "another word" => {
            let text = String::from_utf8(lines[at].clone()).expect("text");
            lines[at] = text.replace("tester", "nobody").into_bytes();
        }
        other => panic!("{other}"),
    }
    lines.concat()
}

async fn assert_refuses_to_start(cluster: &Cluster, path: &Path, changed: &[u8], kind: &str) {
    let verified = cluster.thunes(&["audit", "verify"]).await;
    verified.assert_exit(1).assert_says("is corrupt").assert_says("byte");
    let target = cluster.target(Service::Audit);
    target.start().await.expect("started");
    let exit = tokio::time::timeout(Duration::from_secs(10), target.wait_exit()).await;
    let exit = exit
        .unwrap_or_else(|_| panic!("P6: {kind}: it serves a log that was changed"))
        .expect("exit");
    assert_eq!(exit.code, Some(1), "{kind}: {exit}");
    let said = target.log_tail();
    // A log that is shorter than what was durable is called cut, whatever else is wrong with it.
    let what = if kind == "a removed line" {
        "it was cut"
    } else {
        "was changed outside of this service"
    };
    for part in [what, "at byte", "sequence", path.to_str().expect("text")] {
        assert!(said.contains(part), "{kind}: {part:?} is not in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(
        std::fs::read(path).expect("the log"),
        changed,
        "P6: {kind}: nothing is changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_log_that_was_changed_is_not_served_and_the_place_is_named() {
    let mut seed = Seed::of("p6_a_log_that_was_changed_is_not_served_and_the_place_is_named");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for batch in 0..12 {
        let request = AppendEventsRequest {
            events: events(&format!("b{batch}"), 3),
            ..Default::default()
        };
        cluster.calls.append(request).await.expect("appended");
    }
    cluster.kill(Service::Audit).await;
    let path: PathBuf = cluster.data_dir().join("logs/audit_trail.jsonl");
    let intact = std::fs::read(&path).expect("the log");
    for kind in [
        "a flipped bit",
        "a flipped bit",
        "a flipped bit",
        "a removed line",
        "swapped lines",
        "a doubled line",
        "another word",
    ] {
        let changed = tampered(&intact, kind, &mut seed);
        if changed == intact {
            continue;
        }
        std::fs::write(&path, &changed).expect("written");
        assert_refuses_to_start(&cluster, &path, &changed, kind).await;
    }
    // Cut behind what was acknowledged, at the end of a line, so that every line that is left is good.
    let end = intact[..intact.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .expect("many lines")
        + 1;
    std::fs::write(&path, &intact[..end]).expect("written");
    let verified = cluster.thunes(&["audit", "verify"]).await;
    assert_ne!(
        verified.exit,
        Some(0),
        "P6: lines are missing at the end: {}",
        verified.out
    );

    std::fs::write(&path, &intact).expect("written");
    cluster.restart(Service::Audit).await;
    cluster.thunes(&["audit", "verify"]).await.assert_exit(0);
    let status = cluster.calls.audit_status().await.expect("answered");
    assert_eq!(status.quarantined_batches, 0, "tampering is no torn tail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_torn_last_batch_is_set_aside_and_reported() {
    let mut seed = Seed::of("p6_a_torn_last_batch_is_set_aside_and_reported");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let request = AppendEventsRequest {
        events: events("before", 3),
        ..Default::default()
    };
    cluster.calls.append(request).await.expect("appended");
    cluster.kill(Service::Audit).await;
    let path = cluster.data_dir().join("logs/audit_trail.jsonl");
    let mut log = std::fs::read(&path).expect("the log");
    let torn = b"{\"seq\":999,\"event_id\":\"half-written\",\"ts\":\"2026-11-24T0";
    let cut = usize::try_from(seed.between(1, torn.len() as u64)).expect("a length");
    log.extend(&torn[..cut]);
    std::fs::write(&path, &log).expect("written");
    cluster.restart(Service::Audit).await;
    until("the quarantine is reported", Duration::from_secs(10), async || {
        cluster.trail().of_type("AUDIT_TAIL_QUARANTINED").count() == 1
    })
    .await;
    assert_eq!(
        cluster
            .calls
            .audit_status()
            .await
            .expect("answered")
            .quarantined_batches,
        1
    );
    cluster.thunes(&["audit", "verify"]).await.assert_exit(0);
}
