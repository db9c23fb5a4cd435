use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Doubt, DoubtWhy, ErrorKind, Execution, Outcome, RateLimited, Rejection};

/// Most characters of a foreign text that go into a message.
const MESSAGE_CHARS_MAX: usize = 300;

/// An HTTP answer, read whole.
pub(crate) struct RawAnswer<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after_ms: Option<i64>,
    pub(crate) body: &'a [u8],
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i32,
    msg: String,
}

/// What an HTTP answer says about the request. Doubt wins: only what the exchange documents as refused is refused.
pub(crate) fn classify<T: DeserializeOwned>(answer: &RawAnswer<'_>) -> Outcome<T> {
    match answer.status {
        200..=299 => match serde_json::from_slice(answer.body) {
            Ok(read) => Outcome::Answer(read),
            Err(error) => doubt(
                answer,
                DoubtWhy::UnreadableAnswer,
                None,
                format!("the answer cannot be read: {error}"),
            ),
        },
        418 | 429 => rate_limited(answer, error_body(answer)),
        400..=499 => refused(answer),
        500..=599 => {
            let body = error_body(answer);
            let code = body.as_ref().map(|b| b.code);
            doubt(
                answer,
                DoubtWhy::ServerError,
                code,
                body.map_or_else(|| excerpt(answer.body), |b| shorten(&b.msg)),
            )
        }
        _ => doubt(
            answer,
            DoubtWhy::UnexpectedStatus,
            None,
            "a status that the API does not use".to_owned(),
        ),
    }
}

fn refused<T>(answer: &RawAnswer<'_>) -> Outcome<T> {
    let Some(body) = error_body(answer) else {
        return match answer.status {
            403 => Outcome::Rejected(Rejection {
                kind: ErrorKind::Firewall,
                http_status: answer.status,
                code: None,
                message: excerpt(answer.body),
            }),
            _ => doubt(answer, DoubtWhy::UnreadableAnswer, None, excerpt(answer.body)),
        };
    };
    let kind = ErrorKind::of(body.code, &body.msg);
    match (kind, kind.execution()) {
        (ErrorKind::TooManyRequests | ErrorKind::TooManyOrders, _) => rate_limited(answer, Some(body)),
        (_, Execution::Never) => Outcome::Rejected(Rejection {
            kind,
            http_status: answer.status,
            code: Some(body.code),
            message: shorten(&body.msg),
        }),
        (_, Execution::Unclear) => doubt(answer, why_unclear(kind), Some(body.code), shorten(&body.msg)),
    }
}

fn why_unclear(kind: ErrorKind) -> DoubtWhy {
    match kind {
        ErrorKind::DuplicateOrderSent => DoubtWhy::DuplicateOrderSent,
        ErrorKind::Unlisted | ErrorKind::UnlistedRejection => DoubtWhy::UnlistedError,
        _ => DoubtWhy::ExecutionUnknown,
    }
}

fn rate_limited<T>(answer: &RawAnswer<'_>, body: Option<ErrorBody>) -> Outcome<T> {
    Outcome::RateLimited(RateLimited {
        retry_after_ms: answer.retry_after_ms,
        banned: answer.status == 418,
        http_status: answer.status,
        code: body.as_ref().map(|b| b.code),
        message: body.map_or_else(|| excerpt(answer.body), |b| shorten(&b.msg)),
    })
}

fn doubt<T>(answer: &RawAnswer<'_>, why: DoubtWhy, code: Option<i32>, message: String) -> Outcome<T> {
    Outcome::Unknown(Doubt {
        why,
        http_status: Some(answer.status),
        code,
        message,
    })
}

fn error_body(answer: &RawAnswer<'_>) -> Option<ErrorBody> {
    serde_json::from_slice(answer.body).ok()
}

fn excerpt(body: &[u8]) -> String {
    shorten(&String::from_utf8_lossy(&body[..body.len().min(4 * MESSAGE_CHARS_MAX)]))
}

