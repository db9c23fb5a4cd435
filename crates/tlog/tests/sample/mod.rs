//! A log in a temporary folder, and ways to damage it.
#![allow(dead_code)]

use std::path::Path;

use tempfile::TempDir;
use thunes_tlog::{Entry, LogPaths, LogWriter, OpenError, Opened, Payload};

pub struct Sample {
    _folder: TempDir,
    pub paths: LogPaths,
}

pub fn entry(number: u64) -> Entry {
    Entry {
        event_id: format!("risk:test:{number}"),
        ts: format!("2026-11-24T06:11:{:02}.123Z", number % 60),
        event_type: "ORDER_INTENT".into(),
        reason: format!("event {number}"),
        actor: "unauthenticated:local".into(),
        service: "risk".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        payload: Payload::parse(&format!("{{\"number\":{number},\"text\":\"\u{2028}🚀\\n\"}}")).expect("payload"),
    }
}

impl Sample {
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("temp folder");
        let paths = LogPaths::in_data_dir(folder.path());
        Self { _folder: folder, paths }
    }

    /// Batches of these sizes.
    pub fn with_batches(sizes: &[u64]) -> Self {
        let sample = Self::empty();
        let mut writer = sample.open().expect("a new log").writer;
        append_batches(&mut writer, sizes);
        sample
    }

    /// These bytes as the log, with or without a mark.
    pub fn with_files(log: &[u8], mark: Option<&[u8]>) -> Self {
        let sample = Self::empty();
        std::fs::create_dir_all(&sample.paths.folder).expect("folder");
        std::fs::write(&sample.paths.log, log).expect("log");
        if let Some(mark) = mark {
            std::fs::write(&sample.paths.mark, mark).expect("mark");
        }
        sample
    }

    pub fn open(&self) -> Result<Opened, OpenError> {
        LogWriter::open(&self.paths, &mut |_| {})
    }

    pub fn log(&self) -> Vec<u8> {
        std::fs::read(&self.paths.log).expect("the log")
    }

    pub fn mark(&self) -> Vec<u8> {
        std::fs::read(&self.paths.mark).expect("the mark")
    }

    /// What must not change when opening is refused.
    pub fn state(&self) -> (Vec<u8>, Option<Vec<u8>>, bool) {
        (
            self.log(),
            std::fs::read(&self.paths.mark).ok(),
            self.paths.quarantine.exists(),
        )
    }
}

pub fn append_batches(writer: &mut LogWriter, sizes: &[u64]) {
    for size in sizes {
        let mut batch = writer.begin();
        for _ in 0..*size {
            let number = writer.head().seq + batch.places().len() as u64 + 1;
            batch.push(&entry(number).encode().expect("fits"));
        }
        writer.append(batch).expect("appended");
    }
}

/// The lines with their newlines.
pub fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// Where each line begins, and where the last ends.
pub fn offsets(log: &[u8]) -> Vec<u64> {
    let mut offsets = vec![0];
    for line in lines(log) {
        offsets.push(offsets.last().expect("never empty") + line.len() as u64);
    }
    offsets
}

/// Changes a line's text and makes its checksum right again, as somebody who knows the format would.
pub fn reseal(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).expect("utf-8").replacen(from, to, 1);
    let front = &text[..text.rfind(",\"crc\":").expect("a crc field")];
    let sealed = format!("{front},\"crc\":\"{:08x}\"}}\n", crc32c::crc32c(front.as_bytes())).into_bytes();
    assert_ne!(sealed, line, "{from:?} does not stand in the line");
    sealed
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("file")
}
