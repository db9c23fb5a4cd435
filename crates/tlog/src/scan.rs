//! The one pass over the log at the start: every line's checksum, form, sequence and chain, and the commit mark.

use std::io::{self, BufRead, BufReader, Read};

use crate::leaf::prev_text;
use crate::{LINE_BYTES_MAX, LeafHash, Line, LineFault, Mark, Place};

/// The end of the log, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Of the last line; 0 for none.
    pub seq: u64,
    pub bytes: u64,
    /// Of the last line.
    pub leaf: Option<LeafHash>,
}

/// A good line, as the pass meets it.
#[derive(Debug)]
pub struct Scanned<'a> {
    pub line: &'a Line,
    pub place: Place,
}

/// Where the pass ended.
#[derive(Debug)]
pub(crate) struct ScanEnd {
    /// The end of the good lines.
    pub head: Head,
    /// What follows them, unless the file ends there.
    pub fault: Option<LineFault>,
}

/// Reads lines until the first that is not good. When there is a mark, its line must be where it says.
pub(crate) fn scan(file: impl Read, mark: Option<Mark>, visit: &mut dyn FnMut(Scanned<'_>)) -> io::Result<ScanEnd> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut head = Head::default();
    let mut raw = Vec::with_capacity(LINE_BYTES_MAX + 1);
    if let Some(fault) = mark.and_then(|mark| contradicts(&mark, head, head)) {
        return Ok(ScanEnd {
            head,
            fault: Some(fault),
        });
    }
    loop {
        raw.clear();
        // One byte more than the longest line with its newline, to see that a line is too long.
        if reader
            .by_ref()
            .take(LINE_BYTES_MAX as u64 + 2)
            .read_until(b'\n', &mut raw)?
            == 0
        {
            return Ok(ScanEnd { head, fault: None });
        }
        let next = match next_head(&raw, head) {
            Ok((line, next)) => {
                if let Some(fault) = mark.and_then(|mark| contradicts(&mark, head, next)) {
                    return Ok(ScanEnd {
                        head,
                        fault: Some(fault),
                    });
                }
                let leaf = next.leaf.expect("a head after a line has that line's hash");
                let length = u32::try_from(raw.len() - 1).expect("a good line is shorter than LINE_BYTES_MAX");
                visit(Scanned {
                    line: &line,
                    place: Place {
                        seq: next.seq,
                        offset: head.bytes,
                        length,
                        leaf,
                    },
                });
                next
            }
            Err(fault) => {
                return Ok(ScanEnd {
                    head,
                    fault: Some(fault),
                });
            }
        };
        head = next;
    }
}

fn next_head(raw: &[u8], head: Head) -> Result<(Line, Head), LineFault> {
    let Some(line_bytes) = raw.strip_suffix(b"\n") else {
        return Err(if raw.len() > LINE_BYTES_MAX {
            LineFault::TooLong
        } else {
            LineFault::Unterminated
        });
    };
    let line = Line::parse(line_bytes)?;
    line.follows(head.seq, head.leaf.as_ref())?;
    let next = Head {
        seq: line.seq,
        bytes: head.bytes + raw.len() as u64,
        leaf: Some(LeafHash::of(line_bytes)),
    };
    Ok((line, next))
}

/// Whether the mark's place, met on the way from `before` to `after`, is another than the mark says.
fn contradicts(mark: &Mark, before: Head, after: Head) -> Option<LineFault> {
    let met = after.bytes == mark.bytes;
    let passed = before.bytes < mark.bytes && after.bytes > mark.bytes;
    let same = after.seq == mark.seq && after.leaf == mark.leaf;
    let wrong = passed || (met && !same);
    wrong.then(|| LineFault::Mark {
        bytes: mark.bytes,
        seq: mark.seq,
        leaf: prev_text(mark.leaf.as_ref()),
    })
}
