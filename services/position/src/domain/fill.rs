use std::fmt;

use thunes_types::{Decimal, FieldError, StrategyId, Symbol};

/// Which way a fill or a position goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Buy, Self::Sell].into_iter().find(|side| side.as_str() == text)
    }
}

/// How a fill came to be known. It says nothing about the fill itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillSource {
    Unspecified,
    OrderAnswer,
    Stream,
    Query,
    Adopted,
}

impl FillSource {
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::OrderAnswer,
        Self::Stream,
        Self::Query,
        Self::Adopted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::OrderAnswer => "ORDER_ANSWER",
            Self::Stream => "STREAM",
            Self::Query => "QUERY",
            Self::Adopted => "ADOPTED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// What is traded or paid in, such as BTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asset(String);

impl Asset {
    /// Longest name of an asset.
    pub const LENGTH_MAX: usize = 20;

    /// Reads the name from the wire.
    ///
    /// # Errors
    /// Names the field, the value and the rule.
    pub fn parse_as(field: &str, text: &str) -> Result<Self, FieldError> {
        let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FieldError::new(
                field,
                text,
                "1 to 20 upper case letters and digits, such as BTC",
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a fill in the fold of its symbol: first the exchange's time, then its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FillOrder {
    pub executed_at_ms: i64,
    pub trade_id: i64,
}

/// One execution at the exchange; (symbol, trade_id) is its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    pub symbol: Symbol,
    pub trade_id: i64,
    pub base_asset: Asset,
    pub quote_asset: Asset,
    pub side: Side,
    /// Quote per base.
    pub price: Decimal,
    /// Base, before any fee.
    pub quantity: Decimal,
    /// Quote, as the exchange states it.
    pub quote_quantity: Decimal,
    pub commission: Decimal,
    /// None only where the commission is zero.
    pub commission_asset: Option<Asset>,
    pub executed_at_ms: i64,
    pub venue_order_id: String,
    /// May be empty.
    pub client_order_id: String,
    pub strategy_id: StrategyId,
    pub is_maker: bool,
    pub source: FillSource,
}

impl Fill {
    pub fn order(&self) -> FillOrder {
        FillOrder {
            executed_at_ms: self.executed_at_ms,
            trade_id: self.trade_id,
        }
    }

    /// The commission, when it was taken in `asset`; otherwise zero.
    pub fn commission_in(&self, asset: &Asset) -> Decimal {
        if self.commission_asset.as_ref() == Some(asset) {
            self.commission
        } else {
            Decimal::ZERO
        }
    }

    /// Which fields keep `self` and `other` from being one and the same execution. How we came to know of it does not
    /// count, and a name that only one of the two tellers knows contradicts nothing.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let contradict = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        let checks = [
            ("symbol", self.symbol != other.symbol),
            ("trade_id", self.trade_id != other.trade_id),
            ("base_asset", self.base_asset != other.base_asset),
            ("quote_asset", self.quote_asset != other.quote_asset),
            ("side", self.side != other.side),
            ("price", self.price != other.price),
            ("quantity", self.quantity != other.quantity),
            ("quote_quantity", self.quote_quantity != other.quote_quantity),
            ("commission", self.commission != other.commission),
            ("commission_asset", !self.same_commission_asset(other)),
            ("executed_at_ms", self.executed_at_ms != other.executed_at_ms),
            ("venue_order_id", self.venue_order_id != other.venue_order_id),
            (
                "client_order_id",
                contradict(&self.client_order_id, &other.client_order_id),
            ),
            (
                "strategy_id",
                contradict(self.strategy_id.as_str(), other.strategy_id.as_str()),
            ),
            ("is_maker", self.is_maker != other.is_maker),
        ];
        checks
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(field, _)| field)
            .collect()
    }

    // Of no commission it does not matter in which asset it was not taken.
    fn same_commission_asset(&self, other: &Self) -> bool {
        (self.commission.is_zero() && other.commission.is_zero()) || self.commission_asset == other.commission_asset
    }
}
