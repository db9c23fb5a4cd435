use thunes_binance::CallError;
use thunes_rpc::Refusal;
use thunes_store::StoreError;
use thunes_types::{FieldError, MoneyError, ReasonCode};
use tonic::{Code, Status};

/// What can go wrong in the gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server failed: {0}")]
    Serve(#[from] thunes_rpc::ServeError),
    #[error("a peer's address cannot be used: {0}")]
    Peer(#[from] thunes_rpc::ClientError),
    #[error("the exchange client cannot be made: {0}")]
    Client(#[from] thunes_binance::ClientError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldError>),
    #[error("client_order_id {0:?} was used before with another payload; an id makes at most one order")]
    ClientOrderIdReused(String),
    #[error("there is no order with client_order_id {0:?}")]
    NoSuchOrder(String),
    #[error("request_id {0:?} was used before with another payload; use a new one")]
    RequestIdReused(String),
    #[error("{0}")]
    Exchange(#[from] CallError),
    #[error("the exchange's clock is not known yet; try again in a moment")]
    ClockUnknown,
    #[error("{0} did not answer: {1}")]
    Dependency(&'static str, String),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error("the gateway is starting: the exchange's symbols are not known yet; try again in a moment")]
    Starting,
    /// What was asked for is not done as things stand; the text says why and what to do.
    #[error("{1}")]
    Refused(ReasonCode, String),
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl From<FieldError> for GatewayError {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

impl From<sqlx::Error> for GatewayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<GatewayError> for Status {
    fn from(error: GatewayError) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            GatewayError::Fields(fields) => return thunes_rpc::invalid_fields(fields),
            GatewayError::ClientOrderIdReused(_) => (Code::AlreadyExists, ReasonCode::ClientOrderIdReused),
            GatewayError::RequestIdReused(_) => (Code::AlreadyExists, ReasonCode::RequestIdReused),
            GatewayError::NoSuchOrder(_) => (Code::NotFound, ReasonCode::NotFound),
            GatewayError::Store(_) => (Code::Internal, ReasonCode::StorageFailed),
            GatewayError::Exchange(CallError::RateLimited(_) | CallError::HeldBack(_)) => {
                (Code::Unavailable, ReasonCode::ExchangeRateLimited)
            }
            GatewayError::Exchange(_) | GatewayError::ClockUnknown => (Code::Unavailable, ReasonCode::ExchangeError),
            GatewayError::Dependency(..) => (Code::Unavailable, ReasonCode::DependencyUnavailable),
            GatewayError::Money(_) => (Code::OutOfRange, ReasonCode::AmountOverflow),
            GatewayError::Starting => (Code::Unavailable, ReasonCode::GatewayStarting),
            GatewayError::Refused(reason, _) => (Code::FailedPrecondition, reason),
            GatewayError::ShuttingDown => (Code::Unavailable, ReasonCode::ShuttingDown),
            GatewayError::Serve(_) | GatewayError::Peer(_) | GatewayError::Client(_) => {
                (Code::Internal, ReasonCode::Internal)
            }
        };
        Refusal::new(code, reason, message).into()
    }
}
