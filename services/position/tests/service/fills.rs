use thunes_proto::position::v1::*;
use thunes_proto::types::v1::{FillSource, Side};
use thunes_rpc::reason_of;
use thunes_types::ReasonCode;
use tonic::Code;

use crate::running::*;

#[tokio::test]
async fn p5_the_book_is_the_fold_of_what_was_credited() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let fills = [
        with_fee(fill(1, Side::Buy, "1", "100", "100"), "0.001", "BTC"),
        with_fee(fill(2, Side::Buy, "1", "200", "200"), "0.2", "USDT"),
        with_fee(fill(3, Side::Sell, "0.5", "300", "150"), "0.01", "BNB"),
    ];
    let answer = service.record(&fills).await.expect("recorded");
    assert_eq!((answer.recorded, answer.duplicates, answer.revision), (3, 0, 1));
    let listed = service.all_positions().await;
    let position = &listed.positions[0];
    assert_eq!(position.quantity, "1.499");
    assert_eq!(position.side, i32::from(Side::Buy));
    // 300.2 paid for 1.999; a half leaves with its share of the cost.
    assert_eq!(position.realized_pnl, "74.912456228114");
    assert_eq!(position.average_entry_price, "150.175087543772");
    assert_eq!(position.notional, "225.112456228114");
    assert_eq!(
        (position.unrealized_pnl.as_str(), position.last_price.as_str()),
        ("", "")
    );
    assert_eq!(
        (position.opened_at_ms, position.updated_at_ms, position.fill_count),
        (NOON_MS + 1, NOON_MS + 3, 3)
    );
    let fees: Vec<_> = position
        .fees
        .iter()
        .map(|fee| (fee.asset.as_str(), fee.amount.as_str()))
        .collect();
    assert_eq!(fees, [("BNB", "0.01"), ("BTC", "0.001"), ("USDT", "0.2")]);
    let day = service.daily("2025-11-24").await;
    assert_eq!(
        (day.realized.as_str(), day.total.as_str(), day.fees.len()),
        ("74.912456228114", "74.912456228114", 3)
    );
    assert_eq!(service.daily("2025-11-23").await.realized, "0");
    let count = service
        .client
        .count_open_positions(CountOpenPositionsRequest {})
        .await
        .expect("counts")
        .into_inner();
    assert_eq!((count.count, count.revision), (1, 1));
    service.stop().await;
    let names: Vec<String> = events(dir.path()).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["SERVICE_STARTED", "FILL_RECORDED", "FILL_RECORDED", "FILL_RECORDED"]
    );
}

#[tokio::test]
async fn p8_a_base_fee_on_a_sale_goes_short_and_a_flat_position_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let fills = [
        fill(1, Side::Buy, "1", "100", "100"),
        with_fee(fill(2, Side::Sell, "1", "110", "110"), "0.1", "BTC"),
        fill(3, Side::Buy, "0.1", "90", "9"),
    ];
    service.record(&fills[..2]).await.expect("recorded");
    let position = service.all_positions().await.positions.remove(0);
    assert_eq!(
        (position.side, position.quantity.as_str()),
        (i32::from(Side::Sell), "0.1")
    );
    // 1.1 left for 110: 1 of it closed for 100, 0.1 opened the short for 10.
    assert_eq!(
        (position.average_entry_price.as_str(), position.realized_pnl.as_str()),
        ("100", "0")
    );
    assert_eq!(position.opened_at_ms, NOON_MS + 2);
    service.record(&fills[2..]).await.expect("recorded");
    let position = service.all_positions().await.positions.remove(0);
    assert_eq!(
        (position.side, position.quantity.as_str(), position.notional.as_str()),
        (0, "0", "0")
    );
    assert_eq!(
        (position.realized_pnl.as_str(), position.unrealized_pnl.as_str()),
        ("1", "0")
    );
    let open = service
        .client
        .list_open_positions(ListOpenPositionsRequest::default())
        .await
        .expect("lists")
        .into_inner();
    assert!(open.positions.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn p5_the_same_fill_counts_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let first = with_fee(fill(1, Side::Buy, "0.50", "100", "50"), "0.0010", "BNB");
    service.record(std::slice::from_ref(&first)).await.expect("recorded");
    let mut told_otherwise = with_fee(fill(1, Side::Buy, "0.5", "100.00", "50.0"), "0.001", "BNB");
    told_otherwise.source = FillSource::Query.into();
    told_otherwise.client_order_id = String::new();
    told_otherwise.strategy_id = String::new();
    let second = fill(2, Side::Buy, "1", "100", "100");
    let batch = [told_otherwise, second.clone(), second];
    let answer = service.record(&batch).await.expect("recorded");
    assert_eq!((answer.recorded, answer.duplicates, answer.revision), (1, 2, 2));
    let answer = service.record(&batch).await.expect("known");
    assert_eq!(
        (answer.recorded, answer.duplicates, answer.revision),
        (0, 3, 2),
        "nothing changes"
    );
    assert_eq!(service.all_positions().await.positions[0].quantity, "1.5");
    service.stop().await;
    assert_eq!(count_events(dir.path(), "FILL_RECORDED").await, 2);
}

