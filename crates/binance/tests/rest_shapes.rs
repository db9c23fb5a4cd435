//! Every call against answers in the exchange's documented shapes, and the requests as they leave.

// The faults that the stand-in can also play have their own test file.
#[allow(dead_code)]
mod standin;

use standin::{Act, Seen, Standin};
use thunes_binance::{
    BinanceClient, ClientConfig, Credentials, NewOrder, OrderShape, OrderStatus, OrderType, Outcome, Side,
    SymbolStatus, TimeInForce, TradesFilter,
};
use thunes_types::{ClientOrderId, Decimal, Symbol};

const NEW_ORDER: &str = r#"{"symbol":"BTCUSDT","orderId":28,"orderListId":-1,"clientOrderId":"T-1",
  "transactTime":1507725176595,"price":"0.00000000","origQty":"10.00000000","executedQty":"10.00000000",
  "origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"39990.00000000","status":"FILLED","timeInForce":"GTC",
  "type":"MARKET","side":"SELL","workingTime":1507725176595,"selfTradePreventionMode":"NONE","fills":[
  {"price":"4000.00000000","qty":"1.00000000","commission":"4.00000000","commissionAsset":"USDT","tradeId":56},
  {"price":"3999.00000000","qty":"5.00000000","commission":"0.01000000","commissionAsset":"BNB","tradeId":57}]}"#;
const ORDER: &str = r#"{"symbol":"BTCUSDT","orderId":1,"orderListId":-1,"clientOrderId":"web_x.y:1","price":"0.1",
  "origQty":"1.0","executedQty":"0.5","cummulativeQuoteQty":"0.05","status":"PARTIALLY_FILLED","timeInForce":"GTC",
  "type":"LIMIT","side":"BUY","stopPrice":"0.0","icebergQty":"0.0","time":1499827319559,"updateTime":1499827319560,
  "isWorking":true,"workingTime":1499827319559,"origQuoteOrderQty":"0.000000","selfTradePreventionMode":"NONE"}"#;
const CANCELED: &str = r#"{"symbol":"BTCUSDT","origClientOrderId":"T-1","orderId":4,"orderListId":-1,
  "clientOrderId":"cancelMyOrder1","transactTime":1684804350068,"price":"2.00000000","origQty":"1.00000000",
  "executedQty":"0.00000000","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"0.00000000","status":"CANCELED",
  "timeInForce":"GTC","type":"LIMIT","side":"BUY","selfTradePreventionMode":"NONE"}"#;
const ACCOUNT: &str = r#"{"makerCommission":15,"takerCommission":15,"commissionRates":{"maker":"0.00150000"},
  "canTrade":true,"canWithdraw":true,"updateTime":123456789,"accountType":"SPOT","uid":354937868,
  "balances":[{"asset":"BTC","free":"4723846.89208129","locked":"0.00000000"}]}"#;
const TRADES: &str = r#"[{"symbol":"BTCUSDT","id":28457,"orderId":100234,"orderListId":-1,"price":"4.00000100",
  "qty":"12.00000000","quoteQty":"48.000012","commission":"10.10000000","commissionAsset":"BNB","time":1499865549590,
  "isBuyer":true,"isMaker":false,"isBestMatch":true}]"#;
const EXCHANGE_INFO: &str = r#"{"timezone":"UTC","serverTime":1565246363776,"rateLimits":[{"rateLimitType":
  "REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}],"exchangeFilters":[],"symbols":[{"symbol":"BTCUSDT",
  "status":"CANCEL_ONLY","baseAsset":"BTC","baseAssetPrecision":8,"quoteAsset":"USDT","quotePrecision":8,
  "quoteAssetPrecision":8,"orderTypes":["LIMIT","SOMETHING_NEW"],"icebergAllowed":true,
  "quoteOrderQtyMarketAllowed":true,"filters":[
  {"filterType":"PRICE_FILTER","minPrice":"0.01000000","maxPrice":"1000000.00000000","tickSize":"0.01000000"},
  {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"},
  {"filterType":"ICEBERG_PARTS","limit":10},
  {"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"141.95377000","stepSize":"0.00000000"},
  {"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"5","bidMultiplierDown":"0.2","askMultiplierUp":"5",
   "askMultiplierDown":"0.2","avgPriceMins":5},
  {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000",
   "applyMaxToMarket":false,"avgPriceMins":5},
  {"filterType":"MAX_NUM_ORDERS","maxNumOrders":200},{"filterType":"MAX_POSITION","maxPosition":"10.0"},
  {"filterType":"SOMETHING_NEW","x":1}],"permissions":[]}]}"#;

