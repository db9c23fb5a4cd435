//! P8: money is exact. Whatever is no decimal of the strict grammar is refused with the field's name, and changes
//! nothing; what does not fit is an error, never a wrap.

use thunes_proto::gateway::v1::{OrderType, SubmitOrderRequest};
use thunes_proto::position::v1::{Price, RecordPricesRequest};
use thunes_proto::risk::v1::{AuthorizeOrderRequest, UpdateLimitsRequest, ValidateTradeRequest};
use thunes_proto::types::v1::{Fill, FillSource, Side};
use thunes_runtime::clock;
use thunes_testkit::{Cluster, Seed, book_net, buy};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::THUNES;

fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "1e5",
        "1E5",
        "NaN",
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1,000",
        "1_000",
        ".5",
        "5.",
        ".",
        "-",
        "--1",
        "1.2.3",
        "0x10",
        "١٢",
        "１２",
        "½",
        "1\0",
        "1;2",
        "1'2",
        "-1",
        "-0.00000001",
        "null",
        "{}",
        "1.",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("1{}", "0".repeat(30)));
    all.push("9".repeat(40));
    all.push(format!("0.{}1", "0".repeat(39)));
    all.push("9".repeat(29));
    all.push("1".repeat(10_000));
    all.push("\u{202e}1".to_owned());
    all
}

/// Values that are decimals, but not above zero.
const NOT_POSITIVE: [&str; 4] = ["0", "-0", "0.00", "-0.0"];

fn assert_names<T: std::fmt::Debug>(what: &str, field: &str, value: &str, answer: Result<T, Status>) {
    let shown: String = value.chars().take(50).collect();
    let status = answer.expect_err(&format!("P8: {what} takes {field} = {shown:?}"));
    assert_eq!(
        status.code(),
        Code::InvalidArgument,
        "{what} {field} = {shown:?}: {status:?}"
    );
    let violations = status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default();
    let named = violations.iter().find(|violation| violation.field == field);
    let named = named.unwrap_or_else(|| panic!("{what} {field} = {shown:?}: the field is not named: {violations:?}"));
    assert!(!named.description.is_empty(), "the rule is named");
    let info = status.get_details_error_info().expect("a stable reason");
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INVALID_ARGUMENT", "thunes")
    );
    assert!(
        status.message().len() < 2000,
        "a hostile value does not flood the answer: {}",
        status.message().len()
    );
}

fn fill(trade_id: i64, price: &str, quantity: &str, quote: &str) -> Fill {
    Fill {
        symbol: "XRPUSDT".to_owned(),
        trade_id,
        base_asset: "XRP".to_owned(),
        quote_asset: "USDT".to_owned(),
        side: Side::Buy.into(),
        price: price.to_owned(),
        quantity: quantity.to_owned(),
        quote_quantity: quote.to_owned(),
        commission: "0".to_owned(),
        commission_asset: "USDT".to_owned(),
        executed_at_ms: clock::now_ms(),
        venue_order_id: "1".to_owned(),
        source: FillSource::Query.into(),
        ..Default::default()
    }
}

async fn hostile_trades(cluster: &Cluster, value: &str) {
    let text = value.to_owned();
    let validate = ValidateTradeRequest {
        symbol: "BTCUSDT".into(),
        quote_amount: text.clone(),
        side: 1,
        strategy_id: String::new(),
    };
    let answer = cluster.calls.risk.clone().validate_trade(validate).await;
    assert_names("ValidateTrade", "quote_amount", value, answer);
    let authorize = AuthorizeOrderRequest {
        client_order_id: "hostile".into(),
        symbol: "BTCUSDT".into(),
        side: 1,
        notional: text.clone(),
        ..Default::default()
    };
    let answer = cluster.calls.risk.clone().authorize_order(authorize).await;
    assert_names("AuthorizeOrder", "notional", value, answer);
    let answer = cluster.calls.submit(buy("hostile", "BTCUSDT", value)).await;
    assert_names("SubmitOrder", "quote_amount", value, answer);
    let order = SubmitOrderRequest {
        quantity: text.clone(),
        quote_amount: String::new(),
        ..buy("hostile", "BTCUSDT", "")
    };
    assert_names("SubmitOrder", "quantity", value, cluster.calls.submit(order).await);
    let order = SubmitOrderRequest {
        quantity: "0.001".into(),
        quote_amount: String::new(),
        r#type: OrderType::Limit.into(),
        limit_price: text.clone(),
        ..buy("hostile", "BTCUSDT", "")
    };
    assert_names("SubmitOrder", "limit_price", value, cluster.calls.submit(order).await);
    let prices = vec![Price {
        symbol: "BTCUSDT".into(),
        price: text,
        at_ms: clock::now_ms(),
    }];
    let answer = cluster
        .calls
        .position
        .clone()
        .record_prices(RecordPricesRequest { prices })
        .await;
    assert_names("RecordPrices", "prices[0].price", value, answer);
}

