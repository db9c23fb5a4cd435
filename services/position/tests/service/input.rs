use thunes_proto::position::v1::*;
use thunes_proto::types::v1::{Balance, Fill, Side};
use thunes_rpc::reason_of;
use thunes_types::ReasonCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::running::*;

/// The error must name the field, show the value and state a rule.
fn assert_names(error: &Status, field: &str, value: &str) {
    assert_eq!(
        (error.code(), reason_of(error)),
        (Code::InvalidArgument, Some(ReasonCode::InvalidArgument)),
        "{error:?}"
    );
    let violations = error.get_details_bad_request().expect("details").field_violations;
    let named = violations.iter().find(|violation| violation.field == field);
    let named = named.unwrap_or_else(|| panic!("{field} is not named: {violations:?}"));
    let (shown, rule) = named.description.rsplit_once("\": ").expect("value and rule");
    assert!(shown.contains(value), "{value:?} is not shown: {}", named.description);
    assert!(rule.len() > 5, "no rule: {}", named.description);
}

#[tokio::test]
async fn p8_every_bad_field_of_a_fill_is_named_with_value_and_rule() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let long = "9".repeat(10_000);
    let huge = format!("1{}", "0".repeat(30));
    type Change<'a> = Box<dyn Fn(&mut Fill) + 'a>;
    let mut cases: Vec<(&str, String, Change<'_>)> = Vec::new();
    let garbage = ["", "-1", "1e5", "+1", "NaN", "1,000", " 1", ".5", &huge, &long];
    for bad in garbage.iter().copied().chain(["0", "0.000"]) {
        cases.push((
            "price",
            bad.chars().take(20).collect(),
            Box::new(move |f| f.price = bad.into()),
        ));
        cases.push((
            "quantity",
            bad.chars().take(20).collect(),
            Box::new(move |f| f.quantity = bad.into()),
        ));
    }
    for bad in garbage {
        let shown: String = bad.chars().take(20).collect();
        cases.push((
            "quote_quantity",
            shown.clone(),
            Box::new(move |f| f.quote_quantity = bad.into()),
        ));
        cases.push(("commission", shown, Box::new(move |f| f.commission = bad.into())));
    }
    let mut case = |field, value: &str, change: Change<'static>| cases.push((field, value.to_owned(), change));
    case("symbol", "btcusdt", Box::new(|f| f.symbol = "btcusdt".into()));
    case("symbol", "", Box::new(|f| f.symbol = String::new()));
    case("trade_id", "-1", Box::new(|f| f.trade_id = -1));
    case("base_asset", "B T C", Box::new(|f| f.base_asset = "B T C".into()));
    case("quote_asset", "", Box::new(|f| f.quote_asset = String::new()));
    case("quote_asset", "BTC", Box::new(|f| f.quote_asset = "BTC".into()));
    case("side", "0", Box::new(|f| f.side = 0));
    case("side", "77", Box::new(|f| f.side = 77));
    case("quote_quantity", "0", Box::new(|f| f.quote_quantity = "0".into()));
    case("quote_quantity", "101", Box::new(|f| f.quote_quantity = "101.5".into()));
    case(
        "commission",
        "2",
        Box::new(|f| (f.commission, f.commission_asset) = ("2".into(), "BTC".into())),
    );
    case("commission_asset", "", Box::new(|f| f.commission = "0.1".into()));
    case(
        "commission_asset",
        "bnb",
        Box::new(|f| f.commission_asset = "bnb".into()),
    );
    case("executed_at_ms", "0", Box::new(|f| f.executed_at_ms = 0));
    case("executed_at_ms", "-5", Box::new(|f| f.executed_at_ms = -5));
    case(
        "executed_at_ms",
        "9223372036854775807",
        Box::new(|f| f.executed_at_ms = i64::MAX),
    );
    case("venue_order_id", "", Box::new(|f| f.venue_order_id = String::new()));
    case("venue_order_id", "a b", Box::new(|f| f.venue_order_id = "a b".into()));
    case(
        "client_order_id",
        "xxxxxxxxxx",
        Box::new(|f| f.client_order_id = "x".repeat(10_000)),
    );
    case("strategy_id", "a;b", Box::new(|f| f.strategy_id = "a;b".into()));
    case("source", "9", Box::new(|f| f.source = 9));
    for (field, value, change) in &cases {
        let mut bad = fill(1, Side::Buy, "1", "100", "100");
        change(&mut bad);
        let error = service
            .record(&[fill(2, Side::Buy, "1", "100", "100"), bad])
            .await
            .expect_err(field);
        assert_names(&error, &format!("fills[1].{field}"), value);
    }
    assert_eq!(service.all_positions().await.revision, 0, "nothing was recorded");
    service.stop().await;
}