#[tokio::test]
async fn p5_other_contents_under_a_known_id_are_refused_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let known = with_fee(fill(1, Side::Buy, "1", "100", "100"), "0.01", "BNB");
    service.record(std::slice::from_ref(&known)).await.expect("recorded");
    type Change = fn(&mut thunes_proto::types::v1::Fill);
    let changes: [(&str, Change); 11] = [
        ("base_asset", |f| f.base_asset = "ETH".into()),
        ("quote_asset", |f| f.quote_asset = "USDC".into()),
        ("side", |f| f.side = Side::Sell.into()),
        ("quantity", |f| (f.quantity, f.price) = ("2".into(), "50".into())),
        ("commission", |f| f.commission = "0.02".into()),
        ("commission_asset", |f| f.commission_asset = "TRX".into()),
        ("executed_at_ms", |f| f.executed_at_ms += 1),
        ("venue_order_id", |f| f.venue_order_id = "7".into()),
        ("client_order_id", |f| f.client_order_id = "other".into()),
        ("strategy_id", |f| f.strategy_id = "other".into()),
        ("is_maker", |f| f.is_maker = true),
    ];
    for (field, change) in changes {
        let mut other = known.clone();
        change(&mut other);
        let error = service
            .record(&[fill(9, Side::Buy, "1", "1", "1"), other])
            .await
            .expect_err(field);
        assert_eq!(
            (error.code(), reason_of(&error)),
            (Code::AlreadyExists, Some(ReasonCode::FillConflict)),
            "{field}"
        );
        assert!(error.message().contains(field), "{field}: {}", error.message());
    }
    let listed = service.all_positions().await;
    assert_eq!(
        (listed.positions[0].quantity.as_str(), listed.revision),
        ("1", 1),
        "trade 9 was not recorded either"
    );
    service.stop().await;
    assert_eq!(count_events(dir.path(), "FILL_RECORDED").await, 1);
}

#[tokio::test]
async fn p8_overflow_is_an_error_and_nothing_is_recorded() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let most = "1000000000000000000";
    service
        .record(&[fill(1, Side::Buy, most, "0.000001", "1000000000000")])
        .await
        .expect("the most that one fill may be");
    let absurd = fill(3, Side::Buy, "1000000000000000001", "0.000001", "1000000000000.000001");
    let error = service.record(&[absurd]).await.expect_err("beyond any market");
    assert_eq!(error.code(), Code::InvalidArgument);
    let fine = {
        let mut eth = fill(1, Side::Buy, "1", "1", "1");
        (eth.symbol, eth.base_asset) = ("ETHUSDT".into(), "ETH".into());
        eth
    };
    let error = service
        .record(&[fine, fill(2, Side::Buy, "0.0000000001", "1", "0")])
        .await
        .expect_err("does not fit");
    assert_eq!(
        (error.code(), reason_of(&error)),
        (Code::OutOfRange, Some(ReasonCode::AmountOverflow))
    );
    let error = service
        .price("BTCUSDT", "1000000000000", NOON_MS)
        .await
        .expect_err("the worth does not fit");
    assert_eq!(reason_of(&error), Some(ReasonCode::AmountOverflow));
    let listed = service.all_positions().await;
    assert_eq!(
        (
            listed.positions.len(),
            listed.revision,
            listed.positions[0].last_price.as_str()
        ),
        (1, 1, "")
    );
    service.stop().await;
    assert_eq!(count_events(dir.path(), "FILL_RECORDED").await, 1);
}

#[tokio::test]
async fn p5_pages_of_the_ledger_hold_every_fill_once_and_oldest_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut fills: Vec<_> = (0..25)
        .map(|id| fill(id, Side::Buy, "0.00100000", "100", "0.1"))
        .collect();
    for id in 0..25 {
        let mut eth = fill(id, Side::Sell, "1", "100", "100");
        (eth.symbol, eth.base_asset) = ("ETHUSDT".into(), "ETH".into());
        fills.push(eth);
    }
    fills.reverse();
    service.record(&fills).await.expect("recorded");
    for (symbol, expected) in [("", 50), ("ETHUSDT", 25)] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let request = ListFillsRequest {
                symbol: symbol.into(),
                page_size: 7,
                page_token: token,
            };
            let page = service.client.list_fills(request).await.expect("a page").into_inner();
            assert!(!page.fills.is_empty() && page.fills.len() <= 7);
            assert_eq!(page.revision, 1);
            seen.extend(page.fills);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), expected);
        assert!(
            seen.windows(2)
                .all(|pair| { (pair[0].executed_at_ms, &pair[0].symbol) < (pair[1].executed_at_ms, &pair[1].symbol) })
        );
        assert!(
            seen.iter().all(|seen| fills.contains(seen)),
            "a fill comes back as it was stated"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn p8_pnl_counts_only_what_is_quoted_in_its_asset() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut other = [
        fill(1, Side::Buy, "1", "0.05", "0.05"),
        fill(2, Side::Sell, "1", "0.06", "0.06"),
    ];
    for fill in &mut other {
        (fill.symbol, fill.base_asset, fill.quote_asset) = ("ETHBTC".into(), "ETH".into(), "BTC".into());
    }
    service.record(&other).await.expect("recorded");
    service
        .record(&[fill(1, Side::Buy, "1", "5", "5"), fill(2, Side::Sell, "1", "7", "7")])
        .await
        .expect("recorded");
    assert_eq!(
        service.daily("2025-11-24").await.realized,
        "2",
        "an amount in BTC is not added to one in USDT"
    );
    let positions = service.all_positions().await.positions;
    assert_eq!(
        positions.iter().map(|p| p.realized_pnl.as_str()).collect::<Vec<_>>(),
        ["2", "0.01"]
    );
    service.stop().await;
}