async fn hostile_fills(cluster: &Cluster, value: &str) {
    let good = || fill(1, "2", "3", "6");
    let bad = |change: fn(&mut Fill, String)| {
        let mut all = vec![good(), fill(2, "2", "3", "6")];
        change(&mut all[1], value.to_owned());
        all
    };
    for (field, change) in [
        ("price", (|f, v| f.price = v) as fn(&mut Fill, String)),
        ("quantity", |f, v| f.quantity = v),
        ("quote_quantity", |f, v| f.quote_quantity = v),
        ("commission", |f, v| f.commission = v),
    ] {
        let answer = cluster.calls.record_fills(bad(change)).await;
        assert_names("RecordFills", &format!("fills[1].{field}"), value, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_hostile_decimals_are_refused_by_name_and_change_nothing() {
    let seed = Seed::of("p8_hostile_decimals_are_refused_by_name_and_change_nothing");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let limits = cluster.calls.risk_status().await.expect("answered").limits;
    let revision = cluster.calls.positions().await.expect("answered").revision;
    let told = || {
        // The gateway looks after itself beside this.
        let trail = cluster.trail();
        let others = trail
            .lines
            .iter()
            .filter(|line| !format!("{line:?}").contains("RECONCILIATION_FINISHED"));
        others.count()
    };
    let lines = told();
    for value in hostile().iter().map(String::as_str).chain(NOT_POSITIVE) {
        hostile_trades(&cluster, value).await;
        if NOT_POSITIVE.contains(&value) {
            continue;
        }
        hostile_fills(&cluster, value).await;
        let request = UpdateLimitsRequest {
            reason: "hostile".into(),
            order_notional_max: Some(value.to_owned()),
            ..Default::default()
        };
        let answer = cluster.calls.risk.clone().update_limits(request).await;
        assert_names("UpdateLimits", "order_notional_max", value, answer);
    }
    for field in ["quote_amount", "notional"] {
        let validate = ValidateTradeRequest {
            symbol: "BTCUSDT".into(),
            side: 1,
            ..Default::default()
        };
        let authorize = AuthorizeOrderRequest {
            client_order_id: "h".into(),
            symbol: "BTCUSDT".into(),
            side: 1,
            ..Default::default()
        };
        match field {
            "quote_amount" => assert_names(
                "ValidateTrade",
                field,
                "",
                cluster.calls.risk.clone().validate_trade(validate).await,
            ),
            _ => assert_names(
                "AuthorizeOrder",
                field,
                "",
                cluster.calls.risk.clone().authorize_order(authorize).await,
            ),
        }
    }
    let status = cluster.calls.risk_status().await.expect("answered");
    assert_eq!(
        (status.limits, status.reservations),
        (limits, 0),
        "nothing is reserved, no limit has changed"
    );
    assert_eq!(
        cluster.calls.positions().await.expect("answered").revision,
        revision,
        "the book is as it was"
    );
    assert!(cluster.calls.fills().await.expect("answered").is_empty());
    assert!(
        cluster.calls.orders().await.expect("answered").is_empty(),
        "no order is in the journal"
    );
    assert!(cluster.sim.ledger().await.orders.is_empty(), "none is at the exchange");
    assert_eq!(told(), lines, "and there is nothing to tell of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_sums_are_exact_up_to_the_last_digit_and_beyond_it_an_error() {
    let seed = Seed::of("p8_sums_are_exact_up_to_the_last_digit_and_beyond_it_an_error");
    let cluster = Cluster::start(THUNES, seed.number).await;
    // 10^15 coins at 10^-8, and then a third of a coin's smallest part, as no binary fraction can hold it.
    cluster
        .calls
        .record_fills(vec![fill(1, "0.00000001", "1000000000000000", "10000000")])
        .await
        .expect("recorded");
    for trade in 0..30 {
        let tiny = fill(2 + trade, "0.1", "0.1", "0.01");
        cluster.calls.record_fills(vec![tiny]).await.expect("recorded");
    }
    let net = book_net(&cluster.calls).await.expect("answered");
    assert_eq!(net["XRPUSDT"].normalize().to_string(), "1000000000000003");
    let revision = cluster.calls.positions().await.expect("answered").revision;

    // A fill that no exchange can have made is refused by name; it must not spoil the sums of all.
    let most = "9".repeat(28);
    let absurd = cluster.calls.record_fills(vec![fill(100, "1", &most, &most)]).await;
    assert_names("RecordFills", "fills[0].quantity", &most, absurd);
    // Thirty digits do not fit: rounding the sum would be a lie, and wrapping a worse one.
    let speck = "0.00000000000001";
    let answer = cluster
        .calls
        .record_fills(vec![fill(100, "2", "1", "2"), fill(101, "1", speck, speck)])
        .await;
    let status = answer.expect_err("P8: the sum does not fit");
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    assert_eq!(
        (status.code(), reason.as_str()),
        (Code::OutOfRange, "AMOUNT_OVERFLOW"),
        "{status:?}"
    );
    let after = cluster.calls.positions().await.expect("answered");
    assert_eq!(after.revision, revision, "all of it or nothing");
    assert_eq!(book_net(&cluster.calls).await.expect("answered"), net);
    assert_eq!(cluster.calls.fills().await.expect("answered").len(), 31);
}