/// A foreign text must neither flood a log nor write control characters into it.
pub(crate) fn shorten(text: &str) -> String {
    text.chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TickerPrice;

    fn ending(status: u16, body: &str) -> Outcome<TickerPrice> {
        classify(&RawAnswer {
            status,
            retry_after_ms: None,
            body: body.as_bytes(),
        })
    }

    fn doubt_of(status: u16, body: &str) -> DoubtWhy {
        match ending(status, body) {
            Outcome::Unknown(doubt) => doubt.why,
            other => panic!("{status} {body}: {other:?} is not unknown"),
        }
    }

    #[test]
    fn a_readable_answer_is_an_answer_and_extra_fields_do_no_harm() {
        let ending = ending(200, r#"{"symbol":"BTCUSDT","price":"4.00000200","new":{"a":1}}"#);
        assert!(
            matches!(ending, Outcome::Answer(ref p) if p.price.to_string() == "4.00000200"),
            "{ending:?}"
        );
    }

    #[test]
    fn p4_what_cannot_be_read_is_unknown() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"symbol":"BTCUSDT"}"#,
            r#"{"symbol":"BTCUSDT","price":4.2}"#,
            "[]",
            "null",
        ] {
            assert_eq!(doubt_of(200, body), DoubtWhy::UnreadableAnswer, "{body}");
        }
        assert_eq!(doubt_of(404, "<html>not found</html>"), DoubtWhy::UnreadableAnswer);
    }

    #[test]
    fn p4_every_5xx_is_unknown_whatever_its_body_says() {
        for status in [500, 502, 503, 504, 599] {
            for body in [
                "",
                "<html>",
                r#"{"code":-1013,"msg":"Filter failure: LOT_SIZE"}"#,
                r#"{"code":-1008,"msg":"x"}"#,
            ] {
                assert_eq!(doubt_of(status, body), DoubtWhy::ServerError, "{status} {body}");
            }
        }
    }

    #[test]
    fn p4_the_exchanges_own_doubt_is_unknown() {
        for code in [-1000, -1001, -1006, -1007, -1016] {
            let body = format!(r#"{{"code":{code},"msg":"x"}}"#);
            assert_eq!(doubt_of(400, &body), DoubtWhy::ExecutionUnknown, "{code}");
        }
        assert_eq!(
            doubt_of(400, r#"{"code":-2010,"msg":"Duplicate order sent."}"#),
            DoubtWhy::DuplicateOrderSent
        );
        assert_eq!(
            doubt_of(400, r#"{"code":-2010,"msg":"something new"}"#),
            DoubtWhy::UnlistedError
        );
        assert_eq!(
            doubt_of(400, r#"{"code":-7777,"msg":"something new"}"#),
            DoubtWhy::UnlistedError
        );
    }

    #[test]
    fn p4_redirects_and_odd_statuses_are_unknown() {
        for status in [100, 301, 302, 304, 307, 308, 600] {
            assert_eq!(doubt_of(status, ""), DoubtWhy::UnexpectedStatus, "{status}");
        }
    }

    #[test]
    fn a_documented_refusal_is_rejected_with_its_meaning() {
        let Outcome::Rejected(rejection) = ending(400, r#"{"code":-1013,"msg":"Filter failure: MIN_NOTIONAL"}"#) else {
            panic!("not rejected")
        };
        assert_eq!(rejection.kind, ErrorKind::InvalidMessage);
        assert_eq!((rejection.code, rejection.http_status), (Some(-1013), 400));
        assert_eq!(rejection.filter(), Some("MIN_NOTIONAL"));
        for (code, _) in ErrorKind::BY_CODE
            .iter()
            .filter(|(_, kind)| kind.execution() == Execution::Never)
        {
            let ending = ending(400, &format!(r#"{{"code":{code},"msg":"x"}}"#));
            assert!(
                matches!(ending, Outcome::Rejected(_) | Outcome::RateLimited(_)),
                "{code}: {ending:?}"
            );
        }
    }

    #[test]
    fn the_firewall_is_a_refusal_without_a_code() {
        let ending = ending(403, "<html>forbidden</html>");
        assert!(
            matches!(
                ending,
                Outcome::Rejected(Rejection {
                    kind: ErrorKind::Firewall,
                    code: None,
                    ..
                })
            ),
            "{ending:?}"
        );
    }

    #[test]
    fn rate_limits_and_bans_are_told_apart() {
        for (status, body, banned, code) in [
            (
                429,
                r#"{"code":-1003,"msg":"Too much request weight used."}"#,
                false,
                Some(-1003),
            ),
            (
                429,
                r#"{"code":-1015,"msg":"Too many new orders."}"#,
                false,
                Some(-1015),
            ),
            (
                400,
                r#"{"code":-1015,"msg":"Too many new orders."}"#,
                false,
                Some(-1015),
            ),
            (418, r#"{"code":-1003,"msg":"banned"}"#, true, Some(-1003)),
            (418, "<html>", true, None),
        ] {
            let Outcome::RateLimited(limited) = ending(status, body) else {
                panic!("{status} {body}")
            };
            assert_eq!((limited.banned, limited.code), (banned, code), "{status} {body}");
        }
    }

    #[test]
    fn a_hostile_body_cannot_flood_a_message() {
        let Outcome::Unknown(doubt) = ending(502, &"\u{1b}[31m".repeat(100_000)) else {
            panic!("not unknown")
        };
        assert!(doubt.message.chars().count() <= MESSAGE_CHARS_MAX);
        assert!(!doubt.message.contains('\u{1b}'));
    }
}
