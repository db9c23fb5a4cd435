//! The drills on containers: by the command line from the host, by RPC to the orchestrator inside, and with the
//! orchestrator itself killed in the middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use thunes_proto::drill::v1::drill_service_client::DrillServiceClient;
use thunes_proto::drill::v1::*;
use thunes_rpc::{Client, deadline};
use thunes_testkit::{Said, book_net, ledger_net, until_ok};
use thunes_types::Decimal;
use tokio::process::Command;

use crate::docker::{docker, finish};
use crate::environment::{Compose, Turn};
use crate::operation::wait_open;

/// Nine drills, one of which lasts a minute.
const ALL_WITHIN: Duration = Duration::from_secs(420);
const FORM_WITHIN: Duration = Duration::from_secs(240);
const ROLLED_BACK_WITHIN: Duration = Duration::from_secs(120);

async fn thunes(args: &[&str], env: &[(&str, &str)], within: Duration) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunes"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNES_")) {
        command.env_remove(name);
    }
    command
        .env_remove("COMPOSE_PROJECT_NAME")
        .args(args)
        .envs(env.iter().copied());
    finish(command, within).await
}

fn orchestrator(compose: &Compose) -> DrillServiceClient<Client> {
    let url = format!("http://{}", compose.address("THUNES_DRILL_PORT"));
    DrillServiceClient::new(thunes_rpc::connect(&url).expect("an address"))
}

async fn run_of(client: &mut DrillServiceClient<Client>, run_id: &str) -> Result<DrillRun, String> {
    let request = deadline(
        GetDrillRunRequest {
            run_id: run_id.to_owned(),
        },
        Duration::from_secs(5),
    );
    let answer = client
        .get_drill_run(request)
        .await
        .map_err(|status| status.to_string())?;
    answer.into_inner().run.ok_or_else(|| "no run in the answer".to_owned())
}

async fn start(client: &mut DrillServiceClient<Client>, ids: &[&str]) -> String {
    let request = RunDrillRequest {
        drill_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        reason: "test".to_owned(),
        request_id: String::new(),
        seed: 3,
    };
    let started = client.run_drill(deadline(request, Duration::from_secs(30))).await;
    started.expect("the run starts").into_inner().run_id
}

async fn ended(client: &mut DrillServiceClient<Client>, run_id: &str, within: Duration) -> DrillRun {
    let mut run = None;
    until_ok("the run to end", within, async || {
        let seen = run_of(client, run_id).await?;
        if seen.state() == RunState::Ended {
            run = Some(seen);
            return Ok(());
        }
        Err(format!("{:?}", seen.state()))
    })
    .await;
    run.expect("ended")
}

