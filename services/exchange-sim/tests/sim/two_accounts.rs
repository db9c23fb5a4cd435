//! Accounts trade with each other, never with themselves, and see only what is theirs.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, still, with_other};

async fn balance(sim: &Sim, account: &str, asset: &str) -> Value {
    sim.ledger().await["balances"][account][asset].clone()
}

#[tokio::test]
async fn an_order_inside_the_spread_is_hit_by_the_other_account_at_its_own_price() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(with_other(still(dir.path()))).await;
    sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=60001")
        .await
        .ok();
    let sold = sim
        .signed_as_other(
            "POST",
            "/api/v3/order",
            "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.002",
        )
        .await
        .ok();
    let prices: Vec<&Value> = sold["fills"].as_array().unwrap().iter().map(|f| &f["price"]).collect();
    assert_eq!(prices, ["60001.00000000", "59997.00000000"]);
    let mine = sim.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT").await.ok();
    assert_eq!(
        (&mine[0]["id"], &mine[0]["isMaker"]),
        (&sold["fills"][0]["tradeId"], &json!(true))
    );
    assert_eq!(
        mine.as_array().unwrap().len(),
        1,
        "the other account's trades are not mine"
    );
    assert_eq!(
        balance(&sim, "main", "BTC").await,
        json!({ "free": "0.000999", "locked": "0" })
    );
    assert_eq!(
        balance(&sim, "main", "USDT").await,
        json!({ "free": "99939.999", "locked": "0" })
    );
    // 60.001 + 59.997 less a thousandth of each.
    assert_eq!(
        balance(&sim, "other", "USDT").await,
        json!({ "free": "100119.878002", "locked": "0" })
    );
    let theirs = format!("symbol=BTCUSDT&orderId={}", sold["orderId"]);
    assert_eq!(sim.signed("GET", "/api/v3/order", &theirs).await.code(), -2013);
    assert_eq!(sim.signed("DELETE", "/api/v3/order", &theirs).await.code(), -2011);
    sim.stop().await;
}

#[tokio::test]
async fn an_account_never_trades_with_itself() {
    for (mode, maker_ends, taker_status) in [
        ("EXPIRE_MAKER", true, "FILLED"),
        ("EXPIRE_TAKER", false, "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", true, "EXPIRED_IN_MATCH"),
    ] {
        let dir = TempDir::new().unwrap();
        let sim = Sim::start(still(dir.path())).await;
        sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01")
            .await
            .ok();
        sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=60001&newClientOrderId=m")
            .await
            .ok();
        let mut ws = sim.user_stream().await;
        let params = format!("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.002&selfTradePreventionMode={mode}");
        assert_eq!(sim.order(&params).await.ok()["status"], taker_status, "{mode}");
        let maker = sim
            .signed("GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=m")
            .await
            .ok();
        assert_eq!(maker["status"] == "EXPIRED_IN_MATCH", maker_ends, "{mode}");
        ws.event("executionReport").await;
        let prevented = ws.event("executionReport").await;
        assert_eq!(
            (&prevented["x"], &prevented["X"]),
            (&json!("TRADE_PREVENTION"), &json!("EXPIRED_IN_MATCH"))
        );
        let locked = if maker_ends { "0" } else { "60.001" };
        assert_eq!(balance(&sim, "main", "USDT").await["locked"], locked, "{mode}");
        sim.stop().await;
    }
}

#[tokio::test]
async fn events_go_to_their_own_account_only() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(with_other(still(dir.path()))).await;
    let mut ws = sim.user_stream().await;
    sim.signed_as_other(
        "POST",
        "/api/v3/order",
        "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.002",
    )
    .await
    .ok();
    sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=mine")
        .await
        .ok();
    assert_eq!(ws.next().await.unwrap()["event"]["c"], "mine");
    sim.stop().await;
}
