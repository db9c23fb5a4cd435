use thunes_types::Decimal;

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Where an order stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OrderState {
            $($(#[$doc])* $variant,)*
        }

        impl OrderState {
            pub fn as_str(self) -> &'static str {
                match self {
                    $(OrderState::$variant => $text,)*
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(OrderState::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

states! {
    /// By us; never sent.
    Denied = "DENIED",
    /// Written down, perhaps being sent.
    Intent = "INTENT",
    /// Sent, perhaps; the exchange is being asked.
    InDoubt = "IN_DOUBT",
    New = "NEW",
    PartiallyFilled = "PARTIALLY_FILLED",
    Filled = "FILLED",
    Canceled = "CANCELED",
    /// By the exchange.
    Rejected = "REJECTED",
    Expired = "EXPIRED",
    /// It was in doubt, and the exchange's word is that it never arrived.
    NeverArrived = "NEVER_ARRIVED",
}

impl OrderState {
    /// Nothing more can happen to it.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Denied | Self::Filled | Self::Canceled | Self::Rejected | Self::Expired | Self::NeverArrived => true,
            Self::Intent | Self::InDoubt | Self::New | Self::PartiallyFilled => false,
        }
    }

    /// The exchange has had it.
    pub fn is_accepted(self) -> bool {
        match self {
            Self::New | Self::PartiallyFilled | Self::Filled | Self::Canceled | Self::Expired => true,
            Self::Denied | Self::Intent | Self::InDoubt | Self::Rejected | Self::NeverArrived => false,
        }
    }

    /// We do not know whether the exchange has it.
    pub fn is_unknown(self) -> bool {
        match self {
            Self::Intent | Self::InDoubt => true,
            Self::Denied
            | Self::New
            | Self::PartiallyFilled
            | Self::Filled
            | Self::Canceled
            | Self::Rejected
            | Self::Expired
            | Self::NeverArrived => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

/// What the exchange says of an order, from whichever source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeWord {
    pub state: OrderState,
    pub venue_order_id: String,
    pub executed_quantity: Decimal,
    pub executed_quote: Decimal,
}

/// What we believe of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belief {
    pub state: OrderState,
    pub venue_order_id: String,
    pub executed_quantity: Decimal,
    pub executed_quote: Decimal,
    /// The state is an operator's word: any word of the exchange goes above it.
    pub by_operator: bool,
}

impl Belief {
    /// Takes over what the exchange says. Words come late, twice and out of order: executed amounts only grow, and an
    /// ended order stays ended. Returns None when nothing changes.
    pub fn hear(&self, word: &ExchangeWord) -> Option<Belief> {
        let newer = word.executed_quantity >= self.executed_quantity;
        let state = if self.by_operator {
            word.state
        } else if self.state.is_accepted() && self.state.is_terminal() {
            self.state
        } else if word.state.is_terminal() || newer || self.state.is_unknown() {
            word.state
        } else {
            self.state
        };
        let next = Belief {
            state,
            venue_order_id: if word.venue_order_id.is_empty() {
                self.venue_order_id.clone()
            } else {
                word.venue_order_id.clone()
            },
            executed_quantity: self.executed_quantity.max(word.executed_quantity),
            executed_quote: self.executed_quote.max(word.executed_quote),
            by_operator: false,
        };
        (next != *self).then_some(next)
    }

    /// Whether the exchange's word shows that it was wrong to think that the order had ended so: it was said never to have
    /// arrived, or an operator had said something else.
    pub fn is_contradicted_by(&self, word: &ExchangeWord) -> bool {
        let never = self.state == OrderState::NeverArrived && word.state.is_accepted();
        never || (self.by_operator && word.state != self.state)
    }
}

/// Whether "no such order" may be believed: the exchange's own time must be past the order's receive window and a margin,
/// since the order may have been on its way when the question was asked. `exchange_now_ms` must be the earliest that the
/// exchange's clock can show when it was asked.
pub fn absence_is_proof(signed_timestamp_ms: i64, recv_window_ms: i64, exchange_now_ms: i64) -> bool {
    exchange_now_ms > signed_timestamp_ms + recv_window_ms + ABSENCE_MARGIN_MS
}

/// See [`absence_is_proof`].
pub const ABSENCE_MARGIN_MS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn belief(state: OrderState, executed: i64) -> Belief {
        let amount = Decimal::from(executed);
        Belief {
            state,
            venue_order_id: String::new(),
            executed_quantity: amount,
            executed_quote: amount,
            by_operator: false,
        }
    }

    fn word(state: OrderState, executed: i64) -> ExchangeWord {
        let amount = Decimal::from(executed);
        ExchangeWord {
            state,
            venue_order_id: "7".into(),
            executed_quantity: amount,
            executed_quote: amount,
        }
    }

    #[test]
    fn p4_an_early_no_is_no_proof() {
        assert!(!absence_is_proof(1000, 2000, 13_000));
        assert!(absence_is_proof(1000, 2000, 13_001));
    }

    #[test]
    fn p4_doubt_ends_with_the_exchanges_word() {
        let known = belief(OrderState::InDoubt, 0)
            .hear(&word(OrderState::Filled, 5))
            .expect("news");
        assert_eq!((known.state, known.venue_order_id.as_str()), (OrderState::Filled, "7"));
    }

    #[test]
    fn p4_the_exchanges_word_goes_above_an_operators() {
        for said in [OrderState::Canceled, OrderState::Expired, OrderState::NeverArrived] {
            let resolved = Belief {
                by_operator: true,
                ..belief(said, 0)
            };
            let filled = word(OrderState::Filled, 5);
            assert!(resolved.is_contradicted_by(&filled), "{said:?}");
            let known = resolved.hear(&filled).expect("news");
            assert_eq!(
                (known.state, known.by_operator),
                (OrderState::Filled, false),
                "{said:?}"
            );
            assert!(!known.is_contradicted_by(&filled));
        }
        let resolved = Belief {
            by_operator: true,
            ..belief(OrderState::Canceled, 0)
        };
        assert!(
            !resolved.is_contradicted_by(&word(OrderState::Canceled, 0)),
            "the same is no contradiction"
        );
        let by_itself = belief(OrderState::NeverArrived, 0);
        assert!(by_itself.is_contradicted_by(&word(OrderState::New, 0)));
        assert_eq!(
            by_itself.hear(&word(OrderState::New, 0)).map(|b| b.state),
            Some(OrderState::New)
        );
    }

    proptest! {
        // The words of one order, in any order and any number of times, end in the same belief.
        #[test]
        fn p5_order_and_repetition_of_words_do_not_matter(order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(), again in 0usize..4) {
            let words = [
                word(OrderState::New, 0),
                word(OrderState::PartiallyFilled, 2),
                word(OrderState::PartiallyFilled, 4),
                word(OrderState::Filled, 5),
            ];
            let mut believed = belief(OrderState::Intent, 0);
            for index in order.iter().chain([&again]) {
                believed = believed.hear(&words[*index]).unwrap_or(believed);
            }
            prop_assert_eq!(believed, Belief { venue_order_id: "7".into(), ..belief(OrderState::Filled, 5) });
        }
    }
}
