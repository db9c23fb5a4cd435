use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use thunes_proto::types::v1::Side;
use thunes_types::parse_decimal;

use crate::{Calls, Cluster, Ledger, until_ok};

/// Net base quantity per symbol, flat ones left out.
pub type Net = BTreeMap<String, Decimal>;

const QUOTE: &str = "USDT";

/// What the exchange's own fills add up to, computed here and not by the code under test.
pub fn ledger_net(ledger: &Ledger) -> Net {
    let mut net = Net::new();
    for fill in &ledger.fills {
        let base = fill.symbol.strip_suffix(QUOTE).expect("tests trade against USDT");
        let fee = if fill.commission_asset == base {
            fill.commission
        } else {
            Decimal::ZERO
        };
        let moved = match fill.side.as_str() {
            "BUY" => fill.qty - fee,
            "SELL" => -fill.qty - fee,
            other => panic!("side {other:?}"),
        };
        *net.entry(fill.symbol.clone()).or_default() += moved;
    }
    net.retain(|_, quantity| !quantity.is_zero());
    net
}

/// What the book says.
///
/// # Errors
/// When position does not answer.
pub async fn book_net(calls: &Calls) -> Result<Net, String> {
    let book = calls.positions().await.map_err(|status| status.to_string())?;
    let mut net = Net::new();
    for position in book.positions {
        let quantity = parse_decimal("quantity", &position.quantity).map_err(|e| e.to_string())?;
        let signed = if position.side() == Side::Sell {
            -quantity
        } else {
            quantity
        };
        if !signed.is_zero() {
            net.insert(position.symbol, signed);
        }
    }
    Ok(net)
}

/// Waits until the book holds exactly the exchange's fills: the same trades, once each, and positions that are their
/// fold (P5).
///
/// # Panics
/// When that does not come about within `within`.
pub async fn assert_book_is_the_fold(cluster: &Cluster, within: Duration) {
    until_ok(
        "the book equals the fold of the exchange's fills (P5)",
        within,
        async || {
            let ledger = cluster.sim.ledger().await;
            let mut wanted: Vec<_> = ledger.fills.iter().map(|f| (f.symbol.clone(), f.trade_id)).collect();
            let book = cluster.calls.fills().await.map_err(|status| status.to_string())?;
            let mut known: Vec<_> = book.iter().map(|f| (f.symbol.clone(), f.trade_id)).collect();
            wanted.sort();
            known.sort();
            if wanted != known {
                let missing: Vec<_> = wanted.iter().filter(|key| !known.contains(key)).take(5).collect();
                let too_many: Vec<_> = known.iter().filter(|key| !wanted.contains(key)).take(5).collect();
                let counts = (wanted.len(), known.len());
                return Err(format!(
                    "exchange and book have {counts:?} fills; missing {missing:?}, too many {too_many:?}"
                ));
            }
            let (exchange, book) = (ledger_net(&ledger), book_net(&cluster.calls).await?);
            if exchange == book {
                Ok(())
            } else {
                Err(format!("exchange {exchange:?}, book {book:?}"))
            }
        },
    )
    .await;
}
