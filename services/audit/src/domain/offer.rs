//! What callers offer, read strictly.

use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};
use thunes_runtime::clock;
use thunes_tlog::{Body, Entry, LINE_BYTES_MAX, LineError, Origin, Payload};
use thunes_types::{FieldError, RequestId};

/// Events in one request.
pub(crate) const EVENTS_MAX: usize = 500;
pub(crate) const EVENT_TYPE_MAX: usize = 64;
pub(crate) const REASON_MAX: usize = 512;
pub(crate) const SERVICE_MAX: usize = 64;
/// A name of `thunes_rpc::ACTOR_MAX` characters, and the word before it that says whether somebody proved it.
pub(crate) const ACTOR_MAX: usize = thunes_rpc::ACTOR_MAX + "unauthenticated:".len();
/// The last millisecond of the year 9998: every reader of ISO 8601 takes it.
const OCCURRED_AT_MAX_MS: i64 = 253_370_764_799_999;
/// After so many faults the rest is not looked at.
const FAULTS_SHOWN_MAX: usize = 20;
/// The producer of this service's own events.
pub(crate) const OWN_NAME: &str = "audit";

/// Who delivers, and how it may repeat itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Counted { producer: String, incarnation: String },
    Request { request_id: String },
    Single,
}

/// An event that may enter the log.
#[derive(Debug, Clone)]
pub(crate) struct OfferedEvent {
    pub origin: Origin,
    pub body: Body,
    pub event_type: String,
    pub service: String,
    /// Milliseconds since 1970, UTC.
    pub ts_ms: i64,
    /// False when the caller left the time to us: then it is no part of what was said.
    pub ts_given: bool,
    /// Likewise for the trace.
    pub trace_given: bool,
}

/// A request that may enter the log, whole or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub source: Source,
    pub events: Vec<OfferedEvent>,
}

impl Offer {
    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.body.as_bytes().len() + 256).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OfferFault {
    Fields(Vec<FieldError>),
    TooLarge { index: usize, bytes: usize },
}

