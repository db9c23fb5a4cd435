use std::fmt;

use serde_json::json;
use thunes_rpc::reason_of;
use thunes_supervisor::embedded::Service;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Something did not work.
pub const EXIT_FAILED: u8 = 1;
/// Standard output cannot be written: nobody can know how it ended. Of all commands' codes the one that claims least.
pub const EXIT_CANNOT_SAY: u8 = 4;
/// The command line or the settings cannot be used.
pub const EXIT_USAGE: u8 = 2;

/// The command cannot be carried out as it was given.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error with an exit code of its own.
#[derive(Debug)]
pub struct Exits {
    pub exit: u8,
    pub message: String,
}

impl fmt::Display for Exits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exits {}

/// A service refused a call, or did not answer it.
#[derive(Debug)]
pub struct CallFailed {
    pub service: Service,
    pub url: String,
    pub call: &'static str,
    pub status: Status,
}

impl CallFailed {
    /// The service itself said no; asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        reason_of(&self.status).is_some()
    }

    fn next(&self) -> Option<String> {
        let flag = match self.service {
            Service::Risk => "--risk-url URL",
            Service::Position => "--position-url URL",
            Service::Audit => "--audit-url URL",
            Service::ExchangeGateway => "--gateway-url URL",
            Service::DrillOrchestrator => "--target URL",
            Service::ExchangeSim | Service::TelegramStandin | Service::FaultProxy => "--data-dir DIR",
        };
        match (self.status.code(), self.is_refusal()) {
            (Code::Unavailable, false) => Some(format!(
                "start it with `thunes up` (or `thunes serve {}`), or say where it is with {flag} or --data-dir DIR",
                self.service
            )),
            (Code::DeadlineExceeded, _) if self.service == Service::ExchangeGateway => Some(
                "its outcome is not known, which is not the same as failed: ask with `thunes orders` or \
                 `thunes order show ID` before sending anything again"
                    .to_owned(),
            ),
            (Code::DeadlineExceeded, _) => Some(format!("look at the log of {} and ask again", self.service)),
            (Code::Unimplemented, _) => Some(format!(
                "{} does not know this call: is it of the same version?",
                self.url
            )),
            _ => None,
        }
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            url,
            call,
            status,
        } = self;
        let message = status.message();
        match (status.code(), self.is_refusal()) {
            (Code::Unavailable, false) => write!(f, "{service} does not answer at {url} ({call}): {message}"),
            (Code::DeadlineExceeded, _) => write!(f, "{service} did not answer {call} in time ({url})"),
            (_, true) => write!(f, "{service} refused {call}: {message}"),
            (code, false) => write!(f, "{service} failed at {call} ({code:?}): {message}"),
        }
    }
}

impl std::error::Error for CallFailed {}

/// Says on standard error what failed and what to do next; returns the exit code.
pub fn report(error: &anyhow::Error, json: bool) -> u8 {
    let call = error.downcast_ref::<CallFailed>();
    let reason = call.and_then(|failed| reason_of(&failed.status));
    let next = call.and_then(CallFailed::next);
    let fields: Vec<(String, String)> = call
        .and_then(|failed| failed.status.get_details_bad_request())
        .map(|details| {
            details
                .field_violations
                .into_iter()
                .map(|v| (v.field, v.description))
                .collect()
        })
        .unwrap_or_default();
    let page = reason.map(|code| format!("docs/errors/{code}.md"));
    let message = format!("{error:#}");
    if json {
        let fields: Vec<_> = fields
            .iter()
            .map(|(field, rule)| json!({"field": field, "rule": rule}))
            .collect();
        let error = json!({
            "message": message,
            "reason_code": reason.map(|code| code.as_str()),
            "page": page,
            "next": next,
            "fields": fields,
        });
        eprintln!("{}", json!({ "error": error }));
    } else {
        eprintln!("error: {message}");
        for (field, rule) in fields {
            eprintln!("  field: {field} = {rule}");
        }
        if let (Some(code), Some(page)) = (reason, page) {
            eprintln!("  reason: {code} ({page})");
        }
        if let Some(next) = next {
            eprintln!("  next: {next}");
        }
    }
    exit_of(error)
}

fn exit_of(error: &anyhow::Error) -> u8 {
    if let Some(own) = error.downcast_ref::<Exits>() {
        own.exit
    } else if error.is::<Usage>()
        || error.is::<thunes_runtime::ConfigFaults>()
        || error.is::<thunes_runtime::SettingsError>()
    {
        EXIT_USAGE
    } else {
        EXIT_FAILED
    }
}

#[cfg(test)]
mod tests {
    use thunes_rpc::refusal;
    use thunes_types::ReasonCode;

    use super::*;

    fn failed(status: Status) -> CallFailed {
        CallFailed {
            service: Service::Risk,
            url: "http://127.0.0.1:7101".into(),
            call: "GetRiskStatus",
            status,
        }
    }

    #[test]
    fn a_service_that_is_down_is_told_from_one_that_refuses() {
        let down = failed(Status::unavailable("tcp connect error"));
        assert!(!down.is_refusal());
        assert!(
            down.to_string().contains("does not answer at http://127.0.0.1:7101"),
            "{down}"
        );
        assert!(down.next().expect("advice").contains("thunes up"));

        let refused = failed(refusal(Code::Unavailable, ReasonCode::ShuttingDown, "going down"));
        assert!(refused.is_refusal());
        assert!(
            refused.to_string().contains("refused GetRiskStatus: going down"),
            "{refused}"
        );
        assert_eq!(refused.next(), None);
    }

    #[test]
    fn an_unclear_answer_about_an_order_is_not_called_a_failure() {
        let mut late = failed(Status::deadline_exceeded("late"));
        late.service = Service::ExchangeGateway;
        assert!(late.next().expect("advice").contains("not the same as failed"));
    }

    #[test]
    fn usage_and_settings_exit_with_2() {
        assert_eq!(exit_of(&anyhow::anyhow!("boom")), EXIT_FAILED);
        assert_eq!(exit_of(&Usage("bad".into()).into()), EXIT_USAGE);
        assert_eq!(
            exit_of(
                &Exits {
                    exit: 3,
                    message: String::new()
                }
                .into()
            ),
            3
        );
        let wrapped = anyhow::Error::from(Usage("bad".into())).context("while reading");
        assert_eq!(exit_of(&wrapped), EXIT_USAGE, "context does not hide the kind");
    }
}