async fn against(body: &str) -> (Standin, BinanceClient) {
    let headers = "x-mbx-used-weight-1m: 42\r\n";
    let exchange = Standin::start(vec![Act::Answer {
        status: 200,
        headers,
        body: body.to_owned(),
    }])
    .await;
    let credentials = Credentials::hmac("the-key".into(), "the-secret".into());
    let client = BinanceClient::new(ClientConfig::new(exchange.url()), credentials).expect("a client");
    (exchange, client)
}

fn answer<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn only(exchange: &Standin) -> Seen {
    let seen = exchange.seen();
    assert_eq!(seen.len(), 1);
    seen[0].clone()
}

fn symbol() -> Symbol {
    Symbol::parse("BTCUSDT").expect("a symbol")
}

fn id() -> ClientOrderId {
    ClientOrderId::parse("T-1").expect("an id")
}

#[tokio::test]
async fn a_new_order_leaves_as_signed_and_its_fills_come_back() {
    let (exchange, client) = against(NEW_ORDER).await;
    let quantity = Decimal::new(1_000_000_000, 8);
    let shape = OrderShape::Limit {
        quantity,
        price: Decimal::new(1, 1),
        time_in_force: TimeInForce::Gtc,
    };
    let order = NewOrder {
        symbol: symbol(),
        side: Side::Sell,
        client_order_id: id(),
        shape,
    };
    let done = answer(client.send(client.sign_order(&order, 1_499_827_319_559, 5_000)).await);
    assert_eq!(
        (done.venue_order_id, done.status, done.order_type),
        (28, OrderStatus::Filled, OrderType::Market)
    );
    assert_eq!((done.side, done.transact_time_ms), (Side::Sell, 1_507_725_176_595));
    assert_eq!(done.executed_quote, Decimal::from(39_990));
    assert_eq!(
        (
            done.fills.len(),
            done.fills[1].trade_id,
            done.fills[1].commission_asset.as_str()
        ),
        (2, 57, "BNB")
    );
    assert_eq!(client.budget_status().weight_used, 42);

    let seen = only(&exchange);
    assert_eq!(seen.line, "POST /api/v3/order HTTP/1.1");
    let head = seen.head.to_ascii_lowercase();
    assert!(
        head.contains("x-mbx-apikey: the-key") && head.contains("application/x-www-form-urlencoded"),
        "{head}"
    );
    let (payload, signature) = seen.body.rsplit_once("&signature=").expect("signed last");
    assert_eq!(
        payload,
        "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=10&price=0.1&newClientOrderId=T-1&newOrderRespType=FULL&recvWindow=5000&timestamp=1499827319559"
    );
    assert!(
        signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit()),
        "{signature}"
    );
}

