use crate::ErrorKind;

/// The matching engine's refusals, by the documented start of the message, in lower case.
const REJECTIONS: &[(&str, ErrorKind)] = &[
    ("duplicate order sent", ErrorKind::DuplicateOrderSent),
    ("account has insufficient balance", ErrorKind::InsufficientBalance),
    ("market is closed", ErrorKind::MarketClosed),
    ("order would immediately match and take", ErrorKind::WouldTakeLiquidity),
    ("this action is disabled on this account", ErrorKind::AccountRestricted),
    (
        "this account may not place or cancel orders",
        ErrorKind::AccountRestricted,
    ),
    (
        "this symbol is not permitted for this account",
        ErrorKind::AccountRestricted,
    ),
    (
        "this symbol is restricted for this account",
        ErrorKind::AccountRestricted,
    ),
    ("rest api trading is not enabled", ErrorKind::AccountRestricted),
    ("websocket api trading is not enabled", ErrorKind::AccountRestricted),
    ("unknown order sent", ErrorKind::OrderRejected),
    ("market orders are not supported", ErrorKind::OrderRejected),
    ("iceberg orders are not supported", ErrorKind::OrderRejected),
    ("stop loss orders are not supported", ErrorKind::OrderRejected),
    ("stop loss limit orders are not supported", ErrorKind::OrderRejected),
    ("take profit orders are not supported", ErrorKind::OrderRejected),
    ("take profit limit orders are not supported", ErrorKind::OrderRejected),
    ("trailing stop orders are not supported", ErrorKind::OrderRejected),
    (
        "quote order qty market orders are not support",
        ErrorKind::OrderRejected,
    ),
    ("oco orders are not supported", ErrorKind::OrderRejected),
    ("order cancel-replace is not supported", ErrorKind::OrderRejected),
    ("price * qty is zero or less", ErrorKind::OrderRejected),
    ("icebergqty exceeds qty", ErrorKind::OrderRejected),
    ("unsupported order combination", ErrorKind::OrderRejected),
    ("order would trigger immediately", ErrorKind::OrderRejected),
    ("cancel order is invalid", ErrorKind::OrderRejected),
    ("the relationship of the prices", ErrorKind::OrderRejected),
    (
        "order was not canceled due to cancel restrictions",
        ErrorKind::OrderRejected,
    ),
    ("order book liquidity is less than", ErrorKind::OrderRejected),
    ("filter failure", ErrorKind::OrderRejected),
];

/// What a -2010 or -1010 means. Only a documented message counts as a refusal: anything else might be the duplicate,
/// whose order was accepted, in other words.
pub(crate) fn kind_of_rejection(message: &str) -> ErrorKind {
    let lower = message.trim().to_ascii_lowercase();
    REJECTIONS
        .iter()
        .find(|(start, _)| lower.starts_with(start))
        .map_or(ErrorKind::UnlistedRejection, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Execution;

    #[test]
    fn the_documented_messages_are_told_apart() {
        for (message, kind) in [
            ("Duplicate order sent.", ErrorKind::DuplicateOrderSent),
            (
                "Account has insufficient balance for requested action.",
                ErrorKind::InsufficientBalance,
            ),
            ("Market is closed.", ErrorKind::MarketClosed),
            ("Order would immediately match and take.", ErrorKind::WouldTakeLiquidity),
            (
                "This account may not place or cancel orders.",
                ErrorKind::AccountRestricted,
            ),
            ("Unsupported order combination", ErrorKind::OrderRejected),
        ] {
            assert_eq!(kind_of_rejection(message), kind, "{message}");
        }
    }

    #[test]
    fn p4_other_words_are_unclear() {
        for message in ["", "The order is a duplicate.", "NEW_ORDER_REJECTED", "Sorry"] {
            assert_eq!(kind_of_rejection(message).execution(), Execution::Unclear, "{message}");
        }
    }
}