/// Reads a request. `new_id` names events that have no other identity; `trace_id` is of events that name no trace.
pub(crate) fn read_offer(
    request: &AppendEventsRequest,
    now_ms: i64,
    trace_id: &str,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Offer, OfferFault> {
    let source = read_source(request).map_err(|fault| OfferFault::Fields(vec![fault]))?;
    let mut faults = Vec::new();
    let mut events = Vec::with_capacity(request.events.len());
    for (index, event) in request.events.iter().enumerate() {
        let origin = read_origin(&source, request, index, new_id);
        match origin
            .map_err(|fault| vec![fault])
            .and_then(|origin| read_entry(event, index, &origin, now_ms, trace_id))
        {
            Err(mut found) => faults.append(&mut found),
            Ok((origin, entry, ts_ms)) => match entry.encode() {
                Err(LineError::TooLarge { bytes }) => return Err(OfferFault::TooLarge { index, bytes }),
                Err(LineError::Time { ts }) => {
                    faults.push(FieldError::new(
                        format!("events[{index}].occurred_at_ms"),
                        &ts,
                        "no such time",
                    ));
                }
                Ok(body) => events.push(OfferedEvent {
                    origin,
                    body,
                    event_type: entry.event_type,
                    service: entry.service,
                    ts_ms,
                    ts_given: event.occurred_at_ms != 0,
                    trace_given: !event.trace_id.is_empty(),
                }),
            },
        }
        if faults.len() >= FAULTS_SHOWN_MAX {
            break;
        }
    }
    if faults.is_empty() {
        Ok(Offer { source, events })
    } else {
        Err(OfferFault::Fields(faults))
    }
}

fn read_source(request: &AppendEventsRequest) -> Result<Source, FieldError> {
    let count = request.events.len();
    if !(1..=EVENTS_MAX).contains(&count) {
        return Err(FieldError::new(
            "events",
            &format!("{count} events"),
            format!("1 to {EVENTS_MAX} events"),
        ));
    }
    let (producer, incarnation) = (&request.producer, &request.incarnation);
    if producer.is_empty() && incarnation.is_empty() {
        if request.request_id.is_empty() {
            return Ok(Source::Single);
        }
        return Ok(Source::Request {
            request_id: RequestId::parse(&request.request_id)?.as_str().to_owned(),
        });
    }
    for (field, value) in [("producer", producer), ("incarnation", incarnation)] {
        if !Origin::is_name(value) {
            let rule = "1 to 64 characters of a-z, A-Z, 0-9, -, _ and .; producer and incarnation both or neither";
            return Err(FieldError::new(field, value, rule));
        }
    }
    if producer == OWN_NAME || producer == Origin::REQUEST_PREFIX {
        return Err(FieldError::new(
            "producer",
            producer,
            "this name is taken by the audit service itself",
        ));
    }
    if !request.request_id.is_empty() {
        let rule = "must be empty where a producer counts its events: the count is what makes a repetition harmless";
        return Err(FieldError::new("request_id", &request.request_id, rule));
    }
    Ok(Source::Counted {
        producer: producer.clone(),
        incarnation: incarnation.clone(),
    })
}

fn read_origin(
    source: &Source,
    request: &AppendEventsRequest,
    index: usize,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Origin, FieldError> {
    let given = request.events[index].producer_seq;
    let fault = |rule: String| FieldError::new(format!("events[{index}].producer_seq"), &given.to_string(), rule);
    match source {
        Source::Counted { producer, incarnation } => {
            let first = request.events[0].producer_seq;
            let expected = first.checked_add(i64::try_from(index).unwrap_or(i64::MAX));
            let producer_seq = u64::try_from(given).ok().filter(|seq| *seq > 0);
            let producer_seq = producer_seq.ok_or_else(|| fault("a count from 1".into()))?;
            if Some(given) != expected {
                return Err(fault(format!(
                    "the counts of one request go up by one from the first, {first}"
                )));
            }
            let (producer, incarnation) = (producer.clone(), incarnation.clone());
            Ok(Origin::Counted {
                producer,
                incarnation,
                producer_seq,
            })
        }
        Source::Request { .. } | Source::Single if given != 0 => {
            Err(fault("must be 0 where no producer is named".into()))
        }
        Source::Request { request_id } => {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            Ok(Origin::Request {
                request_id: request_id.clone(),
                index,
            })
        }
        Source::Single => Ok(Origin::Single { id: new_id() }),
    }
}

type Read = (Origin, Entry, i64);

fn read_entry(
    event: &NewEvent,
    index: usize,
    origin: &Origin,
    now_ms: i64,
    trace_id: &str,
) -> Result<Read, Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut check = |right: bool, field: &str, value: &str, rule: String| {
        if !right {
            faults.push(FieldError::new(format!("events[{index}].{field}"), value, rule));
        }
    };
    let at_most = |text: &str, max: usize| text.len() <= max || text.chars().count() <= max;
    let type_rule = format!("upper case words joined by single underscores, at most {EVENT_TYPE_MAX} characters");
    check(
        is_event_type(&event.event_type),
        "event_type",
        &event.event_type,
        type_rule,
    );
    for (field, value, max) in [
        ("reason", &event.reason, REASON_MAX),
        ("actor", &event.actor, ACTOR_MAX),
        ("service", &event.service, SERVICE_MAX),
    ] {
        check(at_most(value, max), field, value, format!("at most {max} characters"));
    }
    check(
        is_trace_id(&event.trace_id),
        "trace_id",
        &event.trace_id,
        "32 lower case hex digits, or empty".into(),
    );
    let occurred = event.occurred_at_ms;
    let time_rule = "milliseconds since 1970 before the year 9999, or 0 for now".to_owned();
    check(
        (0..=OCCURRED_AT_MAX_MS).contains(&occurred),
        "occurred_at_ms",
        &occurred.to_string(),
        time_rule,
    );
    let payload = read_payload(&event.payload_json).unwrap_or_else(|rule| {
        check(false, "payload_json", &event.payload_json, rule);
        Payload::empty()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let ts_ms = if occurred == 0 { now_ms } else { occurred };
    let entry = Entry {
        event_id: origin.to_string(),
        ts: clock::iso_utc(ts_ms),
        event_type: event.event_type.clone(),
        reason: event.reason.clone(),
        actor: event.actor.clone(),
        service: event.service.clone(),
        trace_id: given_or(&event.trace_id, trace_id).to_owned(),
        payload,
    };
    Ok((origin.clone(), entry, ts_ms))
}

fn given_or<'a>(given: &'a str, fallback: &'a str) -> &'a str {
    if given.is_empty() { fallback } else { given }
}

fn read_payload(text: &str) -> Result<Payload, String> {
    if text.is_empty() {
        return Ok(Payload::empty());
    }
    // What cannot fit anyway is not worth reading; EVENT_TOO_LARGE comes from the encoded line.
    if text.len() > 16 * LINE_BYTES_MAX {
        return Err(format!("a line is at most {LINE_BYTES_MAX} bytes long"));
    }
    Payload::parse(text).map_err(|fault| fault.to_string())
}

/// `KILL_SWITCH_ACTIVATED`: words of A-Z and 0-9 that begin with a letter, joined by single underscores.
pub(crate) fn is_event_type(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    text.len() <= EVENT_TYPE_MAX && text.split('_').all(word)
}

fn is_trace_id(text: &str) -> bool {
    text.is_empty() || text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            event_type: "ORDER_INTENT".into(),
            payload_json: "{}".into(),
            ..NewEvent::default()
        }
    }

    fn read(request: &AppendEventsRequest) -> Result<Offer, OfferFault> {
        read_offer(request, 1_764_000_694_120, "", &mut || "id".to_owned())
    }

    fn faults_of(change: impl Fn(&mut NewEvent)) -> Vec<String> {
        let mut event = event();
        change(&mut event);
        match read(&AppendEventsRequest {
            events: vec![event],
            ..Default::default()
        }) {
            Err(OfferFault::Fields(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_wrong_field_is_named_with_its_index() {
        type Change = fn(&mut NewEvent);
        let wrong: [(&str, Change); 14] = [
            ("event_type", |e| e.event_type = String::new()),
            ("event_type", |e| e.event_type = "lower".into()),
            ("event_type", |e| e.event_type = "A__B".into()),
            ("event_type", |e| e.event_type = "A_".into()),
            ("event_type", |e| e.event_type = "A".repeat(65)),
            ("reason", |e| e.reason = "ü".repeat(513)),
            ("actor", |e| e.actor = "a".repeat(ACTOR_MAX + 1)),
            ("service", |e| e.service = "s".repeat(65)),
            ("trace_id", |e| e.trace_id = "0AF7651916CD43DD8448EB211C80319C".into()),
            ("trace_id", |e| e.trace_id = "abc".into()),
            ("payload_json", |e| e.payload_json = "[]".into()),
            ("payload_json", |e| e.payload_json = "{\"a\":1,\"a\":2}".into()),
            ("occurred_at_ms", |e| e.occurred_at_ms = -1),
            ("producer_seq", |e| e.producer_seq = 1),
        ];
        for (field, change) in wrong {
            assert_eq!(faults_of(change), [format!("events[0].{field}")]);
        }
        assert_eq!(
            faults_of(|e| (e.reason, e.event_type) = ("x".repeat(600), "x".into())).len(),
            2,
            "all at once"
        );
    }

    #[test]
    fn values_at_their_bounds_are_taken() {
        let mut event = event();
        event.event_type = "A1_B2".into();
        event.reason = "🚀".repeat(REASON_MAX);
        event.actor = "a".repeat(ACTOR_MAX);
        event.service = "s".repeat(SERVICE_MAX);
        event.occurred_at_ms = OCCURRED_AT_MAX_MS;
        event.payload_json = String::new();
        let offer = read(&AppendEventsRequest {
            events: vec![event.clone(); EVENTS_MAX],
            ..Default::default()
        });
        assert_eq!(offer.expect("fits").events.len(), EVENTS_MAX);
        let over = AppendEventsRequest {
            events: vec![event; EVENTS_MAX + 1],
            ..Default::default()
        };
        assert!(read(&over).is_err());
        assert!(read(&AppendEventsRequest::default()).is_err(), "no events");
    }

    #[test]
    fn a_caller_counts_or_names_its_request_or_neither() {
        let request = |producer: &str, incarnation: &str, request_id: &str, seqs: &[i64]| AppendEventsRequest {
            producer: producer.into(),
            incarnation: incarnation.into(),
            request_id: request_id.into(),
            events: seqs
                .iter()
                .map(|seq| NewEvent {
                    producer_seq: *seq,
                    ..event()
                })
                .collect(),
        };
        let id = |request| read(&request).map(|offer| offer.events.last().expect("one").origin.to_string());
        assert_eq!(id(request("risk", "ab", "", &[4, 5])), Ok("risk:ab:5".into()));
        assert_eq!(id(request("", "", "drill:1", &[0, 0])), Ok("req:drill:1:1".into()));
        assert_eq!(id(request("", "", "", &[0])), Ok("id".into()));
        for bad in [
            request("risk", "", "", &[1]),
            request("", "ab", "", &[1]),
            request("risk", "ab", "r", &[1]),
            request("ri:sk", "ab", "", &[1]),
            request("audit", "ab", "", &[1]),
            request("req", "ab", "", &[1]),
            request("risk", "ab", "", &[0]),
            request("risk", "ab", "", &[-1]),
            request("risk", "ab", "", &[1, 3]),
            request("risk", "ab", "", &[2, 1]),
            request("risk", "ab", "", &[1, 1]),
            request("risk", "ab", "", &[i64::MAX, i64::MAX]),
            request("", "", "not a request id", &[0]),
        ] {
            assert!(matches!(read(&bad), Err(OfferFault::Fields(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_line_of_65536_bytes_is_too_large_and_says_which() {
        let mut big = event();
        big.payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(65_000));
        assert!(
            read(&AppendEventsRequest {
                events: vec![big.clone()],
                ..Default::default()
            })
            .is_ok()
        );
        big.payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(65_536));
        let fault = read(&AppendEventsRequest {
            events: vec![event(), big],
            ..Default::default()
        })
        .expect_err("large");
        assert!(
            matches!(fault, OfferFault::TooLarge { index: 1, bytes } if bytes > LINE_BYTES_MAX),
            "{fault:?}"
        );
    }
}
