use crate::json::{JsonFault, Scanner};
use crate::leaf::prev_text;
use crate::payload::PAYLOAD_DEPTH_MAX;
use crate::{LeafHash, Payload};

/// Longest line, without its newline.
pub const LINE_BYTES_MAX: usize = 65_535;
/// What the log adds to an event at most: the sequence at its longest (19 digits), `prev` and `crc`.
pub const LINE_FRAME_BYTES_MAX: usize = SEQ_KEY.len() + 19 + PREV_KEY.len() + 44 + 1 + CRC_FIELD_BYTES;

const SEQ_KEY: &str = "{\"seq\":";
const PREV_KEY: &str = ",\"prev\":\"";
const CRC_KEY: &str = ",\"crc\":\"";
const LINE_END: &str = "\"}";
/// `,"crc":"01234567"}`: the end of every line.
const CRC_FIELD_BYTES: usize = CRC_KEY.len() + 8 + LINE_END.len();

/// What an event says, apart from its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// See [`crate::Origin`].
    pub event_id: String,
    /// When it happened, by its producer's clock: ISO 8601, UTC, milliseconds, as in `2026-11-24T06:11:34.123Z`.
    pub ts: String,
    pub event_type: String,
    pub reason: String,
    pub actor: String,
    pub service: String,
    pub trace_id: String,
    pub payload: Payload,
}

/// The event cannot become a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("the line could be {bytes} bytes long; at most {LINE_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
    #[error("{ts:?} is not a time such as 2026-11-24T06:11:34.123Z")]
    Time { ts: String },
}

/// An event's part of its line, encoded: everything between the sequence and `prev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    /// Where the part begins that does not depend on when the event was taken.
    after_ts: usize,
    /// Where the trace id stands, with its key.
    trace: std::ops::Range<usize>,
}

impl Body {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the event says: all of it, or without the time (and the id that stands before it), or without the trace id.
    pub fn said(&self, with_ts: bool, with_trace: bool) -> Vec<u8> {
        let begin = if with_ts { 0 } else { self.after_ts };
        let mut said = self.bytes[begin..self.trace.start].to_vec();
        if with_trace {
            said.extend_from_slice(&self.bytes[self.trace.clone()]);
        }
        said.extend_from_slice(&self.bytes[self.trace.end..]);
        said
    }
}

impl Entry {
    /// Encodes the event, and makes sure that it fits into a line wherever in the log it may come to stand.
    ///
    /// # Errors
    /// When the line would be too long, or the time is malformed.
    pub fn encode(&self) -> Result<Body, LineError> {
        if !is_time(&self.ts) {
            return Err(LineError::Time { ts: self.ts.clone() });
        }
        let body = self.encode_unchecked();
        let bytes = body.bytes.len() + LINE_FRAME_BYTES_MAX;
        if bytes > LINE_BYTES_MAX {
            Err(LineError::TooLarge { bytes })
        } else {
            Ok(body)
        }
    }

    fn encode_unchecked(&self) -> Body {
        let mut bytes = Vec::with_capacity(256 + self.reason.len() + self.payload.as_str().len());
        let mut field = |key: &str, value: &str| {
            bytes.extend_from_slice(b",\"");
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(b"\":");
            serde_json::to_writer(&mut bytes, value).expect("a string always has a JSON form, and memory takes it");
            bytes.len()
        };
        field("event_id", &self.event_id);
        let after_ts = field("ts", &self.ts);
        field("event_type", &self.event_type);
        field("reason", &self.reason);
        field("actor", &self.actor);
        let service_end = field("service", &self.service);
        let trace = service_end..field("trace_id", &self.trace_id);
        bytes.extend_from_slice(b",\"payload\":");
        bytes.extend_from_slice(self.payload.as_str().as_bytes());
        Body { bytes, after_ts, trace }
    }
}

/// `2026-11-24T06:11:34.123Z`; which days a month has is the producer's matter.
fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00.000Z";
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape)
            .all(|(b, s)| if *s == b'0' { b.is_ascii_digit() } else { b == *s })
}

/// Writes a line without its newline to the end of `out`.
pub(crate) fn write_line(seq: u64, body: &Body, prev: Option<&LeafHash>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SEQ_KEY.as_bytes());
    out.extend_from_slice(seq.to_string().as_bytes());
    out.extend_from_slice(&body.bytes);
    out.extend_from_slice(PREV_KEY.as_bytes());
    out.extend_from_slice(prev_text(prev).as_bytes());
    out.push(b'"');
    let crc = crc_text(&out[start..]);
    out.extend_from_slice(CRC_KEY.as_bytes());
    out.extend_from_slice(crc.as_bytes());
    out.extend_from_slice(LINE_END.as_bytes());
}

/// CRC32C (Castagnoli) as 8 lower case hex digits.
pub(crate) fn crc_text(bytes: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(bytes))
}

