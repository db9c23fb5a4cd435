use base64::Engine;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// One line of `audit_trail.jsonl`, with the fields that verdicts need.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuditLine {
    pub seq: i64,
    #[serde(default)]
    pub event_id: String,
    pub ts: String,
    pub event_type: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub service: String,
    #[serde(default)]
    pub trace_id: String,
    /// As it stands in the file, without its newline.
    #[serde(skip)]
    pub raw: String,
}

/// A trail as read from its file.
#[derive(Debug, Clone, Default)]
pub struct AuditTrail {
    pub lines: Vec<AuditLine>,
    /// Line numbers (from 1) that are no valid JSON object of a trail, each with why.
    pub invalid: Vec<(usize, String)>,
    /// The last line has no newline: a write is under way, or was torn.
    pub unfinished: bool,
}

impl AuditTrail {
    /// Reads every line; none is skipped.
    pub fn parse(text: &str) -> Self {
        let mut trail = Self {
            unfinished: !text.is_empty() && !text.ends_with('\n'),
            ..Self::default()
        };
        for (index, raw) in text.lines().enumerate() {
            match serde_json::from_str::<AuditLine>(raw) {
                Ok(line) => trail.lines.push(AuditLine {
                    raw: raw.to_owned(),
                    ..line
                }),
                Err(error) => trail.invalid.push((index + 1, error.to_string())),
            }
        }
        trail
    }

    /// Reads the file from `from` on, which is the end of a line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &std::path::Path, from: u64) -> std::io::Result<Self> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// The newest event of that type and reason.
    pub fn newest(&self, event_type: &str, reason: &str) -> Option<&AuditLine> {
        self.lines
            .iter()
            .rev()
            .find(|line| line.event_type == event_type && line.reason == reason)
    }

    /// Events that audit had acknowledged and that are not there as they were: the sequence number and what is wrong.
    pub fn lost(&self, acknowledged: &[(i64, String)]) -> Vec<String> {
        let found = |seq: i64| self.lines.iter().find(|line| line.seq == seq);
        acknowledged
            .iter()
            .filter_map(|(seq, hash)| match found(*seq) {
                None => Some(format!("seq {seq} is gone")),
                Some(line) if leaf_hash(&line.raw) != *hash => Some(format!("seq {seq} was changed")),
                Some(_) => None,
            })
            .collect()
    }
}

/// RFC 6962 leaf hash of a line, base64.
pub fn leaf_hash(raw: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(raw.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: i64, event_type: &str, reason: &str) -> String {
        serde_json::json!({"seq": seq, "ts": "2026-11-24T06:11:34.123Z", "event_type": event_type, "reason": reason})
            .to_string()
    }

    #[test]
    fn p6_invalid_and_torn_lines_are_seen() {
        let text = format!("{}\nnot json\n{}", line(1, "A", ""), &line(2, "B", "")[..20]);
        let trail = AuditTrail::parse(&text);
        assert_eq!(trail.lines.len(), 1);
        assert_eq!(trail.invalid.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 3]);
        assert!(trail.unfinished);
    }

    #[test]
    fn p6_a_lost_and_a_changed_event_are_named() {
        let (one, two) = (line(1, "A", "x"), line(2, "B", "y"));
        let acknowledged = [(1, leaf_hash(&one)), (2, leaf_hash(&two)), (3, leaf_hash("z"))];
        let whole = AuditTrail::parse(&format!("{one}\n{two}\n"));
        assert_eq!(whole.lost(&acknowledged), ["seq 3 is gone"]);
        let changed = AuditTrail::parse(&format!("{one}\n{}\n", two.replace("\"y\"", "\"Y\"")));
        assert_eq!(changed.lost(&acknowledged), ["seq 2 was changed", "seq 3 is gone"]);
    }

    #[test]
    fn the_newest_event_of_that_very_reason_is_found() {
        let text = [
            line(1, "K", "a"),
            line(2, "K", "b"),
            line(3, "K", "a"),
            line(4, "X", "a"),
        ]
        .join("\n")
            + "\n";
        let trail = AuditTrail::parse(&text);
        assert_eq!(trail.newest("K", "a").map(|l| l.seq), Some(3));
        assert_eq!(trail.newest("K", "c"), None);
    }
}
