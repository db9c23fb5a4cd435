//! The service dies: by SIGKILL at every step of a commit, by a full disk, by a log that somebody changed. The service that
//! dies is this test binary again, run as a child with one ignored test that serves.

mod service;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use service::{Api, Service, append, client, config, counted, lines, log_of, reason, request, verified};
use thunes_proto::audit::v1::QueryEventsRequest;
use thunes_tlog::{LogPaths, verify_file};
use tokio_util::sync::CancellationToken;

const DATA_DIR: &str = "AUDIT_TEST_DATA_DIR";
const LISTENING: &str = "LISTENING ";

/// Not a test: what the other tests run as a child.
#[tokio::test]
#[ignore = "run by the other tests as a child"]
async fn child_serves() {
    let Ok(data_dir) = std::env::var(DATA_DIR) else { return };
    let config = config(Path::new(&data_dir));
    let listening = thunes_rpc::bind("audit", config.listen.clone(), false)
        .await
        .expect("bind");
    println!("{LISTENING}{}", listening.address);
    if let Err(error) = thunes_audit::serve(config, listening.listener, CancellationToken::new()).await {
        println!("ENDED {error}");
    }
}

struct Dying {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    api: Api,
}

impl Dying {
    /// Starts the child; `wrap` may put a shell before it.
    fn start(data_dir: &Path, failpoints: &str, wrap: Option<&str>) -> Self {
        let binary = std::env::current_exe().expect("this binary");
        let arguments = ["--exact", "child_serves", "--ignored", "--nocapture"];
        let mut command = match wrap {
            None => Command::new(binary),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(binary);
                shell
            }
        };
        command
            .args(arguments)
            .env(DATA_DIR, data_dir)
            .env("THUNES_FAILPOINTS", failpoints);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("child");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let address = line_with(&mut out, LISTENING).expect("the child listens");
        Self {
            child,
            out,
            api: client(&address),
        }
    }

    /// What it said at its end.
    fn end(mut self) -> Option<String> {
        let said = line_with(&mut self.out, "ENDED ");
        self.child.wait().expect("waited");
        said
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of the first line that holds `prefix`; the test harness writes on the same lines.
fn line_with(out: &mut impl BufRead, prefix: &str) -> Option<String> {
    let mut line = String::new();
    while out.read_line(&mut line).expect("piped") > 0 {
        if let Some((_, rest)) = line.split_once(prefix) {
            return Some(rest.trim_end().to_owned());
        }
        line.clear();
    }
    None
}

/// Keeps delivering one event after another until the service dies; gives what was acknowledged.
async fn deliver_until_death(api: Api, producer: String) -> BTreeMap<u64, (i64, String)> {
    let mut acknowledged = BTreeMap::new();
    for number in 1.. {
        match append(&api, counted(&producer, number, number)).await {
            Ok(answer) => {
                let one = &answer.appended[0];
                acknowledged.insert(number, (one.seq, one.leaf_hash.clone()));
            }
            Err(_) => return acknowledged,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_sigkill_at_every_step_of_a_commit_loses_nothing_that_was_acknowledged() {
    for place in ["before_write", "after_write", "after_sync", "before_answer"] {
        for nth in [1, 7, 23] {
            let folder = tempfile::tempdir().expect("temp folder");
            let what = format!("kill at {place}, time {nth}");
            let dying = Dying::start(folder.path(), &format!("audit.append.{place}=kill@{nth}"), None);
            let callers: Vec<_> = (0..4)
                .map(|caller| tokio::spawn(deliver_until_death(dying.api.clone(), format!("caller-{caller}"))))
                .collect();
            let mut acknowledged = Vec::new();
            for caller in callers {
                acknowledged.push(caller.await.expect("joined"));
            }
            assert_eq!(dying.end(), None, "{what}: it was killed, it did not end by itself");
            let service = Service::start(folder.path()).await;
            for (caller, known) in acknowledged.iter().enumerate() {
                // What was acknowledged is there, at its place; what was not is taken, once.
                let last = known.len() as u64;
                let again = service
                    .append(counted(&format!("caller-{caller}"), 1, last + 1))
                    .await
                    .expect("redelivered");
                for (one, (seq, leaf)) in again.appended.iter().zip(known.values()) {
                    assert_eq!((one.seq, &one.leaf_hash, one.duplicate), (*seq, leaf, true), "{what}");
                }
            }
            assert_eq!(
                service.status().await.quarantined_batches,
                0,
                "{what}: a killed process tears no write"
            );
            service.stop().await;
            let events: Vec<_> = lines(folder.path())
                .into_iter()
                .filter(|line| line.contains("caller-"))
                .collect();
            let expected: usize = acknowledged.iter().map(|known| known.len() + 1).sum();
            assert_eq!(events.len(), expected, "{what}: each once");
            verified(folder.path());
        }
    }
}

#[tokio::test]
async fn p6_a_torn_tail_is_set_aside_reported_and_delivered_again() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    service.append(counted("risk", 1, 2)).await.expect("appended");
    service.stop().await;
    // The next batch, as a power loss leaves it: one line of the request whole, the other half.
    let paths = LogPaths::in_data_dir(folder.path());
    let mark = std::fs::read(&paths.mark).expect("mark");
    let service = Service::start(folder.path()).await;
    service.append(request("drill:1", 0..3)).await.expect("appended");
    service.stop().await;
    let log = std::fs::read(&paths.log).expect("log");
    std::fs::write(&paths.log, &log[..log.len() - 100]).expect("cut");
    std::fs::write(&paths.mark, mark).expect("the mark before it");

    let service = Service::start(folder.path()).await;
    let reports = service.of_type("AUDIT_TAIL_QUARANTINED").await;
    assert_eq!(reports.len(), 1);
    assert_eq!(service.status().await.quarantined_batches, 1);
    let payload: serde_json::Value = serde_json::from_str(&reports[0].payload_json).expect("JSON");
    let file = folder
        .path()
        .join(payload["file"].as_str().expect("a path in the data folder"));
    assert!(log.ends_with(&[std::fs::read(file).expect("set aside"), log[log.len() - 100..].to_vec()].concat()));
    // The half request is completed, not refused and not doubled.
    let again = service
        .append(request("drill:1", 0..3))
        .await
        .expect("the rest is taken")
        .appended;
    assert_eq!(
        again.iter().map(|a| a.duplicate).collect::<Vec<_>>(),
        [true, true, false]
    );
    service.stop().await;
    let service = Service::start(folder.path()).await;
    assert_eq!(service.of_type("AUDIT_TAIL_QUARANTINED").await.len(), 1, "told once");
    assert_eq!(
        reason(&service.append(request("drill:1", 0..4)).await.expect_err("complete")),
        "REQUEST_ID_REUSED"
    );
    assert!(
        service
            .append(request("drill:1", 0..3))
            .await
            .expect("known")
            .appended
            .iter()
            .all(|a| a.duplicate)
    );
    service.stop().await;
    verified(folder.path());
}

#[tokio::test]
async fn p6_a_report_that_a_crash_prevented_is_made_at_the_next_start() {
    let folder = tempfile::tempdir().expect("temp folder");
    let paths = LogPaths::in_data_dir(folder.path());
    std::fs::create_dir_all(&paths.quarantine).expect("folder");
    std::fs::write(paths.quarantine.join("seq-3-at-700-0123456789abcdef.part"), b"torn").expect("set aside");
    for _ in 0..2 {
        let service = Service::start(folder.path()).await;
        assert_eq!(service.of_type("AUDIT_TAIL_QUARANTINED").await.len(), 1);
        service.stop().await;
    }
}

async fn refused_start(data_dir: &Path) -> String {
    let config = config(data_dir);
    let listening = thunes_rpc::bind("audit", config.listen.clone(), false)
        .await
        .expect("bind");
    let ended = thunes_audit::serve(config, listening.listener, CancellationToken::new()).await;
    ended.expect_err("does not start").to_string()
}

#[tokio::test]
async fn p6_a_changed_log_is_not_served_and_not_touched() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    service.append(counted("risk", 1, 5)).await.expect("appended");
    service.stop().await;
    let good = std::fs::read(log_of(folder.path())).expect("log");
    let third: usize = lines(folder.path()).iter().take(2).map(|line| line.len() + 1).sum();
    let mut changed = good.clone();
    changed[third + 40] ^= 1;
    std::fs::write(log_of(folder.path()), &changed).expect("changed");
    let error = refused_start(folder.path()).await;
    for part in [
        log_of(folder.path()).display().to_string(),
        format!("byte {third}"),
        "sequence 3".into(),
    ] {
        assert!(error.contains(&part), "{part} in {error}");
    }
    assert_eq!(std::fs::read(log_of(folder.path())).expect("log"), changed);
    std::fs::write(log_of(folder.path()), &good[..good.len() - 1]).expect("cut");
    assert!(refused_start(folder.path()).await.contains("were durable"));
    std::fs::write(log_of(folder.path()), &good).expect("restored");
    Service::start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn p6_two_services_never_share_a_log() {
    let folder = tempfile::tempdir().expect("temp folder");
    let service = Service::start(folder.path()).await;
    let error = refused_start(folder.path()).await;
    assert!(error.contains("only one may write"), "{error}");
    service.append(counted("risk", 1, 1)).await.expect("the first goes on");
    service.stop().await;
}

#[tokio::test]
async fn p6_a_canary_that_breaks_one_checksum_is_located_and_its_healthy_twin_verifies() {
    for (failpoints, bad) in [("", None), ("audit.append.break_chain=break@2", Some(3))] {
        let folder = tempfile::tempdir().expect("temp folder");
        let dying = Dying::start(folder.path(), failpoints, None);
        for number in 1..=4 {
            append(&dying.api, counted("risk", number, number))
                .await
                .expect("appended");
        }
        drop(dying);
        let found = verify_file(&log_of(folder.path())).expect("readable").first_bad;
        assert_eq!(found.map(|bad| bad.seq), bad, "with {failpoints:?}");
    }
}

#[tokio::test]
async fn p6_a_full_disk_is_named_nothing_is_acknowledged_and_the_log_verifies() {
    let folder = tempfile::tempdir().expect("temp folder");
    // A file may not grow beyond 64 blocks of 512 bytes: a write fails after a part of it, as on a full disk.
    let dying = Dying::start(folder.path(), "", Some("trap '' XFSZ; ulimit -f 64"));
    let mut acknowledged = 0;
    let error = loop {
        let number = acknowledged + 1;
        let mut large = counted("risk", number, number);
        large.events[0].payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(3000));
        match append(&dying.api, large).await {
            Ok(_) => acknowledged = number,
            Err(error) => break error,
        }
    };
    assert_eq!(reason(&error), "STORAGE_FAILED", "{error}");
    assert!(
        error.message().contains("make room") && error.message().contains("audit_trail.jsonl"),
        "{error}"
    );
    assert!((1..1000).contains(&acknowledged));
    let ended = dying.end().expect("it ends by itself, with an error");
    assert!(ended.contains("make room"), "{ended}");
    assert_eq!(
        verified(folder.path()).last_seq,
        acknowledged + 1,
        "one line of the start and what was acknowledged"
    );
    // With room again, it goes on where it was.
    let service = Service::start(folder.path()).await;
    assert_eq!(service.status().await.quarantined_batches, 0);
    let query = QueryEventsRequest {
        event_types: vec!["ORDER_INTENT".into()],
        ..Default::default()
    };
    assert_eq!(service.query(query).await.0.len() as u64, acknowledged);
    service.stop().await;
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("temp folder");
    let file = folder.path().join("a-file");
    std::fs::File::create(&file)
        .and_then(|mut f| f.write_all(b"x"))
        .expect("file");
    let error = refused_start(&file).await;
    assert!(error.contains("a-file") && error.contains("check the disk"), "{error}");
}