/// Where in a raw line of this length the checksum's digits stand.
pub(crate) fn crc_digits(line_bytes: usize) -> std::ops::Range<usize> {
    let end = line_bytes - LINE_END.len();
    end - 8..end
}

/// A line of the log. In the file it is one JSON object without white space, its fields in this order: `seq`,
/// `event_id`, `ts`, `event_type`, `reason`, `actor`, `service`, `trace_id`, `payload`, `prev`, `crc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1, without gaps.
    pub seq: u64,
    pub entry: Entry,
    /// Leaf hash of the line before; none for the first.
    pub prev: Option<LeafHash>,
    /// CRC32C of all bytes of the raw line before `,"crc":`; in the file 8 lower case hex digits.
    pub crc: u32,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("the file ends inside the line")]
    Unterminated,
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the line does not end with a crc field")]
    NoCrc,
    #[error("its crc says {said}, its bytes give {computed}")]
    Crc { said: String, computed: String },
    #[error("its crc is right but it is not a line of this log: {0}")]
    Form(String),
    #[error("its sequence is {found}, {expected} must stand here")]
    Sequence { expected: u64, found: u64 },
    #[error("its prev is {found:?}, but the line before it hashes to {expected:?}: one of the two was changed")]
    Prev { expected: String, found: String },
    #[error(
        "the commit mark says that {seq} durable lines end at byte {bytes} with leaf hash {leaf:?}; here they do not"
    )]
    Mark { bytes: u64, seq: u64, leaf: String },
}

impl LineFault {
    /// Whether a write that a crash cut short can look so. A line whose checksum is right was written whole.
    pub fn can_be_a_torn_write(&self) -> bool {
        match self {
            Self::Unterminated | Self::TooLong | Self::NoCrc | Self::Crc { .. } => true,
            Self::Form(_) | Self::Sequence { .. } | Self::Prev { .. } | Self::Mark { .. } => false,
        }
    }
}

impl From<JsonFault> for LineFault {
    fn from(fault: JsonFault) -> Self {
        Self::Form(fault.to_string())
    }
}

impl Line {
    /// Reads a raw line without its newline: its checksum, its form, and that no byte could be written otherwise.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(raw: &[u8]) -> Result<Self, LineFault> {
        let crc = check_crc(raw)?;
        let text = std::str::from_utf8(raw).map_err(|e| LineFault::Form(e.to_string()))?;
        let mut scanner = Scanner::new(text, PAYLOAD_DEPTH_MAX);
        scanner.literal(SEQ_KEY, "seq must stand first")?;
        let seq = scanner
            .digits()?
            .parse()
            .map_err(|_| LineFault::Form("seq is out of range".into()))?;
        let entry = Entry {
            event_id: text_field(&mut scanner, ",\"event_id\":")?,
            ts: text_field(&mut scanner, ",\"ts\":")?,
            event_type: text_field(&mut scanner, ",\"event_type\":")?,
            reason: text_field(&mut scanner, ",\"reason\":")?,
            actor: text_field(&mut scanner, ",\"actor\":")?,
            service: text_field(&mut scanner, ",\"service\":")?,
            trace_id: text_field(&mut scanner, ",\"trace_id\":")?,
            payload: {
                scanner.literal(",\"payload\":", "payload must follow trace_id")?;
                Payload::scan(&mut scanner)?
            },
        };
        let prev = match text_field(&mut scanner, ",\"prev\":")? {
            none if none.is_empty() => None,
            hash => Some(LeafHash::parse(&hash).ok_or_else(|| LineFault::Form("prev is no leaf hash".into()))?),
        };
        let line = Self { seq, entry, prev, crc };
        if line.encode() != raw {
            return Err(LineFault::Form(
                "its bytes are not those that the log writes for what it says".into(),
            ));
        }
        if !is_time(&line.entry.ts) {
            return Err(LineFault::Form(format!("ts {:?} is not a time", line.entry.ts)));
        }
        Ok(line)
    }

    /// The raw line, without its newline.
    pub fn encode(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        write_line(self.seq, &self.entry.encode_unchecked(), self.prev.as_ref(), &mut raw);
        raw
    }

    /// The event's part of the line.
    pub fn body(&self) -> Body {
        self.entry.encode_unchecked()
    }

    /// Checks the line's place: that it has the next sequence and continues the line before.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn follows(&self, last_seq: u64, last_leaf: Option<&LeafHash>) -> Result<(), LineFault> {
        if self.seq != last_seq + 1 {
            return Err(LineFault::Sequence {
                expected: last_seq + 1,
                found: self.seq,
            });
        }
        if self.prev.as_ref() != last_leaf {
            return Err(LineFault::Prev {
                expected: prev_text(last_leaf),
                found: prev_text(self.prev.as_ref()),
            });
        }
        Ok(())
    }
}