#[tokio::test]
async fn p8_all_faults_are_named_at_once_and_a_flood_of_them_still_arrives() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut bad = fill(1, Side::Buy, "0", "x", "100");
    (bad.symbol, bad.side) = ("?".into(), 9);
    let error = service.record(&[bad]).await.expect_err("four faults");
    for (field, value) in [("symbol", "?"), ("side", "9"), ("quantity", "0"), ("price", "x")] {
        assert_names(&error, &format!("fills[0].{field}"), value);
    }
    let worst = Fill {
        symbol: "🚨".repeat(400),
        price: "\u{1}\"%".repeat(100),
        ..Fill::default()
    };
    let error = service
        .record(&vec![worst; 500])
        .await
        .expect_err("thousands of faults");
    assert_names(&error, "fills[0].symbol", "🚨");
    assert!(error.message().contains("more"), "{}", error.message());
    service.stop().await;
}

#[tokio::test]
async fn bad_batches_prices_days_and_pages_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let error = service.record(&[]).await.expect_err("none");
    assert_names(&error, "fills", "0");
    let many: Vec<_> = (0..501).map(|id| fill(id, Side::Buy, "1", "1", "1")).collect();
    assert_names(&service.record(&many).await.expect_err("too many"), "fills", "501");
    assert_eq!(
        service.record(&many[..500]).await.expect("the bound itself").recorded,
        500
    );
    for (symbol, price, at_ms, field, value) in [
        ("btc", "1", NOON_MS, "symbol", "btc"),
        ("BTCUSDT", "0", NOON_MS, "price", "0"),
        ("BTCUSDT", "-1", NOON_MS, "price", "-1"),
        ("BTCUSDT", "1", 0, "at_ms", "0"),
        ("BTCUSDT", "1", 4_102_444_800_000, "at_ms", "4102444800000"),
    ] {
        let error = service.price(symbol, price, at_ms).await.expect_err(field);
        assert_names(&error, &format!("prices[0].{field}"), value);
    }
    for day in ["2026-02-30", "today", "2026-1-1", "2026-01-01T00:00:00Z", "20260101"] {
        let error = service
            .client
            .get_daily_pnl(GetDailyPnlRequest { day: day.into() })
            .await
            .expect_err(day);
        assert_names(&error, "day", day);
    }
    let page = |symbol: &str, page_size, token: &str| ListFillsRequest {
        symbol: symbol.into(),
        page_size,
        page_token: token.into(),
    };
    let token = service
        .client
        .list_fills(page("", 1, ""))
        .await
        .expect("a page")
        .into_inner()
        .next_page_token;
    for (request, field) in [
        (page("", -1, ""), "page_size"),
        (page("", 1001, ""), "page_size"),
        (page("?", 1, ""), "symbol"),
        (page("", 1, "not a token"), "page_token"),
        (page("", 1, "MXx8eHx5fHo"), "page_token"),
        (page("ETHUSDT", 1, &token), "page_token"),
    ] {
        assert_names(&service.client.list_fills(request).await.expect_err(field), field, "");
    }
    service.stop().await;
}

