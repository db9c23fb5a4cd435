use std::path::PathBuf;

use thunes_store::StoreError;
use thunes_supervisor::SupervisorError;

use crate::domain::DrillFileError;
use crate::report::ReportFileError;

/// Why a run could not be begun, or its outcome not be kept. What happens inside a run is in its report instead.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error("there is no drill {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error(transparent)]
    File(#[from] DrillFileError),
    #[error("the drill file {path} cannot be read: {source}")]
    ReadFile { path: PathBuf, source: std::io::Error },
    #[error("two drills are called {name:?}: {first} and {second}; rename one")]
    SameName {
        name: String,
        first: String,
        second: String,
    },
    #[error(
        "a drill is running (its journal {path} is held); wait for its end, or name another folder with --data-dir"
    )]
    Running { path: PathBuf },
    #[error("the lock {path} cannot be made: {source}; make the folder writable, or name another with --data-dir")]
    Lock { path: PathBuf, source: std::io::Error },
    #[error(
        "the gateway trades a live account at {url}: a drill places real orders and kills real processes. If that is \
         meant, say so twice: set drill.allow_live = true and pass --allow-live"
    )]
    LiveAccount { url: String },
    #[error("{0}")]
    Environment(#[from] SupervisorError),
    #[error("{0}")]
    Address(#[from] thunes_rpc::ClientError),
    #[error("{0}")]
    Attach(ActionError),
    #[error(
        "run {run_id} was cut off and is not rolled back yet: {why}. See that container-guard, the fault proxies and the \
         services run (`docker-compose up -d`), and ask again"
    )]
    NotRolledBack { run_id: String, why: String },
    #[error("the environment's folder {path} cannot be made: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Journal(#[from] StoreError),
    #[error(transparent)]
    Report(#[from] ReportFileError),
    #[error("there is no service {name:?} to damage; there are: {known}")]
    FailpointService { name: String, known: String },
    #[error(
        "failpoints exist in debug builds only: this binary has none, so a damaged environment cannot be asked for"
    )]
    NoFailpoints,
    #[error("the service failed: {0}")]
    Serve(#[from] thunes_rpc::ServeError),
    #[error("this program does not know its own file: {0}")]
    Program(std::io::Error),
}

/// Why a step failed. The criteria that it should decide stay unmeasured.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("{service} answered {code:?}: {message}")]
    Rpc {
        service: &'static str,
        code: tonic::Code,
        message: String,
    },
    #[error("the exchange's ledger cannot be read: {0}")]
    Sim(String),
    #[error("{0}")]
    Process(#[from] SupervisorError),
    #[error("the fault proxy: {0}")]
    Network(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("waited {waited_ms} ms for {what}; last seen: {last}")]
    TimedOut { what: String, waited_ms: i64, last: String },
    #[error("{0}")]
    NotMet(String),
    #[error("the exchange's fills make no sense: {0}")]
    Fold(#[from] crate::domain::FoldError),
    #[error("{field} is no decimal: {text:?}")]
    Decimal { field: &'static str, text: String },
}

impl ActionError {
    pub(crate) fn rpc(service: &'static str) -> impl Fn(tonic::Status) -> Self {
        move |status| Self::Rpc {
            service,
            code: status.code(),
            message: status.message().to_owned(),
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
