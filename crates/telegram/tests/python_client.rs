//! The stand-in against a bot library that we did not write (PyPI: python-telegram-bot).
//!
//! `THUNES_PYTHON` names the interpreter (default `python3`). Without the library the test is skipped, unless
//! `THUNES_REQUIRE` names `python`: then it fails.

use std::path::Path;

use thunes_telegram::serve_standin;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn python_telegram_bot_accepts_the_standin() {
    let python = std::env::var("THUNES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let required = std::env::var("THUNES_REQUIRE").is_ok_and(|parts| parts.split(',').any(|p| p.trim() == "python"));
    let probe = Command::new(&python).args(["-c", "import telegram.ext"]).output().await;
    if !probe.is_ok_and(|output| output.status.success()) {
        assert!(
            !required,
            "THUNES_REQUIRE names python, but {python} cannot import telegram: pip install python-telegram-bot"
        );
        println!("skipped: {python} cannot import telegram");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve_standin(listener, shutdown.clone()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/telegram_bot.py");
    let output = Command::new(&python)
        .arg(script)
        .arg(&url)
        .output()
        .await
        .expect("python runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.trim_end().ends_with("ok"), "{out}");
    shutdown.cancel();
    server.await.expect("no panic").expect("no error");
}
