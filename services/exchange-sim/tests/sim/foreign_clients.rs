//! Clients that we did not write, unpatched except for their base URLs. They run where an interpreter that has them is
//! named; where `THUNES_REQUIRE` names `python`, a missing one fails.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::client::{EdKey, Sim, still, with_ed25519};
use thunes_exchange_sim::SimConfig;

async fn drive(interpreter_variable: &str, script: &str) {
    let Ok(python) = std::env::var(interpreter_variable) else {
        let required = std::env::var("THUNES_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|part| part.trim() == "python"),
            "{interpreter_variable} is not set"
        );
        println!("skipped: {interpreter_variable} names no interpreter");
        return;
    };
    let dir = TempDir::new().unwrap();
    let pem = dir.path().join("ed25519.pem");
    std::fs::write(&pem, EdKey::new().private_pem()).unwrap();
    let config = SimConfig {
        price_tick_ms: 200,
        ..with_ed25519(still(&dir.path().join("data")))
    };
    let sim = Sim::start(config).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = Command::new(python)
        .arg(path)
        .args([sim.rest.to_string(), sim.admin.to_string()])
        .arg(&pem)
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.contains(": ok"),
        "{script}: {out}\n{err}"
    );
    sim.stop().await;
}

#[tokio::test]
async fn python_binance_drives_it() {
    drive("THUNES_PYTHON_BINANCE", "drive_python_binance.py").await;
}

#[tokio::test]
async fn ccxt_drives_it() {
    drive("THUNES_PYTHON_BINANCE", "drive_ccxt.py").await;
}

#[tokio::test]
async fn the_exchanges_own_sdk_drives_it() {
    drive("THUNES_PYTHON_BINANCE_SDK", "drive_binance_sdk.py").await;
}
