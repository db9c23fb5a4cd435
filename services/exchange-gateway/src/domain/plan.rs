use thunes_types::{
    ClientOrderId, Decimal, MoneyError, ReasonCode, StrategyId, Symbol, checked_mul_exact, mul_div_half_even,
};

use super::filters::{Measured, Surroundings, SymbolRules};
use super::order::Side;

/// How much: in the base or in the quote asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Base(Decimal),
    Quote(Decimal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInForce {
    Gtc,
    Ioc,
    Fok,
}

impl TimeInForce {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Market,
    Limit { price: Decimal, time_in_force: TimeInForce },
}

/// An order as the caller wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub client_order_id: ClientOrderId,
    pub symbol: Symbol,
    pub side: Side,
    pub amount: Amount,
    pub kind: Kind,
    pub strategy_id: StrategyId,
}

impl Wish {
    /// Everything but the id, in one line: two requests with the same id must have the same.
    pub fn payload(&self) -> String {
        let amount = match self.amount {
            Amount::Base(quantity) => format!("base {}", quantity.normalize()),
            Amount::Quote(quote) => format!("quote {}", quote.normalize()),
        };
        let kind = match self.kind {
            Kind::Market => "MARKET".to_owned(),
            Kind::Limit { price, time_in_force } => format!("LIMIT {} {}", price.normalize(), time_in_force.as_str()),
        };
        format!(
            "{}|{}|{amount}|{kind}|{}",
            self.symbol,
            self.side.as_str(),
            self.strategy_id
        )
    }
}

/// An order as it will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Base; None for a market order that spends quote.
    pub quantity: Option<Decimal>,
    /// Quote that a market order spends.
    pub quote_amount: Option<Decimal>,
    /// Quote: what it is worth, by its own price or by the last one.
    pub notional: Decimal,
}

/// Why an order cannot be made as wished; it is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplannable {
    pub code: ReasonCode,
    pub text: String,
}

/// Places that a quotient keeps before it is cut down to a lot.
const QUOTIENT_SCALE: u32 = 18;

/// Turns a wish into numbers that the exchange's filters accept, or says which filter refuses and why.
///
/// # Errors
/// The reason to deny the order.
pub fn plan(wish: &Wish, rules: &SymbolRules, now: &Surroundings) -> Result<Plan, Unplannable> {
    // Whether a closing order can trade now is for the exchange to say: what we know of it may be old.
    if !rules.trading && wish.side == Side::Buy {
        return Err(deny(
            ReasonCode::FilterFailed,
            format!(
                "❌ {} does not trade at the exchange now: its status is {}",
                rules.symbol, rules.status
            ),
        ));
    }
    let price = match wish.kind {
        Kind::Limit { price, .. } => Some(price),
        Kind::Market => now.last_price,
    };
    let measured = |quantity, quote_amount| Measured {
        side: wish.side,
        quantity,
        limit_price: match wish.kind {
            Kind::Limit { price, .. } => Some(price),
            Kind::Market => None,
        },
        quote_amount,
    };
    let market = wish.kind == Kind::Market;
    if let (Amount::Quote(quote), Side::Buy, true) = (wish.amount, wish.side, market) {
        let spend = quote.normalize();
        if spend.scale() > rules.quote_precision {
            let text = format!(
                "❌ Filter QUOTE_PRECISION: {quote}, allowed are {} places",
                rules.quote_precision
            );
            return Err(deny(ReasonCode::FilterFailed, text));
        }
        rules.check(&measured(None, Some(spend)), now).map_err(|f| filter(&f))?;
        return Ok(Plan {
            quantity: None,
            quote_amount: Some(spend),
            notional: spend,
        });
    }
    if let (Amount::Base(quantity), Side::Sell, None) = (wish.amount, wish.side, price) {
        // Closing must not wait for a price. Limits of size do not apply to it, so the quantity stands for its worth.
        let quantity = quantity.normalize();
        rules
            .check(&measured(Some(quantity), None), now)
            .map_err(|f| filter(&f))?;
        return Ok(Plan {
            quantity: Some(quantity),
            quote_amount: None,
            notional: quantity,
        });
    }
    let Some(price) = price else {
        return Err(deny(
            ReasonCode::PriceUnknown,
            format!("❌ The last price of {} is not known yet", rules.symbol),
        ));
    };
    let quantity = match wish.amount {
        Amount::Base(quantity) => quantity.normalize(),
        // Rounded down: a sale must never exceed what it was meant to be.
        Amount::Quote(quote) => {
            let exact = mul_div_half_even(quote, Decimal::ONE, price, QUOTIENT_SCALE).map_err(|e| overflow(&e))?;
            rules
                .floor_quantity(exact, market)
                .map_err(|e| overflow(&e))?
                .normalize()
        }
    };
    rules
        .check(&measured(Some(quantity), None), now)
        .map_err(|f| filter(&f))?;
    let notional = checked_mul_exact(quantity, price).map_err(|e| overflow(&e))?;
    Ok(Plan {
        quantity: Some(quantity),
        quote_amount: None,
        notional,
    })
}

