//! Order types, matching, cancels, queries.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, still};

const RESTING_BUY: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59000";

#[tokio::test]
async fn a_market_order_fills_at_once_in_several_fills_when_the_first_level_is_too_small() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let order = sim
        .order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.5&newClientOrderId=big")
        .await
        .ok();
    assert_eq!(
        (&order["status"], &order["executedQty"]),
        (&json!("FILLED"), &json!("0.50000000"))
    );
    let fills = order["fills"].as_array().unwrap();
    assert!(
        fills.len() > 1 && fills.iter().all(|fill| fill["commissionAsset"] == "BTC"),
        "{fills:?}"
    );
    let trades = sim.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT").await.ok();
    assert_eq!(trades.as_array().unwrap().len(), fills.len());
    let ids: Vec<u64> = trades
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["id"].as_u64().unwrap())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let from = sim
        .signed(
            "GET",
            "/api/v3/myTrades",
            &format!("symbol=BTCUSDT&fromId={}&limit=1", ids[1]),
        )
        .await
        .ok();
    assert_eq!(from[0]["id"], ids[1]);
    let queried = sim
        .signed("GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=big")
        .await
        .ok();
    assert_eq!(queried["cummulativeQuoteQty"], order["cummulativeQuoteQty"]);
    let sold = sim
        .order("symbol=BTCUSDT&side=SELL&type=MARKET&quoteOrderQty=100&newOrderRespType=RESULT")
        .await
        .ok();
    let quote: f64 = sold["cummulativeQuoteQty"].as_str().unwrap().parse().unwrap();
    assert!(quote > 98.0 && quote <= 100.0 && sold.get("fills").is_none(), "{sold}");
    let ack = sim
        .order("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.001&newOrderRespType=ACK")
        .await
        .ok();
    assert_eq!(ack.as_object().unwrap().len(), 5);
    sim.stop().await;
}

