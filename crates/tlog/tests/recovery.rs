//! P6 after a crash: what was acknowledged stays, what a crash tore is set aside and reported, nothing else is touched.

mod sample;

use sample::{Sample, append_batches, entry, lines, offsets, read};
use thunes_tlog::{LogWriter, MarkState, OpenError, quarantined_files, verify_file};

/// A log of six lines whose mark stands after the third, as if the process died before it moved on.
fn mark_behind() -> (Vec<u8>, Vec<u8>, u64) {
    let sample = Sample::empty();
    let mut writer = sample.open().expect("new").writer;
    append_batches(&mut writer, &[1, 2]);
    let (mark, marked) = (sample.mark(), writer.head().bytes);
    append_batches(&mut writer, &[3]);
    drop(writer);
    (sample.log(), mark, marked)
}

fn whole_lines(log: &[u8], cut: usize) -> usize {
    lines(&log[..cut]).iter().filter(|line| line.ends_with(b"\n")).count()
}

/// Opens a log that was cut, and checks that exactly the whole lines stay and the rest is in the quarantine.
fn check_cut(log: &[u8], mark: Option<&[u8]>, cut: usize) {
    let sample = Sample::with_files(&log[..cut], mark);
    let mut seen = Vec::new();
    let opened = LogWriter::open(&sample.paths, &mut |scanned| seen.push(scanned.line.seq)).expect("recovers");
    let kept = whole_lines(log, cut);
    let end = offsets(log)[kept];
    assert_eq!(seen, (1..=kept as u64).collect::<Vec<_>>(), "cut at {cut}");
    assert_eq!(sample.log(), &log[..end as usize], "cut at {cut}");
    match opened.report.quarantined {
        None => assert_eq!(end, cut as u64, "cut at {cut}: something vanished without a report"),
        Some(set) => {
            assert_eq!(
                (set.offset, set.bytes, set.seq),
                (end, cut as u64 - end, kept as u64 + 1),
                "cut at {cut}"
            );
            assert_eq!(read(&set.path), &log[end as usize..cut], "cut at {cut}");
            assert_eq!(quarantined_files(&sample.paths).expect("list"), [set.name]);
        }
    }
    let mut writer = opened.writer;
    append_batches(&mut writer, &[2]);
    let report = verify_file(&sample.paths.log).expect("readable");
    assert_eq!(
        (report.first_bad, report.last_seq, report.mark_compared),
        (None, kept as u64 + 2, true),
        "cut at {cut}"
    );
}

#[test]
fn p6_truncated_at_every_byte_after_the_mark_only_the_torn_end_is_set_aside() {
    let (log, mark, marked) = mark_behind();
    for cut in marked as usize..=log.len() {
        check_cut(&log, Some(&mark), cut);
    }
}

#[test]
fn p6_truncated_at_every_byte_before_the_mark_is_tampering_and_changes_nothing() {
    let (log, mark, marked) = mark_behind();
    for cut in 0..marked as usize {
        let sample = Sample::with_files(&log[..cut], Some(&mark));
        let before = sample.state();
        match sample.open().map(|opened| opened.report).expect_err("was durable") {
            OpenError::Shortened {
                found,
                marked: said,
                seq,
                ..
            } => {
                assert_eq!((found, said, seq), (cut as u64, marked, 3));
            }
            other => panic!("cut at {cut}: {other}"),
        }
        assert_eq!(sample.state(), before, "cut at {cut}");
        assert!(
            verify_file(&sample.paths.log).expect("readable").first_bad.is_some(),
            "cut at {cut}"
        );
    }
}

#[test]
fn p6_without_a_mark_truncation_sets_aside_the_unfinished_line_alone() {
    let (log, _, _) = mark_behind();
    for cut in 0..=log.len() {
        check_cut(&log, None, cut);
        check_cut(&log, Some(b"no mark at all"), cut);
    }
}

#[test]
fn p6_a_flip_after_the_mark_keeps_every_good_line_before_it() {
    let (log, mark, marked) = mark_behind();
    let starts = offsets(&log);
    for at in marked as usize..log.len() {
        let mut damaged = log.clone();
        damaged[at] ^= 0x40;
        let sample = Sample::with_files(&damaged, Some(&mark));
        let opened = sample.open().unwrap_or_else(|e| panic!("flip at {at}: {e}"));
        let line = starts.iter().rposition(|start| *start <= at as u64).expect("in a line");
        let set = opened
            .report
            .quarantined
            .unwrap_or_else(|| panic!("flip at {at} was not seen"));
        assert_eq!((set.offset, set.seq), (starts[line], line as u64 + 1), "flip at {at}");
        assert_eq!(sample.log(), &log[..starts[line] as usize], "flip at {at}");
        assert_eq!(read(&set.path), &damaged[starts[line] as usize..], "flip at {at}");
    }
}

#[test]
fn p6_without_a_mark_a_flip_before_the_last_line_is_tampering() {
    let (log, _, _) = mark_behind();
    let starts = offsets(&log);
    let last = starts[starts.len() - 2];
    for at in 0..log.len() {
        let mut damaged = log.clone();
        damaged[at] ^= 0x40;
        let sample = Sample::with_files(&damaged, None);
        let before = sample.state();
        match sample.open() {
            // The newline before the last line belongs to a line that is then the last: both go, and are kept aside.
            Ok(opened) => {
                let set = opened.report.quarantined.expect("a flip is seen");
                assert!(at as u64 >= last - 1, "flip at {at} let line {} go", set.seq);
                assert_eq!(read(&set.path), &damaged[set.offset as usize..]);
            }
            Err(OpenError::Tampered { offset, .. }) => {
                let line = starts.iter().rposition(|start| *start <= at as u64).expect("in a line");
                assert_eq!(offset, starts[line], "flip at {at}");
                assert_eq!(sample.state(), before, "flip at {at}");
            }
            Err(other) => panic!("flip at {at}: {other}"),
        }
    }
}

