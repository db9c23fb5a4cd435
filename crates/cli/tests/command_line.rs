//! The command line as a process, where no service is needed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn thunes(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunes"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THUNES_")) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn run(args: &[&str]) -> Output {
    thunes(tempfile::tempdir().expect("folder").path(), args)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(
        output.status.code(),
        Some(code),
        "standard output:\n{out}\nstandard error:\n{err}"
    );
    assert!(!err.contains("panicked"), "{err}");
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    format!("http://{}", listener.local_addr().expect("address"))
}

#[test]
fn help_names_every_command() {
    let output = run(&["--help"]);
    assert_exit(&output, 0);
    let commands = [
        "serve",
        "up",
        "trade",
        "kill-switch",
        "risk",
        "positions",
        "orders",
        "order",
        "cancel-all",
        "account",
        "audit",
        "reconcile",
        "drill",
        "health",
        "config",
    ];
    for command in commands {
        assert!(
            stdout(&output).contains(&format!("\n  {command} ")),
            "{command} is missing:\n{}",
            stdout(&output)
        );
        assert_exit(&run(&[command, "--help"]), 0);
    }
}

/// Answers one HTTP request with `status`; gives the address.
fn answers_once(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("address").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).expect("a request");
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").expect("answered");
    });
    address
}

#[test]
fn health_exits_with_0_only_when_the_answer_is_ready() {
    let ready = run(&["health", "--http", &format!("{}/admin/health", answers_once("200 OK"))]);
    assert_exit(&ready, 0);
    assert!(
        stdout(&ready).ends_with("/admin/health is healthy\n"),
        "{}",
        stdout(&ready)
    );

    let nobody = nobody().replace("http://", "");
    let busy = format!("{}/health", answers_once("503 Service Unavailable"));
    let page = format!("{nobody}/health");
    let cases: [(&[&str], &str); 4] = [
        (&["--http", &busy], "503 Service Unavailable"),
        (&["--http", &page], "refused"),
        (&["--grpc", &nobody], "does not take connections"),
        (&["--unix", "no-such.sock"], "no-such.sock"),
    ];
    for (args, why) in cases {
        let output = run(&[&["health"], args].concat());
        assert_exit(&output, 1);
        let error = stderr(&output);
        assert!(
            error.contains("is not healthy") && error.contains(why),
            "{args:?}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "a health log has room for one line: {error}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    let wrong: &[(&[&str], &str)] = &[
        (&["health"], "--grpc <HOST:PORT>"),
        (&["health", "--grpc", "here"], "an address or name and a port"),
        (&["health", "--grpc", "a:1", "--unix", "b"], "cannot be used with"),
        (&["health", "--http", "http://a:1/b"], "without http:// before it"),
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand"),
        (&["serve", "riks"], "exchange-gateway"),
        (&["serve", "risk", "--listen", "here"], "--listen"),
        (&["trade", "--symbol", "BTCUSDT", "--side", "BUY"], "--amount"),
        (&["trade", "--side", "BUY", "--amount", "1"], "--symbol"),
        (
            &["trade", "--symbol", "BTCUSDT", "--side", "HOLD", "--amount", "1"],
            "BUY, SELL",
        ),
        (
            &[
                "trade",
                "--symbol",
                "B",
                "--side",
                "BUY",
                "--amount",
                "1",
                "--quantity",
                "1",
            ],
            "cannot be used with",
        ),
        (
            &[
                "trade",
                "--symbol",
                "B",
                "--side",
                "BUY",
                "--amount",
                "1",
                "--time-in-force",
                "GTC",
            ],
            "--limit-price",
        ),
        (&["trade", "loop", "--amount", "-1"], "greater than 0"),
        (&["trade", "loop", "--concurrency", "0"], "1..=256"),
        (&["kill-switch", "activate"], "--reason"),
        (&["kill-switch", "deactivate"], "--reason"),
        (&["risk", "limits", "set", "--reason", "r"], "at least one limit"),
        (&["orders", "--state", "GONE"], "IN_DOUBT"),
        (&["audit", "query", "--from", "yesterday"], "2026-11-24T06:00:00Z"),
        (&["drill", "run", "--target", "nowhere"], "http://"),
        (
            &["kill-switch", "status", "--risk-url", "no address"],
            "is not an address",
        ),
    ];
    for (args, says) in wrong {
        let output = run(args);
        assert_exit(&output, 2);
        let said = stderr(&output);
        assert!(said.contains(says), "{args:?} should say {says:?}:\n{said}");
    }
}

#[test]
fn sides_are_read_in_either_case() {
    let output = run(&[
        "trade",
        "--symbol",
        "BTCUSDT",
        "--side",
        "buy",
        "--amount",
        "1",
        "--gateway-url",
        &nobody(),
    ]);
    assert_exit(&output, 1);
}

#[test]
fn a_service_that_is_down_is_named_with_what_to_do_next() {
    let url = nobody();
    let calls: &[&[&str]] = &[
        &["kill-switch", "status", "--risk-url", &url],
        &["kill-switch", "activate", "--reason", "r", "--risk-url", &url],
        &[
            "risk",
            "validate",
            "--symbol",
            "BTCUSDT",
            "--side",
            "BUY",
            "--amount",
            "100",
            "--risk-url",
            &url,
        ],
        &["positions", "--position-url", &url],
        &["audit", "tail", "--audit-url", &url],
        &["orders", "--gateway-url", &url],
        &["account", "--gateway-url", &url],
        &["cancel-all", "--reason", "r", "--gateway-url", &url],
        &[
            "trade",
            "--symbol",
            "BTCUSDT",
            "--side",
            "BUY",
            "--amount",
            "100",
            "--gateway-url",
            &url,
        ],
        &["drill", "list", "--target", &url],
    ];
    for args in calls {
        let output = run(args);
        assert_exit(&output, 1);
        let said = stderr(&output);
        assert!(said.contains(&format!("does not answer at {url}")), "{args:?}:\n{said}");
        assert!(
            said.contains("next:") && said.contains("thunes up"),
            "{args:?}:\n{said}"
        );
    }
}

#[test]
fn with_json_errors_are_json_and_standard_output_stays_empty() {
    let url = nobody();
    let output = run(&["kill-switch", "activate", "--reason", "r", "--json", "--risk-url", &url]);
    assert_exit(&output, 1);
    assert_eq!(stdout(&output), "", "no half of an answer for a program to read");
    let said: serde_json::Value = serde_json::from_str(&stderr(&output)).expect("JSON");
    assert!(
        said["error"]["message"].as_str().expect("message").contains(&url),
        "{said}"
    );
    assert!(said["error"]["next"].is_string(), "{said}");
}

#[test]
fn a_reconciliation_that_could_not_compare_is_undetermined_not_clean_and_not_discrepancies() {
    let output = run(&["reconcile", "--gateway-url", &nobody()]);
    assert_exit(&output, 2);
    assert!(
        stderr(&output).contains("nothing could be compared"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_data_folder_without_a_running_environment_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let output = thunes(folder.path(), &["positions", "--data-dir", "nothing-here"]);
    assert_exit(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("no environment runs in nothing-here"), "{said}");
    assert!(said.contains("thunes up --data-dir nothing-here"), "{said}");
}

#[test]
fn an_environment_that_was_killed_is_not_taken_for_a_running_one() {
    let folder = tempfile::tempdir().expect("folder");
    let mut gone = Command::new("true").spawn().expect("started");
    gone.wait().expect("ended");
    let text = format!(
        "{{\"schema_version\":1,\"pid\":{},\"data_dir\":\"left\",\"seed\":1,\"started_at_ms\":0,\"services\":{{}}}}",
        gone.id()
    );
    std::fs::create_dir_all(folder.path().join("left/run")).expect("folder");
    std::fs::write(folder.path().join("left/run/endpoints.json"), text).expect("written");
    let output = thunes(folder.path(), &["positions", "--data-dir", "left"]);
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains("thunes up --data-dir left"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn every_mistake_of_a_settings_file_is_named_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let text = "[risk]\nlisten = \"here\"\nlease_ms = 1\ntypo = 1\n[risk.limits]\ndaily_loss_max = \"-5\"\n\
                [position]\nplaintext = \"perhaps\"\n[gateway.exchange]\nbase_url = \"https://api.binance.com\"\n";
    std::fs::write(folder.path().join("thunes.toml"), text).expect("written");
    let keys_of_risk = [
        "risk.listen",
        "risk.lease_ms",
        "risk.typo",
        "risk.limits.daily_loss_max",
    ];
    let serve = thunes(folder.path(), &["serve", "risk", "--config", "thunes.toml"]);
    assert_exit(&serve, 2);
    for key in keys_of_risk {
        assert!(stderr(&serve).contains(key), "{key} is missing:\n{}", stderr(&serve));
    }
    assert!(stderr(&serve).contains("thunes.toml"), "the file is named");

    let up: &[&str] = &["up", "--config", "thunes.toml"];
    for args in [up, &["config", "check", "--config", "thunes.toml"]] {
        let output = thunes(folder.path(), args);
        assert_exit(&output, 2);
        for key in keys_of_risk
            .iter()
            .chain(&["position.plaintext", "gateway.exchange.base_url"])
        {
            assert!(stderr(&output).contains(key), "{key} is missing:\n{}", stderr(&output));
        }
    }
    assert!(!folder.path().join("thunes-data").exists(), "nothing was started");
}

#[test]
fn a_settings_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let output = thunes(folder.path(), &["serve", "risk", "--config", "missing.toml"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("missing.toml"), "{}", stderr(&output));
    std::fs::write(folder.path().join("broken.toml"), "[risk\n").expect("written");
    let output = thunes(folder.path(), &["serve", "risk", "--config", "broken.toml"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("broken.toml"), "{}", stderr(&output));
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = holder.local_addr().expect("address").to_string();
    let output = run(&["serve", "audit", "--listen", &address, "--data-dir", "data"]);
    assert_exit(&output, 1);
    let said = stderr(&output);
    assert!(
        said.contains(&address) && said.contains("choose another port"),
        "{said}"
    );
}

#[test]
fn an_address_for_everybody_needs_a_second_word() {
    let output = run(&["serve", "audit", "--listen", "0.0.0.0:0", "--data-dir", "data"]);
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains("audit.plaintext = true"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_audit_trail_is_verified_without_any_service() {
    let folder = tempfile::tempdir().expect("folder");
    let output = thunes(folder.path(), &["audit", "verify"]);
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains("thunes-data/logs/audit_trail.jsonl"),
        "{}",
        stderr(&output)
    );

    std::fs::write(folder.path().join("trail.jsonl"), "{\"seq\":1}\n").expect("written");
    let output = thunes(folder.path(), &["audit", "verify", "trail.jsonl"]);
    assert_exit(&output, 1);
    assert!(
        stdout(&output).contains("Line 1 (sequence 1, byte 0) is corrupt"),
        "{}",
        stdout(&output)
    );
    let output = thunes(folder.path(), &["audit", "verify", "trail.jsonl", "--json"]);
    assert_exit(&output, 1);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&said["valid"], &said["first_bad"]["line_number"]),
        (&false.into(), &1.into()),
        "{said}"
    );
}

#[test]
fn a_process_whose_supervisor_is_gone_does_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let mut gone = Command::new("true").spawn().expect("started");
    gone.wait().expect("ended");
    let output = Command::new(env!("CARGO_BIN_EXE_thunes"))
        .args(["serve", "audit", "--listen", "127.0.0.1:0", "--data-dir", "data"])
        .env("THUNES_PARENT_PID", gone.id().to_string())
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    assert!(!folder.path().join("data").exists(), "it touched nothing");
}

#[test]
fn an_unknown_drill_is_wrong_usage() {
    let output = run(&["drill", "run", "T99"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("T99"), "{}", stderr(&output));
}

#[test]
fn the_reference_lists_the_settings_of_every_service() {
    let output = run(&["config", "reference"]);
    assert_exit(&output, 0);
    let text = stdout(&output);
    for key in [
        "`risk.limits.order_notional_max`",
        "`gateway.exchange.base_url`",
        "`audit.listen`",
        "`sim.seed`",
    ] {
        assert!(text.contains(key), "{key} is missing");
    }
    // The page in docs is this very output.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFIGURATION.md");
    let kept = std::fs::read_to_string(&page).expect("docs/CONFIGURATION.md");
    assert!(
        kept == text,
        "docs/CONFIGURATION.md is not what `thunes config reference` prints; print it anew"
    );
}
