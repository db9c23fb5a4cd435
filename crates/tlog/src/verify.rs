//! The offline verifier: the file and nothing else, one line in memory at a time. It shares no code with recovery and
//! takes the line format from its description, so that a mistake in one shows in the other.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::mark::read_mark;
use crate::{LogPaths, Mark};

const LONGEST_LINE_BYTES: usize = 65_535;
const CRC_FIELD: &str = ",\"crc\":\"00000000\"}";
const KEYS: [&str; 11] = [
    "seq",
    "event_id",
    "ts",
    "event_type",
    "reason",
    "actor",
    "service",
    "trace_id",
    "payload",
    "prev",
    "crc",
];

/// What the verifier found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Good lines, up to the first that is not.
    pub lines: u64,
    /// Of the last good line; 0 for none.
    pub last_seq: u64,
    /// Of the last good line, base64; empty for none.
    pub last_leaf_hash: String,
    /// Whether a commit mark stood beside the file and was compared with it.
    pub mark_compared: bool,
    pub first_bad: Option<FirstBad>,
}

/// The first thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstBad {
    /// The sequence that should stand there.
    pub seq: u64,
    /// Counted from 1, as editors do.
    pub line_number: u64,
    /// Of the line's first byte.
    pub offset: u64,
    pub why: String,
}

/// Verifies a log file: every checksum, the sequence, the chain; and the commit mark, where one stands beside it.
///
/// # Errors
/// When the file cannot be read; what is wrong with its contents is in the report.
pub fn verify_file(path: &Path) -> io::Result<VerifyReport> {
    let mark = read_mark(&LogPaths::mark_of(path))?;
    let mut reader = BufReader::with_capacity(256 * 1024, File::open(path)?);
    let mut state = State::default();
    let mut raw = Vec::new();
    let first_bad = loop {
        let (seq, offset) = (state.seq + 1, state.offset);
        let bad = |why| {
            Some(FirstBad {
                seq,
                line_number: seq,
                offset,
                why,
            })
        };
        raw.clear();
        if reader
            .by_ref()
            .take(LONGEST_LINE_BYTES as u64 + 2)
            .read_until(b'\n', &mut raw)?
            == 0
        {
            break mark.mark().and_then(|mark| too_short_for(&mark, offset)).and_then(bad);
        }
        let before = state.clone();
        let verdict = state
            .take(&raw)
            .and_then(|()| contradiction(mark.mark(), offset, &state));
        if let Err(why) = verdict {
            state = before;
            break bad(why);
        }
    };
    Ok(VerifyReport {
        lines: state.seq,
        last_seq: state.seq,
        last_leaf_hash: state.hash,
        mark_compared: mark.mark().is_some_and(|mark| state.offset >= mark.bytes),
        first_bad,
    })
}

fn too_short_for(mark: &Mark, end: u64) -> Option<String> {
    (end < mark.bytes).then(|| {
        format!(
            "the file ends at byte {end}, but {} bytes up to sequence {} were durable",
            mark.bytes, mark.seq
        )
    })
}

/// Compares the line that ends where the mark stands with the mark; `offset` is where the line begins.
fn contradiction(mark: Option<Mark>, offset: u64, state: &State) -> Result<(), String> {
    let Some(mark) = mark.filter(|mark| offset < mark.bytes && mark.bytes <= state.offset) else {
        return Ok(());
    };
    let hash = mark.leaf.map(|leaf| leaf.to_base64()).unwrap_or_default();
    if state.offset == mark.bytes && state.seq == mark.seq && state.hash == hash {
        return Ok(());
    }
    Err(format!(
        "it is not the line that was durable as sequence {} with leaf hash {hash:?}: it was rewritten",
        mark.seq
    ))
}

#[derive(Debug, Clone, Default)]
struct State {
    seq: u64,
    offset: u64,
    hash: String,
}

impl State {
    fn take(&mut self, raw: &[u8]) -> Result<(), String> {
        let Some(line) = raw.strip_suffix(b"\n") else {
            let long = raw.len() > LONGEST_LINE_BYTES;
            return Err(if long {
                "the line is too long"
            } else {
                "the file ends inside the line"
            }
            .to_owned());
        };
        if line.len() > LONGEST_LINE_BYTES {
            return Err("the line is too long".to_owned());
        }
        let covered = line
            .len()
            .checked_sub(CRC_FIELD.len())
            .ok_or("the line is too short to be one")?;
        let expected = format!(",\"crc\":\"{:08x}\"}}", crc32c::crc32c(&line[..covered]));
        if &line[covered..] != expected.as_bytes() {
            return Err(format!(
                "the line's bytes give the crc field {expected}, but it ends differently"
            ));
        }
        let fields = read_fields(line)?;
        if fields["seq"].as_u64() != Some(self.seq + 1) {
            return Err(format!(
                "its sequence is {}, {} must stand here",
                fields["seq"],
                self.seq + 1
            ));
        }
        if fields["prev"].as_str() != Some(&self.hash) {
            let said = &fields["prev"];
            return Err(format!(
                "its prev is {said}, but the line before hashes to {:?}: one of them was changed",
                self.hash
            ));
        }
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(line);
        self.hash = STANDARD.encode(hash.finalize());
        self.seq += 1;
        self.offset += raw.len() as u64;
        Ok(())
    }
}

fn read_fields(line: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
    if has_space_between_tokens(line) {
        return Err("white space between its tokens".to_owned());
    }
    let fields: serde_json::Map<String, Value> =
        serde_json::from_slice(line).map_err(|e| format!("not a JSON object: {e}"))?;
    if !fields.keys().map(String::as_str).eq(KEYS) {
        return Err("its fields are not those of a line, in their order".to_owned());
    }
    for (key, value) in &fields {
        let right = match key.as_str() {
            "seq" => value.is_u64(),
            "payload" => value.is_object(),
            _ => value.is_string(),
        };
        if !right {
            return Err(format!("its field {key} has a value of another kind"));
        }
    }
    Ok(fields)
}

fn has_space_between_tokens(line: &[u8]) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for byte in line {
        match (inside, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, _, b'"') => inside = !inside,
            (false, _, b' ' | b'\t' | b'\r') => return true,
            _ => {}
        }
    }
    false
}