fn deny(code: ReasonCode, text: String) -> Unplannable {
    Unplannable { code, text }
}

fn filter(failure: &super::filters::FilterFailure) -> Unplannable {
    deny(
        ReasonCode::FilterFailed,
        format!(
            "❌ Filter {}: {}, allowed is {}",
            failure.filter, failure.value, failure.bound
        ),
    )
}

fn overflow(error: &MoneyError) -> Unplannable {
    deny(ReasonCode::AmountOverflow, format!("❌ {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    fn rules() -> SymbolRules {
        SymbolRules {
            symbol: "BTCUSDT".into(),
            quote_asset: "USDT".into(),
            trading: true,
            price_tick: d("0.01"),
            lot: crate::domain::filters::Lot {
                min: d("0.00001"),
                max: d("9000"),
                step: d("0.00001"),
            },
            notional_min: d("5"),
            notional_min_applies_to_market: true,
            quote_precision: 8,
            ..SymbolRules::default()
        }
    }

    fn priced(last_price: &str) -> Surroundings {
        Surroundings {
            last_price: Some(d(last_price)),
            ..Surroundings::default()
        }
    }

    fn wish(side: Side, amount: Amount, kind: Kind) -> Wish {
        Wish {
            client_order_id: ClientOrderId::parse("a").expect("id"),
            symbol: Symbol::parse("BTCUSDT").expect("symbol"),
            side,
            amount,
            kind,
            strategy_id: StrategyId::parse("").expect("strategy"),
        }
    }

    #[test]
    fn p2_a_sale_in_quote_becomes_a_quantity_rounded_down() {
        let planned = plan(
            &wish(Side::Sell, Amount::Quote(d("100")), Kind::Market),
            &rules(),
            &priced("60001"),
        )
        .expect("plan");
        assert_eq!(planned.quantity, Some(d("0.00166")));
        assert!(planned.notional <= d("100"));
    }

    #[test]
    fn a_purchase_in_quote_is_sent_in_quote() {
        let planned = plan(
            &wish(Side::Buy, Amount::Quote(d("100")), Kind::Market),
            &rules(),
            &Surroundings::default(),
        )
        .expect("plan");
        assert_eq!((planned.quantity, planned.quote_amount), (None, Some(d("100"))));
    }

    #[test]
    fn what_a_filter_refuses_is_denied_with_its_numbers() {
        let dust = plan(
            &wish(Side::Buy, Amount::Quote(d("1")), Kind::Market),
            &rules(),
            &Surroundings::default(),
        )
        .expect_err("dust");
        assert_eq!(dust.code, ReasonCode::FilterFailed);
        assert!(
            dust.text.contains("NOTIONAL") && dust.text.contains(">= 5 USDT"),
            "{}",
            dust.text
        );
        let closing = plan(
            &wish(Side::Sell, Amount::Base(d("1")), Kind::Market),
            &rules(),
            &Surroundings::default(),
        )
        .expect("P2: closing passes");
        assert_eq!(closing.quantity, Some(d("1")));
        let unpriced = plan(
            &wish(Side::Buy, Amount::Base(d("1")), Kind::Market),
            &rules(),
            &Surroundings::default(),
        )
        .expect_err("no price");
        assert_eq!(unpriced.code, ReasonCode::PriceUnknown);
        let huge = plan(
            &wish(Side::Buy, Amount::Base(d("1000000000000000")), Kind::Market),
            &rules(),
            &priced("60000"),
        );
        assert_eq!(huge.expect_err("too large").code, ReasonCode::FilterFailed);
    }
}
