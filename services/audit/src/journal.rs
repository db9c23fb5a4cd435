//! The writing side: which events are new, what is answered to those that are not, and the one commit for all who wait.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thunes_runtime::{clock, current_trace_id};
use thunes_store::failpoint::{Action, pass};
use thunes_tlog::{
    Batch, Body, LeafHash, Line, LogPaths, LogReader, LogWriter, MarkState, Opened, Origin, Place, RecoveryReport,
    Scanned, quarantined_files,
};

use crate::domain::index::Index;
use crate::domain::known::{Count, Inconsistent, Known};
use crate::domain::offer::{Offer, OfferedEvent, Source};
use crate::domain::own::{self, Conflict};
use crate::error::{AuditError, Denied};
use crate::trail::Trail;

/// What an event became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub seq: u64,
    pub event_id: String,
    pub duplicate: bool,
    pub leaf: LeafHash,
}

/// What a request is told, once all of it is durable.
pub(crate) type Answer = Result<Vec<Logged>, Denied>;

pub(crate) struct Journal {
    writer: LogWriter,
    known: Known,
    trail: Arc<Trail>,
    /// The canary damages one line, not all.
    broken: bool,
}

/// A batch while it is put together.
struct Draft {
    batch: Batch,
    lines: Vec<(Place, OfferedEvent)>,
}

impl Journal {
    /// Opens the log of a data folder, learns from it what is known, and reports what was found.
    pub(crate) fn start(data_dir: &Path) -> Result<Self, AuditError> {
        let paths = LogPaths::in_data_dir(data_dir);
        let mut learned = Learned::default();
        let opened = LogWriter::open(&paths, &mut |scanned| learned.take(&scanned));
        let Opened { writer, report } = opened.inspect_err(|error| tracing::error!(%error, "audit does not start"))?;
        if let Some(fault) = learned.fault {
            return Err(AuditError::inconsistent(&paths.log, &fault));
        }
        let files = quarantined_files(&paths).map_err(|source| AuditError::Quarantine {
            path: paths.quarantine.clone(),
            source,
        })?;
        let reader = LogReader::open(&paths.log)?;
        let trail = Trail::new(learned.index, writer.head(), reader, paths.log, files.len() as u64);
        let mut journal = Self {
            writer,
            known: learned.known,
            trail: Arc::new(trail),
            broken: false,
        };
        journal.report(&report, &files, learned.last.as_ref())?;
        Ok(journal)
    }

    pub(crate) fn trail(&self) -> Arc<Trail> {
        self.trail.clone()
    }

    /// Writes the events of a start.
    fn report(&mut self, report: &RecoveryReport, files: &[String], last: Option<&Origin>) -> Result<(), AuditError> {
        let span = tracing::info_span!(parent: None, "audit.start");
        let _start = span.enter();
        let (now_ms, trace_id) = (clock::now_ms(), current_trace_id());
        let mark = match report.mark {
            MarkState::Good(_) => "good",
            MarkState::Missing => "missing",
            MarkState::Damaged => "damaged",
        };
        if let Some(set) = &report.quarantined {
            let file = set.path.display();
            tracing::error!(%file, offset = set.offset, bytes = set.bytes, why = %set.why, "a damaged end of the log was set aside");
            if let Some(last) = last {
                self.known.note_torn_after(last);
            }
        }
        if !matches!(report.mark, MarkState::Good(_)) && report.last_seq > 0 {
            tracing::warn!(
                mark,
                lines = report.last_seq,
                "the log has no commit mark: a cut at a line's end would not show"
            );
        }
        let mut draft = self.draft();
        // Every file that no event tells of yet: a start may have died between setting it aside and telling.
        for file in files {
            self.place_once(&mut draft, own::quarantined(file, &trace_id, now_ms))?;
        }
        let id = uuid::Uuid::new_v4().to_string();
        self.place(
            &mut draft,
            own::started(id, report.last_seq, mark, report.kept_after_mark, &trace_id, now_ms),
        )?;
        let batch = self.writer.append(draft.batch)?;
        tracing::info!(
            lines = report.last_seq,
            bytes = report.bytes,
            mark,
            "the audit log is verified"
        );
        drop(batch);
        self.trail.publish(&draft.lines, self.writer.head());
        Ok(())
    }

    fn draft(&self) -> Draft {
        Draft {
            batch: self.writer.begin(),
            lines: Vec::new(),
        }
    }

    /// Takes the requests in their order: one write and one sync for all of them. When this fails, nothing is
    /// acknowledged and the service has to end.
    pub(crate) fn commit(&mut self, offers: Vec<Offer>) -> Result<Vec<Answer>, AuditError> {
        let mut draft = self.draft();
        let mut answers = Vec::with_capacity(offers.len());
        for offer in offers {
            answers.push(self.take(&mut draft, offer)?);
        }
        if draft.batch.is_empty() {
            return Ok(answers);
        }
        if !self.broken && pass("audit.append.break_chain") == Action::Break {
            self.broken = true;
            draft.batch.spoil_last_crc();
        }
        pass("audit.append.before_write");
        let pending = self.writer.write(draft.batch)?;
        pass("audit.append.after_write");
        pending.commit()?;
        pass("audit.append.after_sync");
        self.trail.publish(&draft.lines, self.writer.head());
        pass("audit.append.before_answer");
        Ok(answers)
    }

