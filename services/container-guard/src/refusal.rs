use thunes_rpc::{Refusal, invalid};
use thunes_supervisor::containers::ContainerError;
use thunes_types::ReasonCode;
use tonic::{Code, Status};

/// An error as the caller sees it.
pub(crate) fn status(error: ContainerError) -> Status {
    match error {
        ContainerError::BadName(field) => invalid(field),
        error => {
            let reason = error.reason();
            Refusal::new(code(&error), reason, error.to_string()).into()
        }
    }
}

fn code(error: &ContainerError) -> Code {
    match error {
        ContainerError::NoSocket { .. }
        | ContainerError::Permission { .. }
        | ContainerError::NotAnswering { .. }
        | ContainerError::GuardUnreachable { .. } => Code::Unavailable,
        ContainerError::Engine { .. } | ContainerError::Malformed { .. } | ContainerError::State { .. } => {
            Code::Internal
        }
        ContainerError::BadName(_) => Code::InvalidArgument,
        ContainerError::NotFound { .. }
        | ContainerError::NotPublished { .. }
        | ContainerError::NoSuchNetwork { .. }
        | ContainerError::NoOwnProject => Code::NotFound,
        ContainerError::NotLabelled { .. } | ContainerError::Protected { .. } => Code::PermissionDenied,
        ContainerError::Ambiguous { .. }
        | ContainerError::NotRunning { .. }
        | ContainerError::Running { .. }
        | ContainerError::EndedOtherwise { .. }
        | ContainerError::ExitedEarly { .. }
        | ContainerError::NoReadiness { .. }
        | ContainerError::NothingSaved { .. } => Code::FailedPrecondition,
        ContainerError::NotReady { .. } | ContainerError::NotConfirmed { .. } => Code::DeadlineExceeded,
        ContainerError::LogTooLarge { .. } => Code::OutOfRange,
        // The guard asks no other guard.
        ContainerError::Refused { .. } => Code::Internal,
    }
}

/// Too many calls at once; nothing was done.
pub(crate) fn overloaded(what: &str, bound: usize) -> Status {
    Refusal::new(
        Code::ResourceExhausted,
        ReasonCode::Overloaded,
        format!("{bound} {what} are under way already; nothing was done, repeat later"),
    )
    .into()
}
