//! The durable part of the log, as readers see it. Readers take the index for moments only and read the lines from the
//! file, so that no reader, however slow, holds up the writer or misses a line.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use thunes_runtime::clock;
use thunes_tlog::{Head, Line, LogReader, ReadError};
use tokio::sync::watch;

use crate::domain::index::{Filter, Found, Index, Look, Spot};
use crate::domain::offer::OfferedEvent;
use crate::domain::page::{PAGE_BYTES_MAX, Query};

/// Lines that one look into the index goes over.
const LOOK_SLOTS_MAX: usize = 65_536;
/// Lines that a tail reads at once.
const RUN_LINES_MAX: u64 = 64;
const LAG_UNKNOWN: i64 = -1;

#[derive(Debug)]
pub(crate) struct Trail {
    index: RwLock<Index>,
    head: watch::Sender<Head>,
    reader: LogReader,
    pub(crate) path: PathBuf,
    pub(crate) quarantined_batches: u64,
    /// Of the latest commit: from the time of its oldest event to its being durable.
    lag_ms: AtomicI64,
}

/// A line as it stands in the file.
#[derive(Debug)]
pub(crate) struct Read {
    pub line: Line,
    pub raw: String,
}

impl Trail {
    pub(crate) fn new(index: Index, head: Head, reader: LogReader, path: PathBuf, quarantined_batches: u64) -> Self {
        Self {
            index: RwLock::new(index),
            head: watch::Sender::new(head),
            reader,
            path,
            quarantined_batches,
            lag_ms: AtomicI64::new(LAG_UNKNOWN),
        }
    }

    /// The durable end.
    pub(crate) fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// How old the oldest event of the latest commit was when it became durable; None before the first.
    pub(crate) fn lag_ms(&self) -> Option<i64> {
        let lag_ms = self.lag_ms.load(Ordering::Relaxed);
        (lag_ms != LAG_UNKNOWN).then_some(lag_ms)
    }

    /// Wakes when the durable end moves.
    pub(crate) fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows lines to the readers, once they are durable.
    pub(crate) fn publish(&self, lines: &[(thunes_tlog::Place, OfferedEvent)], head: Head) {
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for (place, event) in lines {
                index.push(place, &event.event_type, &event.service, event.ts_ms);
            }
        }
        if let Some(oldest_ms) = lines.iter().map(|(_, event)| event.ts_ms).min() {
            let lag_ms = (clock::now_ms() - oldest_ms).max(0);
            self.lag_ms.store(lag_ms, Ordering::Relaxed);
        }
        self.head.send_replace(head);
    }

    pub(crate) fn spot(&self, seq: u64) -> Option<Spot> {
        self.with_index(|index| index.spot(seq))
    }

    /// Reads a line and checks that it is what was written.
    pub(crate) fn read(&self, spot: Spot) -> Result<Read, ReadError> {
        let (line, _, raw) = self.reader.line(spot.seq, spot.offset, spot.length)?;
        Ok(Read { line, raw })
    }

    /// The next few lines from `seq` on, up to the durable end.
    pub(crate) fn run(&self, seq: u64) -> Result<Vec<Read>, ReadError> {
        let last = self.head().seq.min(seq.saturating_add(RUN_LINES_MAX - 1));
        let spots: Vec<Spot> = self.with_index(|index| (seq..=last).filter_map(|seq| index.spot(seq)).collect());
        spots.into_iter().map(|spot| self.read(spot)).collect()
    }

    /// One page: its lines, and where the next page begins.
    pub(crate) fn page(&self, query: &Query) -> Result<(Vec<Read>, Option<u64>), ReadError> {
        let mut next = query.seq.or_else(|| {
            let last = self.head().seq;
            let first = if query.newest_first { last } else { 1 };
            (last > 0).then_some(first)
        });
        let mut lines = Vec::new();
        let mut bytes = 0;
        while let Some(seq) = next {
            let found_max = query.page_size - lines.len();
            let found = self.look(&query.filter, seq, query.newest_first, found_max);
            for spot in found.spots {
                // The line goes out twice: as fields and raw.
                bytes += 2 * spot.length as usize + 64;
                if bytes > PAGE_BYTES_MAX && !lines.is_empty() {
                    return Ok((lines, Some(spot.seq)));
                }
                lines.push(self.read(spot)?);
            }
            next = found.next;
            if lines.len() == query.page_size {
                break;
            }
        }
        Ok((lines, self.next_match(query, next)))
    }

    /// The next line that matches: a page that would be empty is not promised.
    fn next_match(&self, query: &Query, mut next: Option<u64>) -> Option<u64> {
        while let Some(seq) = next {
            let found = self.look(&query.filter, seq, query.newest_first, 1);
            if let Some(spot) = found.spots.first() {
                return Some(spot.seq);
            }
            next = found.next;
        }
        None
    }

    fn look(&self, filter: &Filter, seq: u64, newest_first: bool, found_max: usize) -> Found {
        let look = Look {
            seq,
            newest_first,
            slots_max: LOOK_SLOTS_MAX,
            found_max,
        };
        self.with_index(|index| index.look(filter, look))
    }
}