    fn take(&mut self, draft: &mut Draft, offer: Offer) -> Result<Answer, AuditError> {
        let known = match &offer.source {
            Source::Counted { .. } => self.known_counts(draft, &offer)?,
            Source::Request { request_id } => self.known_lines(draft, request_id, &offer)?,
            Source::Single => Ok(Vec::new()),
        };
        let mut logged = match known {
            Ok(known) => known,
            Err(Denied::Conflict(conflict)) => {
                let span = tracing::info_span!(parent: None, "audit.conflict");
                let _found = span.enter();
                tracing::error!(?conflict, "a producer contradicts itself");
                self.place_once(draft, own::conflict(&conflict, &current_trace_id(), clock::now_ms()))?;
                return Ok(Err(Denied::Conflict(conflict)));
            }
            Err(denied) => return Ok(Err(denied)),
        };
        for event in offer.events.into_iter().skip(logged.len()) {
            logged.push(self.place(draft, event)?);
        }
        Ok(Ok(logged))
    }

    /// The events of a counting producer that are known: always the first ones of a request.
    fn known_counts(&self, draft: &Draft, offer: &Offer) -> Result<Answer, AuditError> {
        let mut logged = Vec::new();
        for event in &offer.events {
            let Origin::Counted {
                producer,
                incarnation,
                producer_seq,
            } = &event.origin
            else {
                break;
            };
            let seq = match self.known.count(producer, incarnation, *producer_seq) {
                Count::At(seq) => seq,
                Count::Next => break,
                Count::Gap { expected } => {
                    let (producer, incarnation) = (producer.clone(), incarnation.clone());
                    return Ok(Err(Denied::Gap {
                        producer,
                        incarnation,
                        producer_seq: *producer_seq,
                        expected,
                    }));
                }
            };
            match self.compare(draft, seq, event)? {
                Some(known) => logged.push(known),
                None => {
                    return Ok(Err(Denied::Conflict(Conflict {
                        producer: producer.clone(),
                        incarnation: incarnation.clone(),
                        producer_seq: *producer_seq,
                        seq,
                        offered_sha256: hex::encode(Sha256::digest(event.body.said(event.ts_given, event.trace_given))),
                    })));
                }
            }
        }
        Ok(Ok(logged))
    }

    /// The lines that a repeated request became: all of its events, unless a crash tore it.
    fn known_lines(&self, draft: &Draft, request_id: &str, offer: &Offer) -> Result<Answer, AuditError> {
        let Some(lines) = self.known.request(request_id) else {
            return Ok(Ok(Vec::new()));
        };
        let reused = || {
            Ok(Err(Denied::RequestReused {
                request_id: request_id.to_owned(),
            }))
        };
        let (have, offered) = (lines.seqs.len(), offer.events.len());
        if offered < have || (offered > have && !lines.torn) {
            return reused();
        }
        let mut logged = Vec::new();
        for (seq, event) in lines.seqs.iter().zip(&offer.events) {
            match self.compare(draft, *seq, event)? {
                Some(known) => logged.push(known),
                None => return reused(),
            }
        }
        Ok(Ok(logged))
    }

    /// What stands at `seq`, if it says the same as the event.
    fn compare(&self, draft: &Draft, seq: u64, event: &OfferedEvent) -> Result<Option<Logged>, AuditError> {
        let (body, leaf): (Body, LeafHash) = match draft.batch.raw(seq) {
            Some((place, raw)) => (
                Line::parse(raw).expect("the batch wrote this line just now").body(),
                place.leaf,
            ),
            None => {
                let spot = self
                    .trail
                    .spot(seq)
                    .expect("what is known stands in the batch or in the index");
                let read = self.trail.read(spot)?;
                (read.line.body(), LeafHash::of(read.raw.as_bytes()))
            }
        };
        let same = body.said(event.ts_given, event.trace_given) == event.body.said(event.ts_given, event.trace_given);
        Ok(same.then(|| Logged {
            seq,
            event_id: event.origin.to_string(),
            duplicate: true,
            leaf,
        }))
    }

    fn place(&mut self, draft: &mut Draft, event: OfferedEvent) -> Result<Logged, AuditError> {
        let place = draft.batch.push(&event.body);
        let noted = self.known.note(&event.origin, place.seq);
        noted.map_err(|fault| AuditError::inconsistent(&self.trail.path, &fault))?;
        let logged = Logged {
            seq: place.seq,
            event_id: event.origin.to_string(),
            duplicate: false,
            leaf: place.leaf,
        };
        draft.lines.push((place, event));
        Ok(logged)
    }

    /// Places an event of our own unless it is known.
    fn place_once(&mut self, draft: &mut Draft, event: OfferedEvent) -> Result<(), AuditError> {
        if let Origin::Counted {
            producer,
            incarnation,
            producer_seq,
        } = &event.origin
            && matches!(self.known.count(producer, incarnation, *producer_seq), Count::At(_))
        {
            return Ok(());
        }
        self.place(draft, event).map(|_| ())
    }
}

/// What a pass over the log teaches.
#[derive(Default)]
struct Learned {
    index: Index,
    known: Known,
    last: Option<Origin>,
    fault: Option<Inconsistent>,
}

impl Learned {
    fn take(&mut self, scanned: &Scanned<'_>) {
        let entry = &scanned.line.entry;
        let ts_ms = clock::parse_iso_utc(&entry.ts).unwrap_or_default();
        self.index
            .push(&scanned.place, &entry.event_type, &entry.service, ts_ms);
        // An id of another kind is not ours to judge: whoever wrote it, nobody will deliver it again.
        let Ok(origin) = Origin::parse(&entry.event_id) else {
            return;
        };
        if own::is_quarantine_report(&origin)
            && let Some(last) = &self.last
        {
            self.known.note_torn_after(last);
        }
        if self.fault.is_none() {
            self.fault = self.known.note(&origin, scanned.place.seq).err();
        }
        self.last = Some(origin);
    }
}
