//! Every answer has the documented keys, and under each key the documented kind of value.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, still};

/// `a` amount with eight decimals, `n` whole number, `s` text, `b` boolean, `l` list, `o` object.
fn kind(value: &Value) -> char {
    let amount = |text: &str| {
        text.split_once('.')
            .is_some_and(|(whole, rest)| rest.len() == 8 && (whole.to_owned() + rest).parse::<i128>().is_ok())
    };
    match value {
        Value::String(text) if amount(text) => 'a',
        Value::String(_) => 's',
        Value::Number(number) if number.is_i64() || number.is_u64() => 'n',
        Value::Bool(_) => 'b',
        Value::Array(_) => 'l',
        Value::Object(_) => 'o',
        Value::Number(_) | Value::Null => '?',
    }
}

/// `key:kind` pairs, sorted, as one text.
fn shape(value: &Value) -> String {
    let mut keys: Vec<String> = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"))
        .iter()
        .map(|(key, value)| format!("{key}:{}", kind(value)))
        .collect();
    keys.sort();
    keys.join(" ")
}

fn sorted(expected: &str) -> String {
    let mut keys: Vec<&str> = expected.split_whitespace().collect();
    keys.sort_unstable();
    keys.join(" ")
}

fn check(what: &str, value: &Value, expected: &str) {
    assert_eq!(shape(value), sorted(expected), "{what}");
}

const ACK: &str = "symbol:s orderId:n orderListId:n clientOrderId:s transactTime:n";
const REPORT: &str = "price:a origQty:a executedQty:a origQuoteOrderQty:a cummulativeQuoteQty:a status:s timeInForce:s \
                      type:s side:s selfTradePreventionMode:s";
const ORDER: &str = "symbol:s orderId:n orderListId:n clientOrderId:s price:a origQty:a executedQty:a \
                     cummulativeQuoteQty:a status:s timeInForce:s type:s side:s stopPrice:a icebergQty:a time:n \
                     updateTime:n isWorking:b workingTime:n origQuoteOrderQty:a selfTradePreventionMode:s";
const BUY: &str = "symbol=BTCUSDT&side=BUY";

#[tokio::test]
async fn answers_about_orders_have_the_documented_keys_and_types() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let full = sim.order(&format!("{BUY}&type=MARKET&quantity=0.01")).await.ok();
    check("FULL", &full, &format!("{ACK} {REPORT} workingTime:n fills:l"));
    let fill = "price:a qty:a commission:a commissionAsset:s tradeId:n";
    check("a fill", &full["fills"][0], fill);
    let resting = format!("{BUY}&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000");
    let result = sim.order(&format!("{resting}&newOrderRespType=RESULT")).await.ok();
    check("RESULT", &result, &format!("{ACK} {REPORT} workingTime:n"));
    let maker = format!("{BUY}&type=LIMIT_MAKER&quantity=0.001&price=50000");
    check("ACK", &sim.order(&maker).await.ok(), ACK);
    let stop = format!("{BUY}&type=STOP_LOSS&quantity=0.001&stopPrice=61000&newOrderRespType=RESULT");
    let stop = sim.order(&stop).await.ok();
    check("a waiting stop", &stop, &format!("{ACK} {REPORT} stopPrice:a"));

    let query = format!("symbol=BTCUSDT&orderId={}", result["orderId"]);
    check("order", &sim.signed("GET", "/api/v3/order", &query).await.ok(), ORDER);
    for path in ["/api/v3/openOrders", "/api/v3/allOrders"] {
        check(path, &sim.signed("GET", path, "symbol=BTCUSDT").await.ok()[0], ORDER);
    }
    let canceled = sim.signed("DELETE", "/api/v3/order", &query).await.ok();
    check("a cancel", &canceled, &format!("{ACK} {REPORT} origClientOrderId:s"));
    let replace = format!(
        "{resting}&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId={}",
        stop["orderId"]
    );
    let replaced = sim.signed("POST", "/api/v3/order/cancelReplace", &replace).await.ok();
    check(
        "cancelReplace",
        &replaced,
        "cancelResult:s newOrderResult:s cancelResponse:o newOrderResponse:o",
    );
    let both = replace.clone() + "&cancelNewClientOrderId=c";
    let refused = sim.signed("POST", "/api/v3/order/cancelReplace", &both).await;
    check("a refused cancelReplace", &refused.body, "code:n msg:s data:o");
    check(
        "its refused half",
        &refused.body["data"]["cancelResponse"],
        "code:n msg:s",
    );
    assert_eq!(refused.body["data"]["newOrderResponse"], Value::Null);

    let trades = sim.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT").await.ok();
    let trade = "symbol:s id:n orderId:n orderListId:n price:a qty:a quoteQty:a commission:a commissionAsset:s time:n \
                 isBuyer:b isMaker:b isBestMatch:b";
    check("myTrades", &trades[0], trade);
    sim.stop().await;
}

