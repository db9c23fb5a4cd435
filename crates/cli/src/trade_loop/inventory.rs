use rust_decimal::{Decimal, RoundingStrategy};
use thunes_proto::gateway::v1::Order;
use thunes_proto::types::v1::Side;
use thunes_types::parse_decimal;

/// What one worker has bought and not sold yet, in the base asset.
///
/// The exchange takes quantities in steps that this side does not know. The executed quantities are whole steps, so
/// the finest of them tells the step; what is left below it stays for the next sale.
#[derive(Debug, Default)]
pub struct Inventory {
    held: Decimal,
    step_decimals: Option<u32>,
}

impl Inventory {
    /// Counts what an order has done to the holding, fees in the base asset included.
    pub fn count(&mut self, order: &Order, base_asset_of_fills: impl Fn(&str) -> bool) {
        let Ok(executed) = parse_decimal("executed_quantity", &order.executed_quantity) else {
            return;
        };
        if executed.is_zero() {
            return;
        }
        let decimals = executed.normalize().scale();
        self.step_decimals = Some(self.step_decimals.map_or(decimals, |known| known.max(decimals)));
        let fees: Decimal = order
            .fills
            .iter()
            .filter(|fill| base_asset_of_fills(&fill.commission_asset))
            .filter_map(|fill| parse_decimal("commission", &fill.commission).ok())
            .sum();
        match order.side() {
            Side::Buy => self.held += executed - fees,
            Side::Sell => self.held -= executed + fees,
            Side::Unspecified => {}
        }
        self.held = self.held.max(Decimal::ZERO);
    }

    /// What can be sold: whole steps.
    pub fn sellable(&self) -> Option<Decimal> {
        let whole = self
            .held
            .round_dp_with_strategy(self.step_decimals?, RoundingStrategy::ToZero);
        (!whole.is_zero()).then_some(whole)
    }

    /// The exchange would not let this be sold; it stays where it is, and is not tried again.
    pub fn write_off(&mut self) {
        self.held = Decimal::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use thunes_proto::types::v1::Fill;

    use super::*;

    fn order(side: Side, executed: &str, fee: &str, fee_asset: &str) -> Order {
        let fill = Fill {
            commission: fee.into(),
            commission_asset: fee_asset.into(),
            ..Fill::default()
        };
        Order {
            side: side.into(),
            executed_quantity: executed.into(),
            fills: vec![fill],
            ..Order::default()
        }
    }

    fn is_base(asset: &str) -> bool {
        asset == "BTC"
    }

    #[test]
    fn no_more_is_sold_than_was_credited_and_what_is_left_is_kept() {
        let mut inventory = Inventory::default();
        assert_eq!(inventory.sellable(), None);
        inventory.count(&order(Side::Buy, "0.00166000", "0.00000166", "BTC"), is_base);
        assert_eq!(
            inventory.sellable(),
            Some(Decimal::new(165, 5)),
            "0.00165834 in steps of 0.00001"
        );
        inventory.count(&order(Side::Sell, "0.00165000", "0.09", "USDT"), is_base);
        assert_eq!(inventory.sellable(), None, "0.00000834 is less than a step");
        inventory.count(&order(Side::Buy, "0.00200000", "0.00000200", "BTC"), is_base);
        assert_eq!(
            inventory.sellable(),
            Some(Decimal::new(200, 5)),
            "the rest of before counts"
        );
    }

    #[test]
    fn orders_without_executions_change_nothing() {
        let mut inventory = Inventory::default();
        inventory.count(&order(Side::Buy, "", "", ""), is_base);
        inventory.count(&order(Side::Buy, "0.00000000", "", ""), is_base);
        assert_eq!(inventory.sellable(), None);
        inventory.count(&order(Side::Buy, "1", "0", "BNB"), is_base);
        assert_eq!(inventory.sellable(), Some(Decimal::ONE));
        inventory.write_off();
        assert_eq!(inventory.sellable(), None);
    }
}