#[tokio::test]
async fn an_order_is_queried_by_our_name_and_may_carry_a_foreign_one() {
    let (exchange, client) = against(ORDER).await;
    let order = answer(client.send(client.sign_query_order(&symbol(), &id(), 7, 5_000)).await);
    assert_eq!(
        (order.client_order_id.as_str(), order.status),
        ("web_x.y:1", OrderStatus::PartiallyFilled)
    );
    assert_eq!(
        (order.time_ms, order.update_time_ms),
        (1_499_827_319_559, 1_499_827_319_560)
    );
    assert!(!order.status.is_terminal());
    let line = only(&exchange).line;
    let start = "GET /api/v3/order?symbol=BTCUSDT&origClientOrderId=T-1&recvWindow=5000&timestamp=7&signature=";
    assert!(line.starts_with(start), "{line}");
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_not_terminal() {
    let (_exchange, client) = against(&ORDER.replace("PARTIALLY_FILLED", "HALF_EATEN")).await;
    let order = answer(client.send(client.sign_query_order(&symbol(), &id(), 7, 5_000)).await);
    assert_eq!(order.status, OrderStatus::Unrecognized);
    assert!(!order.status.is_terminal());
}

#[tokio::test]
async fn p4_an_order_without_its_quantity_is_no_answer() {
    for field in [
        "orderId",
        "clientOrderId",
        "executedQty",
        "cummulativeQuoteQty",
        "status",
        "side",
    ] {
        let (_exchange, client) = against(&ORDER.replace(field, "somethingElse")).await;
        let outcome = client.send(client.sign_query_order(&symbol(), &id(), 7, 5_000)).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{field}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_cancel_names_the_order_that_it_canceled() {
    let (exchange, client) = against(CANCELED).await;
    let canceled = answer(client.send(client.sign_cancel(&symbol(), &id(), 7, 5_000)).await);
    assert_eq!(
        (canceled.client_order_id.as_str(), canceled.cancel_id.as_str()),
        ("T-1", "cancelMyOrder1")
    );
    assert_eq!(canceled.status, OrderStatus::Canceled);
    assert!(
        only(&exchange)
            .line
            .starts_with("DELETE /api/v3/order?symbol=BTCUSDT&origClientOrderId=T-1&")
    );

    let (exchange, client) = against(CANCELED).await;
    answer(
        client
            .send(client.sign_cancel_by_venue_id(&symbol(), 4, 7, 5_000))
            .await,
    );
    assert!(
        only(&exchange)
            .line
            .starts_with("DELETE /api/v3/order?symbol=BTCUSDT&orderId=4&")
    );
}

#[tokio::test]
async fn orders_are_listed() {
    let (exchange, client) = against(&format!("[{ORDER},{ORDER}]")).await;
    assert_eq!(
        answer(client.send(client.sign_open_orders(None, 7, 5_000)).await).len(),
        2
    );
    assert!(only(&exchange).line.starts_with("GET /api/v3/openOrders?recvWindow="));

    let (exchange, client) = against("[]").await;
    assert!(answer(client.send(client.sign_open_orders(Some(&symbol()), 7, 5_000)).await).is_empty());
    assert!(
        only(&exchange)
            .line
            .starts_with("GET /api/v3/openOrders?symbol=BTCUSDT&")
    );

    let (exchange, client) = against("[]").await;
    answer(
        client
            .send(client.sign_all_orders(&symbol(), Some(3), 1000, 7, 5_000))
            .await,
    );
    assert!(
        only(&exchange)
            .line
            .starts_with("GET /api/v3/allOrders?symbol=BTCUSDT&orderId=3&limit=1000&")
    );
}

#[tokio::test]
async fn the_account_and_its_trades_are_read() {
    let (_exchange, client) = against(ACCOUNT).await;
    let account = answer(client.send(client.sign_account(7, 5_000)).await);
    assert!(account.can_trade);
    assert_eq!(
        (account.uid, account.balances[0].free.to_string().as_str()),
        (Some(354_937_868), "4723846.89208129")
    );

    for (filter, query) in [
        (TradesFilter::Recent, "symbol=BTCUSDT&limit=500&"),
        (TradesFilter::FromTradeId(9), "symbol=BTCUSDT&fromId=9&limit=500&"),
        (TradesFilter::OfOrder(8), "symbol=BTCUSDT&orderId=8&limit=500&"),
    ] {
        let (exchange, client) = against(TRADES).await;
        let trades = answer(
            client
                .send(client.sign_my_trades(&symbol(), filter, 500, 7, 5_000))
                .await,
        );
        assert_eq!(
            (trades[0].trade_id, trades[0].is_buyer, trades[0].is_maker),
            (28_457, true, false)
        );
        let line = only(&exchange).line;
        assert!(line.starts_with(&format!("GET /api/v3/myTrades?{query}")), "{line}");
    }
}

#[tokio::test]
async fn the_rules_are_read_and_unknown_ones_passed_over() {
    let (exchange, client) = against(EXCHANGE_INFO).await;
    let info = answer(client.exchange_info(&[symbol()]).await);
    assert_eq!(
        (info.rate_limits[0].limit, info.rate_limits[0].interval_count),
        (6000, 1)
    );
    let rules = &info.symbols[0];
    assert_eq!(
        (rules.status, rules.order_types[1]),
        (SymbolStatus::CancelOnly, OrderType::Unrecognized)
    );
    assert_eq!(rules.lot_size().expect("one").step_size, Decimal::new(1, 5));
    assert_eq!(rules.price_filter().expect("one").tick_size, Decimal::new(1, 2));
    assert_eq!(rules.market_lot_size().expect("one").step_size, Decimal::ZERO);
    assert_eq!(rules.notional().expect("one").min_notional, Decimal::from(5));
    assert_eq!(
        rules.percent_price_by_side().expect("one").ask_multiplier_down,
        Decimal::new(2, 1)
    );
    assert_eq!(rules.max_num_orders().expect("one").max_num_orders, 200);
    assert_eq!(rules.max_position().expect("one").max_position, Decimal::from(10));
    assert!(rules.min_notional().is_none());
    assert_eq!(
        only(&exchange).line,
        "GET /api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%5D HTTP/1.1"
    );
}

#[tokio::test]
async fn prices_and_time_need_no_signature() {
    let (exchange, client) = against(r#"[{"symbol":"BTCUSDT","price":"4.00000200"}]"#).await;
    assert_eq!(
        answer(client.ticker_prices(&[]).await)[0].price.to_string(),
        "4.00000200"
    );
    assert_eq!(only(&exchange).line, "GET /api/v3/ticker/price HTTP/1.1");

    let (_exchange, client) = against(r#"{"serverTime":1499827319559}"#).await;
    let time = answer(client.server_time().await);
    assert_eq!(time.server_time_ms, 1_499_827_319_559);
    assert!(time.sent_boot_us <= time.received_boot_us);
    assert!(thunes_binance::TimeSync::new().record(time.sample()));
}
