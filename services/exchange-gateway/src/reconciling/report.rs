//! What a pass came to, as the API shows it.

use std::collections::BTreeMap;

use thunes_proto::gateway::v1 as pb;
use thunes_types::Decimal;

use super::Pass;
use crate::domain::reconcile::{
    BalanceLine, Class, Comparison, Difference, PositionLine, Repair, Unexplained, unexplained_value,
};
use crate::engine::Engine;
use crate::error::GatewayError;

/// Most discrepancies, and most notes, in one answer; all are counted.
const SHOWN_MAX: usize = 500;

pub(super) fn undetermined(error: &GatewayError) -> pb::ReconcileResponse {
    pb::ReconcileResponse {
        verdict: pb::ReconcileVerdict::Undetermined as i32,
        undetermined_reason: error.to_string(),
        ..Default::default()
    }
}

impl Engine {
    /// The pass as an answer.
    ///
    /// # Errors
    /// When a value does not fit.
    pub(super) fn shown_pass(&self, pass: &Result<Pass, GatewayError>) -> Result<pb::ReconcileResponse, GatewayError> {
        let pass = match pass {
            Ok(pass) => pass,
            Err(error) => return Ok(undetermined(error)),
        };
        let left = pass.after.identities();
        let shown = pass.first.differences.iter().take(SHOWN_MAX).map(|difference| {
            let mut wire = difference_to_wire(difference);
            if pass.adopted {
                wire.repaired = !left.contains(&difference.identity());
                wire.repair_result = match pass.failures.get(&difference.identity()) {
                    Some(why) => why.clone(),
                    None if wire.repaired => "gone after the repair; both sides agree".into(),
                    None => "not a repair that is safe to do without a person".into(),
                };
            }
            wire
        });
        let worth = self.unexplained(&pass.after)?;
        let total = pass.first.differences.len() as u64 + pass.first.left_out;
        let clean = left.is_empty();
        Ok(pb::ReconcileResponse {
            verdict: if clean {
                pb::ReconcileVerdict::Clean
            } else {
                pb::ReconcileVerdict::Discrepancies
            } as i32,
            discrepancies: shown.collect(),
            notes: pass
                .after
                .notes
                .iter()
                .take(SHOWN_MAX)
                .map(difference_to_wire)
                .collect(),
            balances: pass.after.balances.iter().map(balance_to_wire).collect(),
            positions: pass.after.positions.iter().map(position_to_wire).collect(),
            fills_compared: pass.fills_compared,
            fills_agreed_before: pass.fills_agreed_before,
            open_orders_compared: pass.open_orders,
            book_revision: pass.revision,
            full: pass.full,
            discrepancies_total: i64::try_from(total).unwrap_or(i64::MAX),
            unexplained: worth.value_quote.normalize().to_string(),
            unexplained_asset: self.reference_asset(),
            unexplained_above_tolerance: worth.is_above(self.config.reconcile.tolerance_quote),
            ..Default::default()
        })
    }

    /// What the balances that nothing explains are worth, in the reference asset, at last prices.
    pub(super) fn unexplained(&self, comparison: &Comparison) -> Result<Unexplained, GatewayError> {
        Ok(unexplained_value(comparison, &self.asset_prices())?)
    }

    /// The quote asset of the first symbol: what values are given in.
    pub(super) fn reference_asset(&self) -> String {
        let first = self
            .config
            .symbols
            .first()
            .and_then(|symbol| self.rules(symbol.as_str()));
        first.map(|rules| rules.quote_asset).unwrap_or_default()
    }

    fn asset_prices(&self) -> BTreeMap<String, Decimal> {
        let reference = self.reference_asset();
        let mut prices = BTreeMap::new();
        for (symbol, price, _) in self.prices() {
            if let Some(rules) = self.rules(&symbol).filter(|rules| rules.quote_asset == reference) {
                prices.insert(rules.base_asset, price);
            }
        }
        prices.insert(reference, Decimal::ONE);
        prices
    }
}

fn class_to_wire(class: Class) -> pb::DiscrepancyClass {
    match class {
        Class::MissedFill => pb::DiscrepancyClass::MissedFill,
        Class::PhantomFill => pb::DiscrepancyClass::PhantomFill,
        Class::ExternalTrade => pb::DiscrepancyClass::ExternalTrade,
        Class::UnknownOpenOrder => pb::DiscrepancyClass::UnknownOpenOrder,
        Class::PhantomOrder => pb::DiscrepancyClass::PhantomOrder,
        Class::FillMismatch => pb::DiscrepancyClass::FillMismatch,
        Class::InDoubt => pb::DiscrepancyClass::InDoubt,
        Class::UnexplainedBalance => pb::DiscrepancyClass::UnexplainedBalance,
        Class::PositionMismatch => pb::DiscrepancyClass::PositionMismatch,
        Class::DuplicateFill => pb::DiscrepancyClass::DuplicateFill,
        Class::FeeDifference => pb::DiscrepancyClass::FeeDifference,
        Class::Dust => pb::DiscrepancyClass::Dust,
        Class::DepositWithdrawal => pb::DiscrepancyClass::DepositWithdrawal,
        Class::ExternalLock => pb::DiscrepancyClass::ExternalLock,
        Class::TestnetWipe => pb::DiscrepancyClass::TestnetWipe,
        Class::TurnedUp => pb::DiscrepancyClass::TurnedUp,
    }
}

fn repair_to_wire(repair: Repair) -> pb::ProposedRepair {
    match repair {
        Repair::Nothing => pb::ProposedRepair::Nothing,
        Repair::AdoptFill => pb::ProposedRepair::AdoptFill,
        Repair::Wait => pb::ProposedRepair::Wait,
        Repair::CancelAtExchange => pb::ProposedRepair::CancelAtExchange,
        Repair::RestorePosition => pb::ProposedRepair::RestorePosition,
        Repair::Investigate => pb::ProposedRepair::Investigate,
    }
}

fn difference_to_wire(difference: &Difference) -> pb::Discrepancy {
    pb::Discrepancy {
        class: class_to_wire(difference.class) as i32,
        symbol: difference.symbol.clone(),
        asset: difference.asset.clone(),
        local_json: difference.local.to_string(),
        exchange_json: difference.exchange.to_string(),
        difference: difference
            .difference
            .map_or_else(String::new, |v| v.normalize().to_string()),
        cause: difference.cause.clone(),
        proposed_repair: difference.proposed_repair.clone(),
        repaired: false,
        repair_result: String::new(),
        repair: repair_to_wire(difference.repair) as i32,
    }
}

fn balance_to_wire(line: &BalanceLine) -> pb::BalanceComparison {
    pb::BalanceComparison {
        asset: line.asset.clone(),
        baseline: line.baseline.to_string(),
        fills: line.trades.to_string(),
        expected: line.expected.to_string(),
        exchange: line.exchange.to_string(),
        difference: line.difference.to_string(),
        transfers: line.transfers.normalize().to_string(),
    }
}

fn position_to_wire(line: &PositionLine) -> pb::PositionComparison {
    pb::PositionComparison {
        symbol: line.symbol.clone(),
        book: line.book.to_string(),
        exchange: line.exchange.to_string(),
        difference: line.difference.to_string(),
    }
}
