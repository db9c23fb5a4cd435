/// Whether a request that was answered with an error can have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// It had none: the exchange turned it away.
    Never,
    /// Nobody can tell from the answer; ask the exchange.
    Unclear,
}

macro_rules! error_kinds {
    (
        codes { $($(#[$doc:meta])* $variant:ident = $code:literal => $execution:ident,)* }
        others { $($(#[$odoc:meta])* $other:ident => $oexecution:ident,)* }
    ) => {
        /// What an error of the exchange means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $($(#[$doc])* $variant,)*
            $($(#[$odoc])* $other,)*
        }

        impl ErrorKind {
            /// The kinds that one code alone decides, with their codes.
            pub const BY_CODE: &'static [(i32, ErrorKind)] = &[$(($code, ErrorKind::$variant),)*];

            /// Whether a request that got this answer can have had an effect.
            pub fn execution(self) -> Execution {
                match self {
                    $(ErrorKind::$variant => Execution::$execution,)*
                    $(ErrorKind::$other => Execution::$oexecution,)*
                }
            }
        }
    };
}

error_kinds! {
    codes {
        /// An unknown error while processing.
        UnknownError = -1000 => Unclear,
        /// The exchange lost a connection inside.
        Disconnected = -1001 => Unclear,
        Unauthorized = -1002 => Never,
        /// Too much request weight; see `Retry-After`.
        TooManyRequests = -1003 => Never,
        /// An unexpected answer inside the exchange: execution unknown.
        UnexpectedResponse = -1006 => Unclear,
        /// The exchange waited in vain for its backend: execution unknown.
        Timeout = -1007 => Unclear,
        /// Overloaded; turned away before the matching engine.
        ServerBusy = -1008 => Never,
        /// A filter or another check failed; it never reached the matching engine.
        InvalidMessage = -1013 => Never,
        UnknownOrderComposition = -1014 => Never,
        /// Too many unfilled orders on the account.
        TooManyOrders = -1015 => Never,
        ServiceShuttingDown = -1016 => Unclear,
        UnsupportedOperation = -1020 => Never,
        /// The timestamp is older than the receive window, or too far ahead.
        InvalidTimestamp = -1021 => Never,
        InvalidSignature = -1022 => Never,
        /// Too many connections of the account or address.
        TooManyConnections = -1034 => Never,
        IllegalCharacters = -1100 => Never,
        TooManyParameters = -1101 => Never,
        ParameterMissing = -1102 => Never,
        UnknownParameter = -1103 => Never,
        UnreadParameters = -1104 => Never,
        ParameterEmpty = -1105 => Never,
        ParameterNotRequired = -1106 => Never,
        ParameterOverflow = -1108 => Never,
        BadPrecision = -1111 => Never,
        /// Nobody offers the other side of the order.
        NoDepth = -1112 => Never,
        TimeInForceNotRequired = -1114 => Never,
        InvalidTimeInForce = -1115 => Never,
        InvalidOrderType = -1116 => Never,
        InvalidSide = -1117 => Never,
        EmptyNewClientOrderId = -1118 => Never,
        EmptyOriginalClientOrderId = -1119 => Never,
        BadInterval = -1120 => Never,
        BadSymbol = -1121 => Never,
        InvalidSymbolStatus = -1122 => Never,
        InvalidListenKey = -1125 => Never,
        IntervalTooLarge = -1127 => Never,
        BadParameterCombination = -1128 => Never,
        InvalidParameter = -1130 => Never,
        /// More than 60 s.
        ReceiveWindowTooLarge = -1131 => Never,
        BadStrategyType = -1134 => Never,
        InvalidJson = -1135 => Never,
        InvalidTickerType = -1139 => Never,
        BadCancelRestrictions = -1145 => Never,
        DuplicateSymbols = -1151 => Never,
        /// More subscriptions than a connection may have.
        TooManySubscriptions = -1191 => Never,
        BadTimeUnit = -1194 => Never,
        /// The exchange has no such order. Soon after sending this is no proof that it never will.
        NoSuchOrder = -2013 => Never,
        BadApiKeyFormat = -2014 => Never,
        /// Wrong key, address or permission.
        RejectedApiKey = -2015 => Never,
        NoTradingWindow = -2016 => Never,
        CancelReplacePartiallyFailed = -2021 => Unclear,
        CancelReplaceFailed = -2022 => Never,
        /// Canceled or expired without a fill more than 90 days ago.
        OrderArchived = -2026 => Never,
        /// The account's events are subscribed to on this connection already.
        SubscriptionActive = -2035 => Never,
        SubscriptionInactive = -2036 => Never,
        AmendRejected = -2038 => Never,
        /// The order id and the client order id name two orders.
        ClientOrderIdMismatch = -2039 => Never,
    }
    others {
        /// -2010 or -1010: the client order id is open, hence that order was accepted.
        DuplicateOrderSent => Unclear,
        /// -2010 or -1010: not enough free balance.
        InsufficientBalance => Never,
        /// -2010 or -1010: the symbol does not trade now.
        MarketClosed => Never,
        /// -2010 or -1010: a maker order would have traded at once.
        WouldTakeLiquidity => Never,
        /// -2010 or -1010: the account may not trade, or not this symbol.
        AccountRestricted => Never,
        /// -2010 or -1010: any other of the documented messages.
        OrderRejected => Never,
        /// -2011: not canceled. The order may be filled or canceled already: query it.
        CancelRejected => Never,
        /// The firewall in front of the exchange (HTTP 403) turned the request away.
        Firewall => Never,
        /// A code between -1199 and -1100 that is not listed above: all of them are faults of the request.
        RequestFault => Never,
        /// -2010 or -1010 with a message that is not documented: it might say "duplicate" in other words.
        UnlistedRejection => Unclear,
        /// A code that is not listed.
        Unlisted => Unclear,
    }
}

impl ErrorKind {
    /// What `code` means; -1010 and -2010 mean what their message says.
    pub fn of(code: i32, message: &str) -> ErrorKind {
        match code {
            -1010 | -2010 => crate::reject_text::kind_of_rejection(message),
            -2011 => ErrorKind::CancelRejected,
            _ => Self::BY_CODE.iter().find(|(known, _)| *known == code).map_or_else(
                || {
                    if (-1199..=-1100).contains(&code) {
                        ErrorKind::RequestFault
                    } else {
                        ErrorKind::Unlisted
                    }
                },
                |(_, kind)| *kind,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_that_the_gateway_must_honour_has_its_meaning() {
        for (code, message, kind, execution) in [
            (
                -1003,
                "Too many requests.",
                ErrorKind::TooManyRequests,
                Execution::Never,
            ),
            (-1006, "x", ErrorKind::UnexpectedResponse, Execution::Unclear),
            (-1007, "x", ErrorKind::Timeout, Execution::Unclear),
            (-1008, "x", ErrorKind::ServerBusy, Execution::Never),
            (
                -1013,
                "Filter failure: LOT_SIZE",
                ErrorKind::InvalidMessage,
                Execution::Never,
            ),
            (-1015, "x", ErrorKind::TooManyOrders, Execution::Never),
            (-1021, "x", ErrorKind::InvalidTimestamp, Execution::Never),
            (-1022, "x", ErrorKind::InvalidSignature, Execution::Never),
            (-1121, "Invalid symbol.", ErrorKind::BadSymbol, Execution::Never),
            (
                -2010,
                "Duplicate order sent.",
                ErrorKind::DuplicateOrderSent,
                Execution::Unclear,
            ),
            (
                -2011,
                "Unknown order sent.",
                ErrorKind::CancelRejected,
                Execution::Never,
            ),
            (-2013, "Order does not exist.", ErrorKind::NoSuchOrder, Execution::Never),
        ] {
            let found = ErrorKind::of(code, message);
            assert_eq!((found, found.execution()), (kind, execution), "{code}");
        }
    }

    #[test]
    fn p4_an_unlisted_code_is_unclear_unless_its_range_says_otherwise() {
        assert_eq!(ErrorKind::of(-1199, "").execution(), Execution::Never);
        for code in [-1200, -1099, -2999, -1, 0, 1, i32::MIN] {
            assert_eq!(ErrorKind::of(code, "").execution(), Execution::Unclear, "{code}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        let codes: HashSet<i32> = ErrorKind::BY_CODE.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), ErrorKind::BY_CODE.len());
    }
}
