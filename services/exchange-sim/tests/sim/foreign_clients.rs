//! Clients that we did not write, unpatched except for their base URLs. They run where an interpreter that has them is
//! named; where `THUNES_REQUIRE` names `python`, a missing one fails.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::client::{EdKey, Sim, still, with_ed25519};
use thunes_exchange_sim::{CommissionIn, SimConfig};

async fn drive(interpreter_variable: &str, script: &str) {
    drive_with(interpreter_variable, script, &[], |_| ()).await;
}

/// Runs a script against an exchange of its own, with more arguments and another configuration.
async fn drive_with(interpreter_variable: &str, script: &str, arguments: &[&str], change: impl FnOnce(&mut SimConfig)) {
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
    let mut config = SimConfig {
        price_tick_ms: 200,
        ..with_ed25519(still(&dir.path().join("data")))
    };
    change(&mut config);
    let sim = Sim::start(config).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = Command::new(python)
        .arg(path)
        .args([sim.rest.to_string(), sim.admin.to_string()])
        .arg(&pem)
        .args(arguments)
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
        "{script} {arguments:?}: {out}\n{err}"
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

#[tokio::test]
async fn every_documented_refusal_reaches_a_client_with_its_status_code_and_message() {
    drive_with("THUNES_PYTHON_BINANCE", "drive_errors.py", &[], |config| {
        config.orders_per_10s = 30;
        // Prices stand still, so that an order that is refused today is refused tomorrow.
        config.price_tick_ms = 0;
    })
    .await;
}

#[tokio::test]
async fn p8_account_stream_and_ledger_hold_what_exact_fractions_add_up_to() {
    for (paid_in, word) in [
        (CommissionIn::Received, "received"),
        (CommissionIn::Quote, "quote"),
        (CommissionIn::Bnb, "bnb"),
    ] {
        drive_with("THUNES_PYTHON_BINANCE", "drive_exact.py", &[word], |config| {
            config.commission_in = paid_in;
            let bnb = "0.5".parse().expect("a decimal");
            config.accounts[0].balances.insert("BNB".to_owned(), bnb);
        })
        .await;
    }
}