#[tokio::test]
async fn answers_about_the_account_and_the_market_have_the_documented_keys_and_types() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.order(&format!("{BUY}&type=MARKET&quantity=0.01")).await.ok();
    let account = sim.signed("GET", "/api/v3/account", "").await.ok();
    check(
        "account",
        &account,
        "makerCommission:n takerCommission:n buyerCommission:n sellerCommission:n commissionRates:o canTrade:b \
         canWithdraw:b canDeposit:b brokered:b requireSelfTradePrevention:b preventSor:b updateTime:n accountType:s \
         balances:l permissions:l uid:n",
    );
    let rates = "maker:a taker:a buyer:a seller:a";
    check("commissionRates", &account["commissionRates"], rates);
    check("a balance", &account["balances"][0], "asset:s free:a locked:a");
    let commission = sim
        .signed("GET", "/api/v3/account/commission", "symbol=BTCUSDT")
        .await
        .ok();
    check(
        "account/commission",
        &commission,
        "symbol:s standardCommission:o specialCommission:o taxCommission:o discount:o",
    );
    for part in ["standardCommission", "specialCommission", "taxCommission"] {
        check(part, &commission[part], rates);
    }
    let discount = "enabledForAccount:b enabledForSymbol:b discountAsset:s discount:a";
    check("discount", &commission["discount"], discount);
    let counts = sim.signed("GET", "/api/v3/rateLimit/order", "").await.ok();
    check(
        "rateLimit/order",
        &counts[0],
        "rateLimitType:s interval:s intervalNum:n limit:n count:n",
    );

    let weight = |reply: &crate::client::Reply| -> u64 {
        let line = reply
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("x-mbx-used-weight-1m: "));
        line.unwrap().parse().unwrap()
    };
    let before = weight(&sim.get("/api/v3/ping").await);
    let mine = sim.signed("GET", "/api/v3/myFilters", "symbol=BTCUSDT").await;
    assert_eq!(weight(&mine) - before, 40);
    let mine = mine.ok();
    check("myFilters", &mine, "exchangeFilters:l symbolFilters:l assetFilters:l");
    let info = sim.get("/api/v3/exchangeInfo?symbol=BTCUSDT").await.ok();
    assert_eq!(mine["symbolFilters"], info["symbols"][0]["filters"]);
    assert_eq!(sim.signed("GET", "/api/v3/myFilters", "symbol=NO").await.code(), -1121);
    check(
        "exchangeInfo",
        &info,
        "timezone:s serverTime:n rateLimits:l exchangeFilters:l symbols:l",
    );
    let market = sim.get("/api/v3/depth?symbol=BTCUSDT&limit=5").await.ok();
    check("depth", &market, "lastUpdateId:n bids:l asks:l");
    assert_eq!(
        market["bids"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(kind)
            .collect::<String>(),
        "aa"
    );
    let trades = sim.get("/api/v3/trades?symbol=BTCUSDT").await.ok();
    let trade = "id:n price:a qty:a quoteQty:a time:n isBuyerMaker:b isBestMatch:b";
    check("trades", &trades[0], trade);
    let aggregates = sim.get("/api/v3/aggTrades?symbol=BTCUSDT").await.ok();
    check("aggTrades", &aggregates[0], "a:n p:a q:a f:n l:n T:n m:b M:b");
    let bars = sim.get("/api/v3/klines?symbol=BTCUSDT&interval=1m").await.ok();
    assert_eq!(
        bars[0].as_array().unwrap().iter().map(kind).collect::<String>(),
        "naaaaananaas"
    );
    let average = sim.get("/api/v3/avgPrice?symbol=BTCUSDT").await.ok();
    check("avgPrice", &average, "mins:n price:a closeTime:n");
    let book = sim.get("/api/v3/ticker/bookTicker?symbol=BTCUSDT").await.ok();
    check("bookTicker", &book, "symbol:s bidPrice:a bidQty:a askPrice:a askQty:a");
    let day = sim.get("/api/v3/ticker/24hr?symbol=BTCUSDT").await.ok();
    let mini = "symbol:s openPrice:a highPrice:a lowPrice:a lastPrice:a volume:a quoteVolume:a openTime:n closeTime:n \
                firstId:n lastId:n count:n";
    let more = "priceChange:a priceChangePercent:s weightedAvgPrice:a prevClosePrice:a lastQty:a bidPrice:a bidQty:a \
                askPrice:a askQty:a";
    check("24hr", &day, &format!("{mini} {more}"));
    let day = sim.get("/api/v3/ticker/24hr?symbol=BTCUSDT&type=MINI").await.ok();
    check("24hr, MINI", &day, mini);
    assert_eq!(sim.get("/api/v3/ping").await.ok(), json!({}));
    sim.stop().await;
}
