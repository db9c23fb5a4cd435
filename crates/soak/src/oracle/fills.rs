//! Fills: the book has the exchange's trades, each once, and its positions are their fold.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::{Evidence, Execution, Net, Verdict};

type Key<'a> = (&'a str, i64);

fn by_key(fills: &[Execution]) -> BTreeMap<Key<'_>, Vec<&Execution>> {
    let mut keyed: BTreeMap<Key<'_>, Vec<&Execution>> = BTreeMap::new();
    for fill in fills {
        keyed.entry((&fill.symbol, fill.trade_id)).or_default().push(fill);
    }
    keyed
}

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    let (exchange, book) = (by_key(&evidence.exchange_fills), by_key(&evidence.book_fills));
    let ours: BTreeSet<&str> = evidence
        .exchange
        .iter()
        .map(|order| order.client_order_id.as_str())
        .collect();
    let keys: BTreeSet<Key<'_>> = exchange.keys().chain(book.keys()).copied().collect();
    for key in keys {
        verdict.counts.fills_compared += 1;
        let booked = book.get(&key).map(Vec::as_slice).unwrap_or_default();
        let Some(traded) = exchange.get(&key).and_then(|fills| fills.first()) else {
            verdict.count(
                |c| &mut c.phantom,
                || format!("in the book and not at the exchange: {booked:?}"),
            );
            continue;
        };
        match booked {
            [] => verdict.count(
                |c| &mut c.missing,
                || format!("at the exchange and not in the book: {traded:?}"),
            ),
            [once] if agrees(once, traded, &ours) => {}
            [once] => verdict.count(
                |c| &mut c.missing,
                || format!("the book has another trade under this number: {once:?}; {traded:?}"),
            ),
            more => verdict.count(
                |c| &mut c.doubled,
                || format!("the book counts a trade more than once: {more:?}"),
            ),
        }
    }
    let wanted = net(&evidence.exchange_fills);
    for symbol in wanted.keys().chain(evidence.book_net.keys()).collect::<BTreeSet<_>>() {
        let of = |net: &Net| net.get(symbol).copied().unwrap_or_default();
        let (exchange, book) = (of(&wanted), of(&evidence.book_net));
        if exchange != book {
            verdict.count(
                |c| &mut c.positions_wrong,
                || format!("{symbol}: the exchange's fills make {exchange}, the book says {book}"),
            );
        }
    }
}

/// The same trade. What somebody else traded on the account bears no name of ours.
fn agrees(booked: &Execution, traded: &Execution, ours: &BTreeSet<&str>) -> bool {
    let named = ours.contains(traded.client_order_id.as_str());
    let booked = Execution {
        client_order_id: if named { booked } else { traded }.client_order_id.clone(),
        ..booked.clone()
    };
    booked == *traded
}

/// What fills add up to, with fees in the base asset taken off.
fn net(fills: &[Execution]) -> Net {
    let mut net = Net::new();
    for fill in fills {
        let fee = if !fill.commission_asset.is_empty() && fill.symbol.starts_with(&fill.commission_asset) {
            fill.commission
        } else {
            Decimal::ZERO
        };
        let moved = if fill.buys { fill.quantity } else { -fill.quantity };
        *net.entry(fill.symbol.clone()).or_default() += moved - fee;
    }
    net.retain(|_, quantity| !quantity.is_zero());
    net
}
