use std::fmt;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why something was denied, refused or failed: a closed set. Each has a page `docs/errors/<CODE>.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant,)*
        }

        impl ReasonCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$variant,)*];

            /// The stable name, as it stands in `reason_code` fields and in `google.rpc.ErrorInfo.reason`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $text,)*
                }
            }

            /// The code of that name.
            pub fn parse(text: &str) -> Option<ReasonCode> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

reason_codes! {
    /// A trade passed every check.
    TradePassed = "TRADE_PASSED",
    /// A closing order passed while the switch is active.
    SellAllowedDuringKillSwitch = "SELL_ALLOWED_DURING_KILL_SWITCH",
    // Denied by risk.
    KillSwitchActive = "KILL_SWITCH_ACTIVE",
    SymbolNotAllowed = "SYMBOL_NOT_ALLOWED",
    OrderNotionalAboveLimit = "ORDER_NOTIONAL_ABOVE_LIMIT",
    PositionNotionalAboveLimit = "POSITION_NOTIONAL_ABOVE_LIMIT",
    OpenPositionsAboveLimit = "OPEN_POSITIONS_ABOVE_LIMIT",
    DailyLossAboveLimit = "DAILY_LOSS_ABOVE_LIMIT",
    OrderRateAboveLimit = "ORDER_RATE_ABOVE_LIMIT",
    PriceOutsideCollar = "PRICE_OUTSIDE_COLLAR",
    DuplicateOrder = "DUPLICATE_ORDER",
    PositionsStale = "POSITIONS_STALE",
    PriceUnknown = "PRICE_UNKNOWN",
    // Denied by the gateway.
    RiskUnreachable = "RISK_UNREACHABLE",
    LeaseExpired = "LEASE_EXPIRED",
    ApprovalStale = "APPROVAL_STALE",
    ClockUncertain = "CLOCK_UNCERTAIN",
    AuditBacklogTooOld = "AUDIT_BACKLOG_TOO_OLD",
    ClosableQuantityExceeded = "CLOSABLE_QUANTITY_EXCEEDED",
    FilterFailed = "FILTER_FAILED",
    ExchangeUnreachable = "EXCHANGE_UNREACHABLE",
    ExchangeRateLimited = "EXCHANGE_RATE_LIMITED",
    GatewayStarting = "GATEWAY_STARTING",
    ReconciliationNotClean = "RECONCILIATION_NOT_CLEAN",
    JournalUnwritable = "JOURNAL_UNWRITABLE",
    AccountHeldByAnotherGateway = "ACCOUNT_HELD_BY_ANOTHER_GATEWAY",
    // The exchange's word.
    RejectedByExchange = "REJECTED_BY_EXCHANGE",
    NeverArrived = "NEVER_ARRIVED",
    OrderInDoubt = "ORDER_IN_DOUBT",
    ExchangeError = "EXCHANGE_ERROR",
    ExchangeSaysOtherwise = "EXCHANGE_SAYS_OTHERWISE",
    ResolvedByOperator = "RESOLVED_BY_OPERATOR",
    // Requests.
    InvalidArgument = "INVALID_ARGUMENT",
    RequestIdReused = "REQUEST_ID_REUSED",
    ClientOrderIdReused = "CLIENT_ORDER_ID_REUSED",
    NotFound = "NOT_FOUND",
    OrderNotInDoubt = "ORDER_NOT_IN_DOUBT",
    ReceiveWindowOpen = "RECEIVE_WINDOW_OPEN",
    FillConflict = "FILL_CONFLICT",
    BaselineConflict = "BASELINE_CONFLICT",
    AmountOverflow = "AMOUNT_OVERFLOW",
    KillSwitchContended = "KILL_SWITCH_CONTENDED",
    // Audit.
    ProducerGap = "PRODUCER_GAP",
    ProducerConflict = "PRODUCER_CONFLICT",
    EventTooLarge = "EVENT_TOO_LARGE",
    // Drills.
    DrillRunning = "DRILL_RUNNING",
    DrillUnknown = "DRILL_UNKNOWN",
    DrillNotRunning = "DRILL_NOT_RUNNING",
    LiveAccountRefused = "LIVE_ACCOUNT_REFUSED",
    // Containers.
    ContainerNotFound = "CONTAINER_NOT_FOUND",
    ContainerNotLabelled = "CONTAINER_NOT_LABELLED",
    ContainerProtected = "CONTAINER_PROTECTED",
    ContainerAmbiguous = "CONTAINER_AMBIGUOUS",
    ContainerNotRunning = "CONTAINER_NOT_RUNNING",
    ContainerRunning = "CONTAINER_RUNNING",
    ContainerEndedOtherwise = "CONTAINER_ENDED_OTHERWISE",
    NetworkNotFound = "NETWORK_NOT_FOUND",
    NetworksNotSaved = "NETWORKS_NOT_SAVED",
    NotConfirmed = "NOT_CONFIRMED",
    LogTooLarge = "LOG_TOO_LARGE",
    EngineRefused = "ENGINE_REFUSED",
    EngineUnavailable = "ENGINE_UNAVAILABLE",
    // Any service.
    StorageFailed = "STORAGE_FAILED",
    DependencyUnavailable = "DEPENDENCY_UNAVAILABLE",
    ShuttingDown = "SHUTTING_DOWN",
    Overloaded = "OVERLOADED",
    Internal = "INTERNAL",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_code_has_a_page() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let missing: Vec<_> = ReasonCode::ALL
            .iter()
            .filter(|code| !pages.join(format!("{code}.md")).is_file())
            .collect();
        assert!(missing.is_empty(), "no page in docs/errors for {missing:?}");
    }
}
