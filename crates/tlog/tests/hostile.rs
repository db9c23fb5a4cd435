//! Strings and disks that mean harm.

mod sample;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use sample::{Sample, append_batches, entry};
use thunes_tlog::{Entry, Line, LogFile, LogReader, LogWriter, Origin, Payload, verify_file};

fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        Just("\0".to_owned()),
        Just("\u{2028}\u{2029}\u{85}".to_owned()),
        Just("\r\n".to_owned()),
        Just("🚀👩‍👩‍👧\u{202e}".to_owned()),
        Just("\",\"crc\":\"00000000\"}".to_owned()),
        Just("\\".to_owned()),
        Just("\u{feff}\u{fffd}\u{10ffff}\u{7f}".to_owned()),
        "[ -~]{0,20}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        hostile_text().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((hostile_text(), inner), 0..5)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a string holds: the log keeps it, other readers of JSON read the same, and the log verifies.
    #[test]
    fn p6_hostile_strings_come_back_as_they_were(
        texts in prop::array::uniform4(hostile_text()),
        value in json_value(),
        pretty in any::<bool>(),
    ) {
        let object = serde_json::json!({ "value": value });
        let given = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
        let [reason, actor, service, event_id] = texts;
        let said = Entry {
            event_id, reason, actor, service, payload: Payload::parse(&given.expect("JSON")).expect("valid"), ..entry(1)
        };
        let sample = Sample::empty();
        let mut writer = sample.open().expect("opens").writer;
        let mut batch = writer.begin();
        let place = batch.push(&said.encode().expect("fits"));
        writer.append(batch).expect("appended");
        append_batches(&mut writer, &[1]);
        let (line, _, raw) =
            LogReader::open(&sample.paths.log).expect("reader").line(1, place.offset, place.length).expect("reads");
        prop_assert_eq!(&line.entry, &said);
        let read: serde_json::Value = serde_json::from_str(&raw).expect("plain JSON");
        prop_assert_eq!(&read["payload"], &object);
        prop_assert_eq!(read["reason"].as_str(), Some(said.reason.as_str()));
        prop_assert_eq!(verify_file(&sample.paths.log).expect("readable").first_bad, None);
        drop(writer);
        prop_assert_eq!(sample.open().expect("opens again").report.last_seq, 2);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in hostile_text()) {
        let _ = Line::parse(&bytes);
        let _ = Payload::parse(&text);
        let _ = Origin::parse(&text);
    }

    /// Our reader of JSON takes no more than the usual one does.
    #[test]
    fn a_payload_is_json_for_everybody(text in "[{}\\[\\],:\"\\\\0-9eE+.a-u\\-]{0,30}") {
        if let Ok(payload) = Payload::parse(&text) {
            let usual: serde_json::Value = serde_json::from_str(&text).expect("also JSON for others");
            let ours: serde_json::Value = serde_json::from_str(payload.as_str()).expect("JSON");
            prop_assert_eq!(usual, ours);
        }
    }
}

/// A disk that fails at the nth operation of a kind, after writing part of what it was given.
struct FailingDisk {
    file: File,
    writes_left: AtomicU32,
    syncs_left: AtomicU32,
    syncs: Arc<AtomicU32>,
}

fn spend(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_err()
}

impl LogFile for FailingDisk {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if spend(&self.writes_left) {
            LogFile::write_all_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        LogFile::write_all_at(&self.file, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if spend(&self.syncs_left) {
            Err(io::Error::other("the disk lost a page"))
        } else {
            self.file.sync_data()
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

fn open_failing(sample: &Sample, writes: u32, syncs: u32) -> (LogWriter, Arc<AtomicU32>) {
    let counted = Arc::new(AtomicU32::new(0));
    let disk = FailingDisk {
        file: File::options()
            .read(true)
            .write(true)
            .open(&sample.paths.log)
            .expect("log"),
        writes_left: writes.into(),
        syncs_left: syncs.into(),
        syncs: counted.clone(),
    };
    let opened = LogWriter::open_with(&sample.paths, &mut |_| {}, |_| Box::new(disk)).expect("opens");
    (opened.writer, counted)
}

#[test]
fn a_full_disk_is_named_and_the_log_still_verifies() {
    let sample = Sample::with_batches(&[2]);
    let (mut writer, syncs) = open_failing(&sample, 1, 9);
    append_batches(&mut writer, &[1]);
    for _ in 0..2 {
        let mut batch = writer.begin();
        batch.push(&entry(4).encode().expect("fits"));
        let error = writer.append(batch).expect_err("full").to_string();
        assert!(
            error.contains("make room") && error.contains("audit_trail.jsonl"),
            "{error}"
        );
    }
    assert_eq!(syncs.load(Ordering::SeqCst), 1, "what was not written is not synced");
    drop(writer);
    let report = verify_file(&sample.paths.log).expect("readable");
    assert_eq!((report.last_seq, report.first_bad), (3, None), "half a line was left");
    assert_eq!(sample.open().expect("opens").report.quarantined, None);
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let sample = Sample::with_batches(&[2]);
    let (mut writer, syncs) = open_failing(&sample, 9, 0);
    let head = writer.head();
    for _ in 0..3 {
        let mut batch = writer.begin();
        batch.push(&entry(3).encode().expect("fits"));
        let error = writer.append(batch).expect_err("poisoned").to_string();
        assert!(error.contains("fdatasync") && error.contains("lost a page"), "{error}");
    }
    assert_eq!(syncs.load(Ordering::SeqCst), 1);
    assert_eq!(writer.head(), head, "nothing was acknowledged");
}

#[test]
fn a_batch_that_is_given_up_after_its_write_ends_the_writer() {
    let sample = Sample::with_batches(&[1]);
    let mut writer = sample.open().expect("opens").writer;
    let mut batch = writer.begin();
    batch.push(&entry(2).encode().expect("fits"));
    drop(writer.write(batch).expect("written"));
    let next = writer.begin();
    assert!(writer.append(next).is_err());
    drop(writer);
    assert_eq!(sample.open().expect("opens").report.last_seq, 2, "whole lines are kept");
}