fn open_criteria(report: &Value) -> Vec<String> {
    let drills = report["drills"].as_array().expect("drills");
    let criteria = drills
        .iter()
        .flat_map(|drill| drill["criteria"].as_array().expect("criteria"));
    let open = criteria.filter(|criterion| criterion["verdict"] != "PASS");
    open.map(|criterion| criterion.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_drill_passes_on_containers_from_the_host_and_the_forms_four_by_rpc_too() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    wait_open(&compose.calls()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("report").display().to_string();
    let args = [
        "drill",
        "run",
        "--all",
        "--target",
        "docker",
        "--project",
        &compose.project,
        "--out",
        &out,
    ];
    let said = thunes(&args, &[], ALL_WITHIN).await;
    println!("{}{}", said.out, said.err);
    let report = read_report(folder.path());
    assert_eq!(open_criteria(&report), Vec::<String>::new());
    assert_eq!((report["verdict"].as_str(), said.exit), (Some("PASS"), Some(0)));
    assert_eq!(report["environment"]["target"], "docker");
    let ids: Vec<_> = report["drills"]
        .as_array()
        .expect("drills")
        .iter()
        .map(|d| d["id"].clone())
        .collect();
    assert_eq!(ids, ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9"]);
    for drill in report["drills"].as_array().expect("drills") {
        println!("{} on containers: {} ms", drill["id"], drill["duration_ms"]);
    }
    for measured in report["measurements"].as_array().expect("measurements") {
        println!("{} = {} {}", measured["name"], measured["value"], measured["unit"]);
    }

    let mut client = orchestrator(&compose);
    let run_id = start(&mut client, &[]).await;
    let run = ended(&mut client, &run_id, FORM_WITHIN).await;
    let verdicts: Vec<_> = run
        .drills
        .iter()
        .map(|drill| (drill.id.clone(), drill.verdict()))
        .collect();
    assert_eq!(run.verdict(), Verdict::Pass, "{run:#?}");
    assert_eq!(verdicts.len(), 4, "{verdicts:?}");
}

fn read_report(folder: &Path) -> Value {
    let path = folder.join("report").join("report.json");
    let text = std::fs::read_to_string(&path).expect("a report");
    for name in ["report.html", "report.md"] {
        assert!(folder.join("report").join(name).exists(), "{name}");
    }
    serde_json::from_str(&text).expect("JSON")
}

/// The names by which a service is found on each of its networks.
async fn networks(compose: &Compose, service: &str) -> BTreeMap<String, Vec<String>> {
    let container = compose.containers().await[service].clone();
    let networks = container["NetworkSettings"]["Networks"]
        .as_object()
        .expect("networks")
        .clone();
    let aliases = |network: &Value| {
        let names = network["Aliases"].as_array().into_iter().flatten();
        let mut names: Vec<String> = names.map(|name| name.as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    };
    networks
        .iter()
        .map(|(name, network)| (name.clone(), aliases(network)))
        .collect()
}

/// Kills the orchestrator in the middle of `drill`, when `reached`, and starts it again; returns the run as it ended then.
async fn killed_in(compose: &Compose, drill: &str, reached: impl AsyncFnMut() -> Result<(), String>) -> DrillRun {
    let mut client = orchestrator(compose);
    let run_id = start(&mut client, &[drill]).await;
    until_ok("the drill to be in its middle", Duration::from_secs(60), reached).await;
    let id = compose.containers().await["drill-orchestrator"]["Id"]
        .as_str()
        .expect("an id")
        .to_owned();
    docker(&["kill", "--signal", "KILL", &id]).await;
    docker(&["start", &id]).await;
    let run = ended(&mut client, &run_id, ROLLED_BACK_WITHIN).await;
    assert_eq!(run.verdict(), Verdict::Aborted, "{run:#?}");
    let request = GetDrillReportRequest {
        run_id,
        format: ReportFormat::Json.into(),
    };
    let report = client.get_drill_report(deadline(request, Duration::from_secs(5))).await;
    let report: Value = serde_json::from_str(&report.expect("a report").into_inner().content).expect("JSON");
    assert_eq!(report["rollback"]["outcome"], "DONE", "{}", report["rollback"]);
    run
}

async fn is_cut_off(compose: &Compose, service: &str) -> Result<(), String> {
    match networks(compose, service).await {
        now if now.is_empty() => Ok(()),
        now => Err(format!("{service} is on {now:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_an_orchestrator_that_is_killed_in_a_drill_puts_everything_back_when_it_is_back() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let calls = compose.calls();
    wait_open(&calls).await;
    let before = networks(&compose, "audit").await;
    let run = killed_in(&compose, "T7", async || is_cut_off(&compose, "audit").await).await;
    assert_eq!(networks(&compose, "audit").await, before, "{}", run.note);
    compose.wait_healthy().await;
    wait_open(&calls).await;
    assert!(!calls.risk_status().await.expect("answers").kill_switch_active);

    // Fills that position does not have yet: who trades back by such a book sells what was sold already.
    let (book, held) = (
        networks(&compose, "position").await,
        book_net(&calls).await.expect("answers"),
    );
    let run = killed_in(&compose, "T8", async || {
        is_cut_off(&compose, "position").await?;
        let status = calls.gateway_status().await.map_err(|status| status.to_string())?;
        match status.fills_undelivered {
            0..3 => Err(format!("{} fills wait", status.fills_undelivered)),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(networks(&compose, "position").await, book, "{}", run.note);
    wait_open(&calls).await;
    let now = book_net(&calls).await.expect("answers");
    assert_eq!(
        now,
        ledger_net(&compose.sim().ledger().await),
        "the book is what the exchange says"
    );
    let net = |book: &BTreeMap<String, Decimal>| book.get("BTCUSDT").copied().unwrap_or_default();
    let dust = Decimal::new(1, 5);
    assert!((net(&now) - net(&held)).abs() < dust, "{held:?} became {now:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_of_a_drill_on_containers_is_said_with_its_remedy() {
    let Some(_turn) = Turn::wait().await else { return };
    let within = Duration::from_secs(30);
    let cases = [
        (
            vec!["--project", "thunes-nobody"],
            vec![],
            "docker-compose -p thunes-nobody up -d",
        ),
        (vec!["--project", "No Such"], vec![], "--project"),
        (
            vec![],
            vec![("DOCKER_HOST", "unix:///nowhere/docker.sock")],
            "no Docker",
        ),
    ];
    for (more, env, wanted) in cases {
        let args = [&["drill", "run", "T1", "--target", "docker"], more.as_slice()].concat();
        let said = thunes(&args, &env, within).await;
        assert_eq!(said.exit, Some(2), "{}{}", said.out, said.err);
        assert!(said.err.contains(wanted), "{wanted:?} is not in {:?}", said.err);
    }
}