#[test]
fn p6_zeros_and_garbage_after_the_mark_go_whole_and_the_next_start_is_clean() {
    let (log, mark, _) = mark_behind();
    for tail in [
        vec![0u8; 200_000],
        b"\n".to_vec(),
        b"\n\n{}\n".to_vec(),
        vec![0xff; 70_000],
        b"{\"seq\":7".to_vec(),
    ] {
        let mut bytes = log.clone();
        bytes.extend_from_slice(&tail);
        let sample = Sample::with_files(&bytes, Some(&mark));
        let opened = sample.open().expect("recovers");
        assert_eq!(opened.report.kept_after_mark, 3);
        assert_eq!(read(&opened.report.quarantined.expect("set aside").path), tail);
        drop(opened.writer);
        let again = sample.open().expect("opens again").report;
        assert_eq!((again.quarantined, again.last_seq, again.kept_after_mark), (None, 6, 0));
    }
}

#[test]
fn p6_a_crash_between_the_copy_and_the_cut_ends_in_one_copy() {
    let (log, mark, _) = mark_behind();
    let cut = &log[..log.len() - 5];
    let first = Sample::with_files(cut, Some(&mark))
        .open()
        .expect("recovers")
        .report
        .quarantined
        .expect("set aside");
    let sample = Sample::with_files(cut, Some(&mark));
    std::fs::create_dir_all(&sample.paths.quarantine).expect("folder");
    let copied = &cut[first.offset as usize..];
    std::fs::write(sample.paths.quarantine.join(&first.name), copied).expect("the copy of the start that died");
    std::fs::write(sample.paths.quarantine.join("copying.tmp"), b"half").expect("a copy cut short");
    let set = sample.open().expect("recovers").report.quarantined.expect("set aside");
    assert_eq!(set.name, first.name);
    assert_eq!(quarantined_files(&sample.paths).expect("list"), [first.name]);
    assert_eq!(read(&set.path), copied);
}

#[test]
fn p6_a_chain_that_breaks_after_the_mark_is_no_torn_write() {
    let (log, mark, marked) = mark_behind();
    let mut parts = lines(&log);
    parts.remove(4);
    let sample = Sample::with_files(&parts.concat(), Some(&mark));
    let before = sample.state();
    match sample
        .open()
        .map(|opened| opened.report)
        .expect_err("a whole line is missing")
    {
        OpenError::Tampered { offset, seq, .. } => assert_eq!((offset, seq), (offsets(&log)[4], 5)),
        other => panic!("{other}"),
    }
    assert!(offsets(&log)[4] > marked);
    assert_eq!(sample.state(), before);
}

#[test]
fn p6_a_log_that_vanished_under_its_mark_is_tampering() {
    let sample = Sample::with_batches(&[2]);
    std::fs::remove_file(&sample.paths.log).expect("removed");
    assert!(matches!(
        sample.open().map(|o| o.report),
        Err(OpenError::Shortened { found: 0, seq: 2, .. })
    ));
    assert!(!sample.paths.log.exists(), "nothing was created");
}

#[test]
fn p6_two_writers_never_share_a_log() {
    let sample = Sample::with_batches(&[1]);
    let first = sample.open().expect("the first");
    let error = sample.open().map(|o| o.report).expect_err("the second").to_string();
    assert!(
        error.contains(&std::process::id().to_string()) && error.contains("only one may write"),
        "{error}"
    );
    drop(first);
    assert_eq!(
        sample.open().expect("free again").report.mark,
        MarkState::Good(sample_mark(&sample))
    );
}

fn sample_mark(sample: &Sample) -> thunes_tlog::Mark {
    let mut head = thunes_tlog::Head::default();
    for line in lines(&sample.log()) {
        let leaf = thunes_tlog::LeafHash::of(line.strip_suffix(b"\n").expect("whole"));
        head = thunes_tlog::Head {
            seq: head.seq + 1,
            bytes: head.bytes + line.len() as u64,
            leaf: Some(leaf),
        };
    }
    head.into()
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_a_remedy() {
    let sample = Sample::empty();
    std::fs::write(&sample.paths.folder, b"a file stands where the folder should be").expect("file");
    let error = sample.open().map(|o| o.report).expect_err("no folder").to_string();
    assert!(
        error.contains(&sample.paths.folder.display().to_string()) && error.contains("; "),
        "{error}"
    );
}

#[test]
fn places_and_lines_agree_after_a_reopening() {
    let sample = Sample::with_batches(&[3, 1, 4]);
    let mut places = Vec::new();
    let opened = LogWriter::open(&sample.paths, &mut |scanned| places.push(scanned.place)).expect("opens");
    assert_eq!(opened.writer.head().seq, 8);
    let reader = thunes_tlog::LogReader::open(&sample.paths.log).expect("reader");
    for place in places {
        let (line, leaf, raw) = reader.line(place.seq, place.offset, place.length).expect("reads");
        assert_eq!(
            (line.seq, leaf, raw.len()),
            (place.seq, place.leaf, place.length as usize)
        );
        assert_eq!(line.entry, entry(place.seq));
    }
}
