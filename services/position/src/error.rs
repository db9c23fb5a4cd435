use std::path::PathBuf;

use thunes_rpc::{Refusal, invalid_fields};
use thunes_store::StoreError;
use thunes_types::{FieldError, MoneyError, ReasonCode};
use tonic::{Code, Status};

/// Why the service does not start, or ended in disorder.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    #[error("the database {path} cannot be used: {source}")]
    Database { path: PathBuf, source: StoreError },
    #[error(
        "the database {path} is not consistent: the stored book of {symbol} is {stored}, but its fills add up to {folded}; \
         nothing was changed. Restore the file from a backup, or move it away and reconcile with the exchange"
    )]
    BookMismatch {
        path: PathBuf,
        symbol: String,
        stored: String,
        folded: String,
    },
    #[error("the book in {path} cannot be valued: {source}")]
    Valuation { path: PathBuf, source: MoneyError },
    #[error("position.audit_url: {0}")]
    AuditUrl(#[from] thunes_rpc::ClientError),
    #[error(transparent)]
    Serve(#[from] thunes_rpc::ServeError),
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{} field(s) cannot be accepted", .0.len())]
    Invalid(Vec<FieldError>),
    #[error(
        "trade {trade_id} of {symbol} is known with other contents: {} differ(s); nothing of this request was recorded",
        fields.join(", ")
    )]
    FillConflict {
        symbol: String,
        trade_id: i64,
        fields: Vec<&'static str>,
    },
    #[error(
        "another baseline of account {account} is known, taken at {known_taken_at_ms} ms; nothing was changed. Set \
         replace to put this one in its place"
    )]
    BaselineConflict { account: String, known_taken_at_ms: i64 },
    #[error("request id {request_id} was used before with another payload; choose a new one")]
    RequestIdReused { request_id: String },
    #[error("{0}; nothing of this request was recorded")]
    Overflow(#[from] MoneyError),
    #[error("prices of {max} symbols are known, and no more are kept")]
    TooManyPrices { max: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the recording task ended without a result: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<FieldError> for RequestError {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        let refusal = |code, reason| Refusal::new(code, reason, message.clone());
        match error {
            RequestError::Invalid(faults) => invalid_fields(shown(faults)),
            RequestError::FillConflict {
                symbol,
                trade_id,
                fields,
            } => refusal(Code::AlreadyExists, ReasonCode::FillConflict)
                .with("symbol", symbol)
                .with("trade_id", trade_id)
                .with("fields", fields.join(","))
                .into(),
            RequestError::BaselineConflict {
                account,
                known_taken_at_ms,
            } => refusal(Code::FailedPrecondition, ReasonCode::BaselineConflict)
                .with("account", account)
                .with("known_taken_at_ms", known_taken_at_ms)
                .into(),
            RequestError::RequestIdReused { request_id } => refusal(Code::AlreadyExists, ReasonCode::RequestIdReused)
                .with("request_id", request_id)
                .into(),
            RequestError::Overflow(_) => refusal(Code::OutOfRange, ReasonCode::AmountOverflow).into(),
            RequestError::TooManyPrices { max } => refusal(Code::ResourceExhausted, ReasonCode::Overloaded)
                .with("symbols_max", max)
                .into(),
            RequestError::Store(source) => {
                tracing::error!(error = %source, "the database failed a request");
                // A damaged file stays damaged; anything else may pass, and the caller tries again.
                let code = if source.is_damage() {
                    Code::DataLoss
                } else {
                    Code::Unavailable
                };
                refusal(code, ReasonCode::StorageFailed).into()
            }
            RequestError::Task(source) => {
                tracing::error!(error = %source, "a request ended in a bug");
                refusal(Code::Internal, ReasonCode::Internal).into()
            }
        }
    }
}

/// Most bytes of faults in one answer: they travel in the trailers, where a client takes 16 KiB and where each byte can
/// become more than four.
const FAULT_BYTES_MAX: usize = 2400;

/// As many faults as an answer can carry, and how many more there are.
fn shown(faults: Vec<FieldError>) -> Vec<FieldError> {
    let total = faults.len();
    let mut bytes = 0;
    let mut shown: Vec<FieldError> = faults
        .into_iter()
        .take_while(|fault| {
            let first = bytes == 0;
            bytes += fault.to_string().len();
            first || bytes <= FAULT_BYTES_MAX
        })
        .collect();
    if shown.len() < total {
        let more = total - shown.len();
        shown.push(FieldError::new(
            "request",
            &format!("{more} more"),
            "further fields are wrong too",
        ));
    }
    shown
}
