use std::collections::{BTreeMap, BTreeSet};

use thunes_types::{Decimal, MoneyError, checked_add, checked_sub};

use super::difference::{Class, Difference, Repair};
use super::{Comparison, Snapshot};

/// Transfers that are shown as evidence; all of them count.
const TRANSFERS_SHOWN: usize = 5;

/// A deposit or withdrawal, as the user stream told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFact {
    pub asset: String,
    /// Negative for what left.
    pub delta: Decimal,
    /// Exchange time.
    pub cleared_at_ms: i64,
}

/// One asset compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalanceLine {
    pub asset: String,
    pub baseline: Decimal,
    pub trades: Decimal,
    pub transfers: Decimal,
    pub expected: Decimal,
    pub exchange: Decimal,
    pub difference: Decimal,
}

/// Adds a line for every asset, and gives back what nothing explains.
pub(super) fn compare_balances(s: &Snapshot, out: &mut Comparison) -> Result<Vec<Difference>, MoneyError> {
    let mut moved: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (asset, change) in s.symbols.iter().flat_map(|symbol| &symbol.exchange.effects) {
        let entry = moved.entry(asset).or_default();
        *entry = checked_add(*entry, *change)?;
    }
    let mut sent: BTreeMap<&str, Vec<&TransferFact>> = BTreeMap::new();
    for transfer in &s.transfers {
        sent.entry(&transfer.asset).or_default().push(transfer);
    }
    let assets: BTreeSet<&str> = s
        .baseline
        .keys()
        .chain(s.balances.keys())
        .map(String::as_str)
        .chain(moved.keys().copied())
        .chain(sent.keys().copied())
        .collect();
    let mut unexplained = Vec::new();
    for asset in assets {
        let of = |map: &BTreeMap<String, Decimal>| map.get(asset).copied().unwrap_or_default();
        let transfers = sent.get(asset).map_or(&[][..], Vec::as_slice);
        let mut line = BalanceLine {
            asset: asset.to_owned(),
            baseline: of(&s.baseline),
            trades: moved.get(asset).copied().unwrap_or_default(),
            exchange: of(&s.balances),
            ..BalanceLine::default()
        };
        for transfer in transfers {
            line.transfers = checked_add(line.transfers, transfer.delta)?;
        }
        line.expected = checked_add(checked_add(line.baseline, line.trades)?, line.transfers)?;
        line.difference = checked_sub(line.exchange, line.expected)?;
        if !transfers.is_empty() {
            out.notes.push(transferred(&line, transfers));
        }
        if !line.difference.is_zero() {
            unexplained.push(without_explanation(&line, s.stream_gap));
        }
        out.balances.push(line);
    }
    Ok(unexplained)
}

fn transferred(line: &BalanceLine, transfers: &[&TransferFact]) -> Difference {
    let shown = transfers.iter().rev().take(TRANSFERS_SHOWN);
    let shown: Vec<_> = shown
        .map(|t| serde_json::json!({ "delta": t.delta.to_string(), "cleared_at_ms": t.cleared_at_ms }))
        .collect();
    let mut note = Difference::new(Class::DepositWithdrawal, &line.asset)
        .why("the exchange's stream told of deposits or withdrawals since the baseline; they are part of what is expected")
        .mended_by(Repair::Nothing, "nothing: it is accounted for");
    note.asset.clone_from(&line.asset);
    note.local = local_json(line);
    note.exchange = serde_json::json!({ "transfers": transfers.len(), "newest": shown });
    note.difference = Some(line.transfers);
    note
}

fn local_json(line: &BalanceLine) -> serde_json::Value {
    serde_json::json!({
        "baseline": line.baseline.to_string(),
        "trades": line.trades.to_string(),
        "transfers": line.transfers.to_string(),
        "expected": line.expected.to_string(),
    })
}

fn without_explanation(line: &BalanceLine, stream_gap: bool) -> Difference {
    let direction = if line.difference > Decimal::ZERO {
        "deposit or transfer in"
    } else {
        "withdrawal or transfer out"
    };
    let seen = if stream_gap {
        "the user data stream was interrupted since both sides last agreed, so a transfer can have passed unseen; it is not assumed"
    } else {
        "the user data stream told of no transfer"
    };
    let mut difference = Difference::new(Class::UnexplainedBalance, &line.asset)
        .why(format!(
            "no trade and no transfer explains it; it has the shape of a {direction}, or of a trade in a symbol that is not in gateway.symbols; {seen}"
        ))
        .mended_by(
            Repair::Investigate,
            "find the transfer at the exchange; then override with a reason, or start over in a new data folder",
        );
    difference.asset.clone_from(&line.asset);
    difference.local = local_json(line);
    difference.exchange = serde_json::json!({ "balance": line.exchange.to_string() });
    difference.difference = Some(line.difference);
    difference
}

/// What is locked beyond what the open orders bind is locked by somebody else.
pub(super) fn compare_locks(s: &Snapshot, out: &mut Comparison) -> Result<(), MoneyError> {
    let mut bound: BTreeMap<&str, Decimal> = BTreeMap::new();
    let mut unclear: BTreeSet<&str> = BTreeSet::new();
    for order in &s.exchange_open {
        match &order.locks {
            Some((asset, amount)) => {
                let entry = bound.entry(asset).or_default();
                *entry = checked_add(*entry, *amount)?;
            }
            None => unclear.extend(order.assets.iter().map(String::as_str)),
        }
    }
    for (asset, locked) in &s.locked {
        let by_orders = bound.get(asset.as_str()).copied().unwrap_or_default();
        if *locked <= by_orders || unclear.contains(asset.as_str()) {
            continue;
        }
        let mut difference = Difference::new(Class::ExternalLock, asset)
            .why("more of it is locked than the open orders bind: the exchange or another product holds it")
            .mended_by(
                Repair::Investigate,
                "find out at the exchange what holds it; it cannot be traded meanwhile",
            );
        difference.asset.clone_from(asset);
        difference.local = serde_json::json!({ "bound_by_open_orders": by_orders.to_string() });
        difference.exchange = serde_json::json!({ "locked": locked.to_string() });
        difference.difference = Some(checked_sub(*locked, by_orders)?);
        out.push(difference);
    }
    Ok(())
}
