use std::fmt;

use crate::{FieldError, StrategyId, Symbol};

/// What a halt is about. Everything sorts first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    All,
    Strategy(StrategyId),
    Symbol(Symbol),
}

impl Scope {
    /// Reads the two fields of the wire, of which at most one may be set.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(strategy_id: &str, symbol: &str) -> Result<Self, FieldError> {
        match (strategy_id.is_empty(), symbol.is_empty()) {
            (true, true) => Ok(Self::All),
            (false, true) => StrategyId::parse_as("scope.strategy_id", strategy_id).map(Self::Strategy),
            (true, false) => Symbol::parse_as("scope.symbol", symbol).map(Self::Symbol),
            (false, false) => Err(FieldError::new(
                "scope.symbol",
                symbol,
                "only one of scope.strategy_id and scope.symbol, or none for everything",
            )),
        }
    }

    /// Whether an order of this symbol and strategy is in it.
    pub fn covers(&self, symbol: &str, strategy_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Strategy(strategy) => strategy.as_str() == strategy_id,
            Self::Symbol(own) => own.as_str() == symbol,
        }
    }

    /// The strategy, or nothing.
    pub fn strategy_id(&self) -> &str {
        match self {
            Self::Strategy(strategy) => strategy.as_str(),
            Self::All | Self::Symbol(_) => "",
        }
    }

    /// The symbol, or nothing.
    pub fn symbol(&self) -> &str {
        match self {
            Self::Symbol(symbol) => symbol.as_str(),
            Self::All | Self::Strategy(_) => "",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Strategy(strategy) => write!(f, "strategy {strategy}"),
            Self::Symbol(symbol) => write!(f, "symbol {symbol}"),
        }
    }
}

/// How far a halt goes; each level does what the ones before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HaltLevel {
    HaltNew,
    CancelOrders,
    Flatten,
}

impl HaltLevel {
    /// As it stands in events, tables and settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HaltNew => "halt",
            Self::CancelOrders => "cancel",
            Self::Flatten => "flatten",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::HaltNew, Self::CancelOrders, Self::Flatten]
            .into_iter()
            .find(|level| level.as_str() == text)
    }

    /// Whether there is something to carry out at the exchange.
    pub fn stops_orders(self) -> bool {
        match self {
            Self::HaltNew => false,
            Self::CancelOrders | Self::Flatten => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_everything_one_strategy_or_one_symbol() {
        assert_eq!(Scope::parse("", ""), Ok(Scope::All));
        let strategy = Scope::parse("s1", "").expect("a strategy");
        assert!(
            strategy.covers("BTCUSDT", "s1") && !strategy.covers("BTCUSDT", "") && !strategy.covers("BTCUSDT", "s2")
        );
        let symbol = Scope::parse("", "BTCUSDT").expect("a symbol");
        assert!(symbol.covers("BTCUSDT", "s1") && !symbol.covers("ETHUSDT", "s1"));
        assert_eq!(Scope::parse("s1", "BTCUSDT").expect_err("two").field, "scope.symbol");
        assert_eq!(Scope::parse("", "btc").expect_err("no symbol").field, "scope.symbol");
        assert!(Scope::All < strategy && Scope::All < symbol);
    }

    #[test]
    fn levels_rise_and_are_read_back() {
        assert!(HaltLevel::HaltNew < HaltLevel::CancelOrders && HaltLevel::CancelOrders < HaltLevel::Flatten);
        for level in [HaltLevel::HaltNew, HaltLevel::CancelOrders, HaltLevel::Flatten] {
            assert_eq!(HaltLevel::parse(level.as_str()), Some(level));
        }
        assert_eq!(HaltLevel::parse("more"), None);
    }
}
