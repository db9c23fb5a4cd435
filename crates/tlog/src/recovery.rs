//! What happens to a log that a crash left behind. The rule: only the batch that was being written can be damaged by a
//! crash, so only bytes after the commit mark may be set aside, whole, from the first damaged line on. Good lines are
//! kept wherever they stand: the mark can be older than the last sync, so lines after it may have been acknowledged.
//! Everything else that does not fit was done by somebody, and is left as it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::quarantine::set_aside;
use crate::scan::{Head, ScanEnd, Scanned, scan};
use crate::{LineFault, LogPaths, MarkState, OpenError, Quarantined};

/// What was found when the log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    pub last_seq: u64,
    pub bytes: u64,
    pub mark: MarkState,
    /// Good lines after the mark: durable, but perhaps never acknowledged.
    pub kept_after_mark: u64,
    /// The damaged end that was set aside now.
    pub quarantined: Option<Quarantined>,
}

/// Checks the whole log, sets a damaged end aside, and says where the log ends now.
pub(crate) fn recover(
    paths: &LogPaths,
    log: &mut File,
    mark: MarkState,
    visit: &mut dyn FnMut(Scanned<'_>),
) -> Result<(Head, RecoveryReport), OpenError> {
    let failed = |what| OpenError::io(what, &paths.log);
    let length = log.metadata().map_err(failed("cannot look at"))?.len();
    if let Some(mark) = mark.mark().filter(|mark| length < mark.bytes) {
        return Err(OpenError::Shortened {
            path: paths.log.clone(),
            found: length,
            marked: mark.bytes,
            seq: mark.seq,
        });
    }
    log.seek(SeekFrom::Start(0)).map_err(failed("cannot read"))?;
    let ScanEnd { head, fault } = scan(&mut *log, mark.mark(), visit).map_err(failed("cannot read"))?;
    let mut report = RecoveryReport {
        last_seq: head.seq,
        bytes: head.bytes,
        mark,
        kept_after_mark: mark.mark().map_or(0, |mark| head.seq.saturating_sub(mark.seq)),
        quarantined: None,
    };
    let Some(why) = fault else { return Ok((head, report)) };
    if !may_be_set_aside(log, mark, head, &why).map_err(failed("cannot read"))? {
        return Err(OpenError::Tampered {
            path: paths.log.clone(),
            offset: head.bytes,
            seq: head.seq + 1,
            why,
        });
    }
    let set = set_aside(paths, log, head.bytes, head.seq + 1, why).map_err(OpenError::io(
        "cannot set the damaged end of the log aside in",
        &paths.quarantine,
    ))?;
    thunes_failpoint::pass("tlog.quarantine.before_cut");
    // The copy is durable; only now may the log lose these bytes.
    log.set_len(head.bytes)
        .map_err(failed("cannot cut the damaged end off"))?;
    report.quarantined = Some(set);
    Ok((head, report))
}

fn may_be_set_aside(log: &mut File, mark: MarkState, head: Head, why: &LineFault) -> io::Result<bool> {
    if !why.can_be_a_torn_write() {
        return Ok(false);
    }
    match mark {
        MarkState::Good(mark) => Ok(head.bytes >= mark.bytes),
        // Nothing says how far the log was durable: then only its very last line may be damaged.
        MarkState::Missing | MarkState::Damaged => is_last_line(log, head.bytes),
    }
}

/// Whether no line begins after the one at `offset`.
fn is_last_line(log: &mut File, offset: u64) -> io::Result<bool> {
    log.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0u8; 256 * 1024];
    let mut ended = false;
    loop {
        let count = log.read(&mut buffer)?;
        if count == 0 {
            return Ok(true);
        }
        if ended {
            return Ok(false);
        }
        match buffer[..count].iter().position(|b| *b == b'\n') {
            Some(at) if at + 1 < count => return Ok(false),
            Some(_) => ended = true,
            None => {}
        }
    }
}