fn check_crc(raw: &[u8]) -> Result<u32, LineFault> {
    if raw.len() > LINE_BYTES_MAX {
        return Err(LineFault::TooLong);
    }
    let covered = raw.len().checked_sub(CRC_FIELD_BYTES).ok_or(LineFault::NoCrc)?;
    let (front, field) = raw.split_at(covered);
    let digits = field
        .strip_prefix(CRC_KEY.as_bytes())
        .and_then(|rest| rest.strip_suffix(LINE_END.as_bytes()))
        .filter(|digits| digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or(LineFault::NoCrc)?;
    let computed = crc_text(front);
    if digits != computed.as_bytes() {
        return Err(LineFault::Crc {
            said: String::from_utf8_lossy(digits).into_owned(),
            computed,
        });
    }
    Ok(crc32c::crc32c(front))
}

fn text_field(scanner: &mut Scanner<'_>, key: &str) -> Result<String, LineFault> {
    if scanner.literal(key, "").is_err() {
        return Err(LineFault::Form(format!("{key} must stand at byte {}", scanner.at())));
    }
    let text = scanner.string()?;
    serde_json::from_str(text).map_err(|e| LineFault::Form(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            event_id: "risk:a:1".into(),
            ts: "2026-11-24T06:11:34.123Z".into(),
            event_type: "KILL_SWITCH_ACTIVATED".into(),
            reason: "DR drill".into(),
            actor: "unauthenticated:local".into(),
            service: "risk".into(),
            trace_id: String::new(),
            payload: Payload::parse(r#"{"epoch":7,"note":",\"crc\":\"00000000\"}"}"#).expect("payload"),
        }
    }

    #[test]
    fn p6_the_line_is_written_to_the_letter() {
        let mut raw = Vec::new();
        write_line(1, &entry().encode().expect("fits"), None, &mut raw);
        let text = String::from_utf8(raw.clone()).expect("utf-8");
        let expected = concat!(
            r#"{"seq":1,"event_id":"risk:a:1","ts":"2026-11-24T06:11:34.123Z","event_type":"KILL_SWITCH_ACTIVATED","#,
            r#""reason":"DR drill","actor":"unauthenticated:local","service":"risk","trace_id":"","#,
            r#""payload":{"epoch":7,"note":",\"crc\":\"00000000\"}"},"prev":"""#,
        );
        assert_eq!(
            text,
            format!("{expected},\"crc\":\"{}\"}}", crc_text(expected.as_bytes()))
        );
        // The check value that every description of CRC32C gives.
        assert_eq!(crc_text(b"123456789"), "e3069283");
        let line = Line::parse(&raw).expect("reads back");
        assert_eq!((line.seq, &line.entry, line.prev), (1, &entry(), None));
        let keys: Vec<String> = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&raw)
            .expect("plain JSON")
            .keys()
            .cloned()
            .collect();
        let order = "seq event_id ts event_type reason actor service trace_id payload prev crc";
        assert_eq!(keys.join(" "), order);
    }

    #[test]
    fn a_line_with_a_right_crc_but_another_form_is_refused() {
        let mut raw = Vec::new();
        write_line(12, &entry().encode().expect("fits"), None, &mut raw);
        let text = String::from_utf8(raw).expect("utf-8");
        let forged = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let covered = changed.len() - CRC_FIELD_BYTES;
            let sealed = format!(
                "{}{CRC_KEY}{}{LINE_END}",
                &changed[..covered],
                crc_text(&changed.as_bytes()[..covered])
            );
            Line::parse(sealed.as_bytes()).expect_err("a forged form")
        };
        for (from, to) in [
            ("\"seq\":12", "\"seq\":012"),
            ("\"seq\":12", "\"seq\":-1"),
            ("\"seq\":12", "\"seq\":99999999999999999999999"),
            ("\"reason\"", " \"reason\""),
            ("DR drill", "\\u0044R drill"),
            ("{\"epoch\"", "{ \"epoch\""),
            ("\"actor\"", "\"actress\""),
            ("\"prev\":\"\"", "\"prev\":\"AAAA\""),
            ("2026-11-24T", "2026-11-24 "),
            ("{\"seq\":12,", "{\"seq\":12,\"x\":1,"),
        ] {
            assert!(matches!(forged(from, to), LineFault::Form(_)), "{from} -> {to}");
        }
    }

    #[test]
    fn the_longest_line_fits_anywhere_in_the_log_and_one_byte_more_is_refused() {
        let mut entry = entry();
        let fixed = entry.encode().expect("fits").as_bytes().len() - entry.reason.len();
        entry.reason = "x".repeat(LINE_BYTES_MAX - LINE_FRAME_BYTES_MAX - fixed);
        let body = entry.encode().expect("just fits");
        let mut raw = Vec::new();
        write_line(i64::MAX as u64, &body, Some(&LeafHash::of(b"x")), &mut raw);
        assert_eq!(raw.len(), LINE_BYTES_MAX);
        assert!(Line::parse(&raw).is_ok());
        entry.reason.push('x');
        assert_eq!(
            entry.encode(),
            Err(LineError::TooLarge {
                bytes: LINE_BYTES_MAX + 1
            })
        );
    }
}