#[tokio::test]
async fn a_resting_order_fills_when_the_price_crosses_it_and_in_price_then_time_priority() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    for (id, price) in [
        ("late-best", "59500"),
        ("first", "59000"),
        ("second", "59000"),
        ("far", "50000"),
    ] {
        let params = format!(
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price={price}&newClientOrderId={id}"
        );
        assert_eq!(sim.order(&params).await.ok()["status"], "NEW");
    }
    assert_eq!(
        sim.signed("GET", "/api/v3/openOrders", "")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        4
    );
    sim.price("BTCUSDT", "58900").await;
    let ledger = sim.ledger().await;
    let filled: Vec<&str> = ledger["fills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["client_order_id"].as_str().unwrap())
        .collect();
    assert_eq!(filled.len(), 3);
    let by_trade = {
        let mut fills: Vec<&Value> = ledger["fills"].as_array().unwrap().iter().collect();
        fills.sort_by_key(|f| f["trade_id"].as_u64());
        fills
            .iter()
            .map(|f| f["client_order_id"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(by_trade, ["late-best", "first", "second"]);
    assert!(
        ledger["fills"]
            .as_array()
            .unwrap()
            .iter()
            .all(|f| f["is_maker"] == true)
    );
    let open = sim.signed("GET", "/api/v3/openOrders", "symbol=BTCUSDT").await.ok();
    assert_eq!(
        (open.as_array().unwrap().len(), &open[0]["clientOrderId"]),
        (1, &json!("far"))
    );
    sim.stop().await;
}

#[tokio::test]
async fn ioc_expires_its_rest_fok_fills_whole_or_not_and_a_maker_only_rests() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let ioc = sim
        .order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=1&price=60003")
        .await
        .ok();
    assert_eq!(ioc["status"], "EXPIRED");
    assert!(
        ioc["executedQty"] != "0.00000000" && ioc["executedQty"] != "1.00000000",
        "{ioc}"
    );
    let fok = sim
        .order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=FOK&quantity=1&price=60004")
        .await
        .ok();
    assert_eq!(
        (&fok["status"], &fok["executedQty"]),
        (&json!("EXPIRED"), &json!("0.00000000"))
    );
    let fok = sim
        .order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=FOK&quantity=0.1&price=61000")
        .await
        .ok();
    assert_eq!(fok["status"], "FILLED");
    let maker = sim
        .order("symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=0.01&price=59000")
        .await
        .ok();
    assert_eq!(maker.as_object().unwrap().len(), 5, "LIMIT_MAKER defaults to ACK");
    let account = sim.signed("GET", "/api/v3/account", "omitZeroBalances=true").await.ok();
    let usdt = account["balances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["asset"] == "USDT")
        .unwrap();
    assert_eq!(
        usdt["locked"], "590.00000000",
        "only the maker order may still bind funds"
    );
    sim.stop().await;
}

#[tokio::test]
async fn p5_a_client_id_is_unique_among_open_orders_only() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let with_id = format!("{RESTING_BUY}&newClientOrderId=same");
    let first = sim.order(&with_id).await.ok();
    let refused = sim.order(&with_id).await;
    assert_eq!(
        (refused.code(), refused.body["msg"].as_str()),
        (-2010, Some("Duplicate order sent."))
    );
    let market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=same";
    assert_eq!(sim.order(market).await.code(), -2010);
    let canceled = sim
        .signed("DELETE", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=same")
        .await
        .ok();
    assert_eq!(
        (&canceled["status"], &canceled["origClientOrderId"]),
        (&json!("CANCELED"), &json!("same"))
    );
    // Now the id is free, and a blind retry of a market order fills twice: that is the exchange's rule.
    sim.order(market).await.ok();
    sim.order(market).await.ok();
    let latest = sim
        .signed("GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=same")
        .await
        .ok();
    assert!(latest["orderId"].as_u64() > first["orderId"].as_u64());
    let both = format!("symbol=BTCUSDT&origClientOrderId=other&orderId={}", first["orderId"]);
    assert_eq!(
        sim.signed("GET", "/api/v3/order", &both).await.code(),
        -2013,
        "id and client id must both fit"
    );
    sim.stop().await;
}

#[tokio::test]
async fn cancel_all_is_per_symbol_and_gives_every_lock_back() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    for _ in 0..3 {
        sim.order(RESTING_BUY).await.ok();
    }
    sim.order("symbol=ETHUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=2500")
        .await
        .ok();
    let canceled = sim.signed("DELETE", "/api/v3/openOrders", "symbol=BTCUSDT").await.ok();
    assert_eq!(canceled.as_array().unwrap().len(), 3);
    assert_eq!(
        sim.signed("GET", "/api/v3/openOrders", "")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let ledger = sim.ledger().await;
    let free: f64 = ledger["balances"]["main"]["USDT"]["free"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((free - 99_750.0).abs() < 1e-9, "{free}");
    let all = sim
        .signed("GET", "/api/v3/allOrders", "symbol=BTCUSDT&limit=2")
        .await
        .ok();
    let ids: Vec<u64> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["orderId"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [2, 3], "the latest two, oldest first");
    let from = sim
        .signed("GET", "/api/v3/allOrders", "symbol=BTCUSDT&orderId=1&limit=2")
        .await
        .ok();
    assert_eq!(from[0]["orderId"], 1);
    sim.stop().await;
}

#[tokio::test]
async fn order_test_checks_but_sends_nothing() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    assert_eq!(
        sim.signed("POST", "/api/v3/order/test", RESTING_BUY).await.ok(),
        json!({})
    );
    let bad = RESTING_BUY.replace("59000", "59000.001");
    assert_eq!(sim.signed("POST", "/api/v3/order/test", &bad).await.code(), -1013);
    assert_eq!(sim.ledger().await["orders"], json!([]));
    sim.stop().await;
}

#[tokio::test]
async fn a_stop_waits_until_the_price_reaches_it() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01")
        .await
        .ok();
    let immediately = sim
        .order("symbol=BTCUSDT&side=SELL&type=STOP_LOSS&quantity=0.001&stopPrice=61000")
        .await;
    assert_eq!(immediately.code(), -2010);
    sim.order("symbol=BTCUSDT&side=SELL&type=STOP_LOSS&quantity=0.001&stopPrice=59000&newClientOrderId=sl")
        .await
        .ok();
    let params = "symbol=BTCUSDT&side=SELL&type=TAKE_PROFIT_LIMIT&timeInForce=GTC&quantity=0.001&stopPrice=61000&price=62000&newClientOrderId=tp";
    sim.order(params).await.ok();
    let query = |id: &'static str| {
        let sim = &sim;
        async move {
            sim.signed(
                "GET",
                "/api/v3/order",
                &format!("symbol=BTCUSDT&origClientOrderId={id}"),
            )
            .await
            .ok()
        }
    };
    assert_eq!(query("sl").await["isWorking"], false);
    sim.price("BTCUSDT", "61500").await;
    let tp = query("tp").await;
    assert_eq!((&tp["isWorking"], &tp["status"]), (&json!(true), &json!("NEW")));
    sim.price("BTCUSDT", "58000").await;
    assert_eq!(query("sl").await["status"], "FILLED");
    sim.price("BTCUSDT", "63000").await;
    assert_eq!(query("tp").await["status"], "FILLED");
    sim.stop().await;
}

#[tokio::test]
async fn cancel_replace_reports_each_half() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let replace = |params: String| {
        let sim = &sim;
        async move { sim.signed("POST", "/api/v3/order/cancelReplace", &params).await }
    };
    let old = sim.order(RESTING_BUY).await.ok()["orderId"].as_u64().unwrap();
    let done = replace(format!(
        "{RESTING_BUY}&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId={old}"
    ))
    .await
    .ok();
    assert_eq!(
        (&done["cancelResult"], &done["newOrderResult"]),
        (&json!("SUCCESS"), &json!("SUCCESS"))
    );
    let gone = replace(format!(
        "{RESTING_BUY}&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId={old}"
    ))
    .await;
    assert_eq!(
        (gone.status, gone.code(), &gone.body["data"]["newOrderResult"]),
        (400, -2022, &json!("NOT_ATTEMPTED"))
    );
    let half = replace(format!(
        "{RESTING_BUY}&cancelReplaceMode=ALLOW_FAILURE&cancelOrderId={old}"
    ))
    .await;
    assert_eq!(
        (half.status, half.code(), &half.body["data"]["newOrderResult"]),
        (409, -2021, &json!("SUCCESS"))
    );
    sim.stop().await;
}