#[tokio::test]
async fn bad_baselines_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let good = RecordBaselineRequest {
        account: "sim-1".into(),
        balances: vec![Balance {
            asset: "USDT".into(),
            free: "1".into(),
            locked: "0".into(),
        }],
        cursors: vec![TradeCursor {
            symbol: "BTCUSDT".into(),
            last_trade_id: 1,
        }],
        taken_at_ms: NOON_MS,
        reason: "start".into(),
        request_id: String::new(),
        replace: false,
    };
    type Change = Box<dyn Fn(&mut RecordBaselineRequest)>;
    let cases: Vec<(&str, &str, Change)> = vec![
        ("account", "", Box::new(|r| r.account = String::new())),
        ("account", "a b", Box::new(|r| r.account = "a b".into())),
        ("reason", "", Box::new(|r| r.reason = String::new())),
        ("reason", "xxxx", Box::new(|r| r.reason = "x".repeat(10_000))),
        ("taken_at_ms", "0", Box::new(|r| r.taken_at_ms = 0)),
        ("request_id", "a b", Box::new(|r| r.request_id = "a b".into())),
        (
            "balances[0].asset",
            "usdt",
            Box::new(|r| r.balances[0].asset = "usdt".into()),
        ),
        ("balances[0].free", "-1", Box::new(|r| r.balances[0].free = "-1".into())),
        (
            "balances[0].locked",
            "1e3",
            Box::new(|r| r.balances[0].locked = "1e3".into()),
        ),
        (
            "balances[1].asset",
            "USDT",
            Box::new(|r| r.balances.push(r.balances[0].clone())),
        ),
        (
            "balances",
            "5001",
            Box::new(|r| r.balances = vec![r.balances[0].clone(); 5001]),
        ),
        (
            "cursors[0].symbol",
            "",
            Box::new(|r| r.cursors[0].symbol = String::new()),
        ),
        (
            "cursors[0].last_trade_id",
            "-3",
            Box::new(|r| r.cursors[0].last_trade_id = -3),
        ),
        (
            "cursors[1].symbol",
            "BTCUSDT",
            Box::new(|r| r.cursors.push(r.cursors[0].clone())),
        ),
    ];
    for (field, value, change) in cases {
        let mut bad = good.clone();
        change(&mut bad);
        assert_names(
            &service.client.record_baseline(bad).await.expect_err(field),
            field,
            value,
        );
    }
    assert_names(
        &service
            .client
            .get_baseline(GetBaselineRequest::default())
            .await
            .expect_err("empty"),
        "account",
        "",
    );
    service.stop().await;
}

#[tokio::test]
async fn p5_a_symbol_keeps_its_assets() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    service
        .record(&[fill(1, Side::Buy, "1", "100", "100")])
        .await
        .expect("recorded");
    let mut swapped = fill(2, Side::Buy, "1", "100", "100");
    (swapped.base_asset, swapped.quote_asset) = ("USDT".into(), "BTC".into());
    let error = service.record(&[swapped]).await.expect_err("swapped");
    assert_names(&error, "fills[0].base_asset", "USDT");
    assert_names(&error, "fills[0].quote_asset", "BTC");
    service.stop().await;
}

#[tokio::test]
async fn p8_amounts_that_the_exchange_cut_or_rounded_are_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    // 0.05123 x 0.0001 = 0.000005123; dust can even come to nothing.
    let cut = [
        fill(1, Side::Buy, "0.0001", "0.05123", "0.00000512"),
        fill(2, Side::Buy, "0.1", "0.00000001", "0.00000000"),
        fill(3, Side::Buy, "3", "33.33333333", "99.99999999"),
        with_fee(fill(4, Side::Buy, "0.00000001", "1", "0.00000001"), "0.00000001", "BTC"),
    ];
    assert_eq!(service.record(&cut).await.expect("recorded").recorded, 4);
    assert_eq!(service.all_positions().await.positions[0].realized_pnl, "-0.00000001");
    service.stop().await;
}
