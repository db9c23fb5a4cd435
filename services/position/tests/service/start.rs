use std::path::Path;

use thunes_position::{PositionConfig, PositionError, serve};
use thunes_proto::types::v1::Side;
use thunes_runtime::Settings;
use tokio_util::sync::CancellationToken;

use crate::running::*;

async fn refused(data_dir: &Path) -> PositionError {
    let listening = thunes_rpc::bind("position", "127.0.0.1:0".parse().expect("an address"), false)
        .await
        .expect("a port");
    serve(config(data_dir), listening.listener, CancellationToken::new())
        .await
        .expect_err("must not start")
}

async fn filled(data_dir: &Path) {
    let mut service = Running::start(data_dir).await;
    let fills = [
        with_fee(fill(1, Side::Buy, "3", "100", "300"), "0.1", "BNB"),
        fill(2, Side::Sell, "1", "120", "120"),
    ];
    service.record(&fills).await.expect("recorded");
    service.stop().await;
}

#[tokio::test]
async fn p5_a_restart_keeps_the_book_and_its_revision() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let mut service = Running::start(dir.path()).await;
    let before = service.all_positions().await;
    assert_eq!((before.positions[0].quantity.as_str(), before.revision), ("2", 1));
    assert_eq!(service.daily("2025-11-24").await.realized, "20");
    service
        .record(&[fill(3, Side::Buy, "1", "100", "100")])
        .await
        .expect("recorded");
    service.stop().await;
    let mut service = Running::start(dir.path()).await;
    assert_eq!(service.all_positions().await.revision, 2);
    service.stop().await;
}

#[tokio::test]
async fn p5_a_stored_book_that_is_not_the_fold_of_its_fills_is_refused() {
    let damages: [(&'static str, &str, &str); 7] = [
        ("UPDATE book SET quantity = '2.5'", "2.5 BTC", "2 BTC"),
        ("UPDATE book SET cost = '201'", "201 USDT", "200 USDT"),
        ("DELETE FROM fills WHERE trade_id = 2", "2 BTC", "3 BTC"),
        ("UPDATE fills SET quantity = '2' WHERE trade_id = 2", "2 BTC", "1 BTC"),
        (
            "UPDATE book_days SET realized_pnl = '21'",
            "on 2025-11-24 realised 21",
            "on 2025-11-24 realised 20",
        ),
        ("UPDATE book_fees SET amount = '0.2'", "0.2 BNB", "0.1 BNB"),
        ("DELETE FROM fills", "2 BTC", "empty"),
    ];
    for (damage, stored, folded) in damages {
        let dir = tempfile::tempdir().expect("a folder");
        filled(dir.path()).await;
        let pool = pool(dir.path()).await;
        sqlx::query(damage).execute(&pool).await.expect(damage);
        pool.close().await;
        let text = refused(dir.path()).await.to_string();
        let path = database(dir.path()).display().to_string();
        for part in [path.as_str(), "BTCUSDT", stored, folded] {
            assert!(text.contains(part), "{damage}: {part:?} is missing in: {text}");
        }
    }
}

#[tokio::test]
async fn p5_unreadable_values_and_a_corrupt_file_are_refused_and_left_alone() {
    for damage in [
        "UPDATE fills SET price = 'x' WHERE trade_id = 1",
        "UPDATE book SET quantity = '1e3'",
        "UPDATE fills SET source = 'GUESS'",
        "DELETE FROM book",
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        filled(dir.path()).await;
        let pool = pool(dir.path()).await;
        sqlx::query(damage).execute(&pool).await.expect(damage);
        pool.close().await;
        let text = refused(dir.path()).await.to_string();
        assert!(
            text.contains(&database(dir.path()).display().to_string()),
            "{damage}: {text}"
        );
    }
    let dir = tempfile::tempdir().expect("a folder");
    let garbage = vec![b'x'; 8192];
    std::fs::write(database(dir.path()), &garbage).expect("writes");
    let text = refused(dir.path()).await.to_string();
    assert!(text.contains("damaged") && text.contains("position.db"), "{text}");
    assert_eq!(
        std::fs::read(database(dir.path())).expect("reads"),
        garbage,
        "the evidence is kept"
    );
}

#[test]
fn settings_name_every_mistake_at_once() {
    let settings = Settings::from_toml(
        "[position]\nlisten = \"here\"\nplaintext = \"maybe\"\npnl_asset = \"us dollar\"\naudit_url = \"audit\"\ntypo = 1\n",
    )
    .expect("toml");
    let text = PositionConfig::read(&settings).expect_err("five mistakes").to_string();
    for key in ["listen", "plaintext", "pnl_asset", "audit_url", "typo"] {
        assert!(text.contains(&format!("position.{key}")), "{key}: {text}");
    }
    let (config, docs) = PositionConfig::read(&Settings::default()).expect("the defaults");
    assert_eq!(config.listen.port(), 7102);
    assert!(
        docs.iter()
            .all(|doc| doc.key.starts_with("position.") && !doc.doc.is_empty())
    );
}
