use thunes_rpc::Refusal;
use thunes_store::StoreError;
use thunes_types::{FieldError, MoneyError, ReasonCode};
use tonic::{Code, Status};

/// What can go wrong in the risk service.
#[derive(Debug, thiserror::Error)]
pub enum RiskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server failed: {0}")]
    Serve(#[from] thunes_rpc::ServeError),
    #[error("a peer's address cannot be used: {0}")]
    Peer(#[from] thunes_rpc::ClientError),
    #[error("{0}")]
    Fields(FieldErrors),
    #[error("request_id {0:?} was used before with another payload; use a new one")]
    RequestIdReused(String),
    #[error("a deactivation came in between: the switch is not active; activate again if it should be")]
    Superseded,
    #[error("an activation came in between: the switch stays active; deactivate again if it should not be")]
    Overtaken,
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error("the damaged database could not be set aside: {0}")]
    SetAside(std::io::Error),
    #[error("the Telegram client cannot be made: {0}")]
    Telegram(String),
}

/// All fields of a request that are wrong.
#[derive(Debug)]
pub struct FieldErrors(pub Vec<FieldError>);

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl From<FieldError> for RiskError {
    fn from(error: FieldError) -> Self {
        Self::Fields(FieldErrors(vec![error]))
    }
}

impl From<sqlx::Error> for RiskError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<RiskError> for Status {
    fn from(error: RiskError) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            RiskError::Fields(FieldErrors(fields)) => return thunes_rpc::invalid_fields(fields),
            RiskError::RequestIdReused(_) => (Code::AlreadyExists, ReasonCode::RequestIdReused),
            RiskError::Superseded | RiskError::Overtaken => (Code::Aborted, ReasonCode::KillSwitchContended),
            RiskError::Money(_) => (Code::OutOfRange, ReasonCode::AmountOverflow),
            RiskError::Store(_) | RiskError::SetAside(_) => (Code::Internal, ReasonCode::StorageFailed),
            RiskError::Serve(_) | RiskError::Peer(_) | RiskError::Telegram(_) => (Code::Internal, ReasonCode::Internal),
        };
        Refusal::new(code, reason, message).into()
    }
}
