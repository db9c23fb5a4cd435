//! P6 against somebody: every change to what was durable is located, by the start and by the offline verifier, which share
//! no code.

mod sample;

use proptest::prelude::*;
use sample::{Sample, lines, offsets, reseal};
use thunes_tlog::{OpenError, verify_file};

/// Both must name this line; the start must change nothing.
fn located(log: &[u8], mark: Option<&[u8]>, seq: u64, offset: u64, what: &str) {
    let sample = Sample::with_files(log, mark);
    let before = sample.state();
    match sample.open().map(|opened| opened.report) {
        Err(OpenError::Tampered {
            path,
            offset: at,
            seq: said,
            ..
        }) => {
            assert_eq!((at, said), (offset, seq), "{what}");
            assert_eq!(path, sample.paths.log);
        }
        Err(OpenError::Shortened { found, .. }) => assert_eq!(found, offset, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(sample.state(), before, "{what}: something was changed");
    let bad = verify_file(&sample.paths.log)
        .expect("readable")
        .first_bad
        .unwrap_or_else(|| panic!("{what}: not seen"));
    assert_eq!(
        (bad.offset, bad.seq, bad.line_number),
        (offset, seq, seq),
        "{what}: {}",
        bad.why
    );
}

#[test]
fn p6_every_flipped_byte_is_located() {
    let sample = Sample::with_batches(&[1, 2]);
    let (log, mark) = (sample.log(), sample.mark());
    let starts = offsets(&log);
    for at in 0..log.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = log.clone();
            changed[at] ^= flip;
            let line = starts.iter().rposition(|start| *start <= at as u64).expect("in a line");
            located(
                &changed,
                Some(&mark),
                line as u64 + 1,
                starts[line],
                &format!("byte {at} ^ {flip:#x}"),
            );
        }
    }
}

#[test]
fn p6_dropped_swapped_doubled_and_inserted_lines_are_located() {
    let sample = Sample::with_batches(&[2, 1, 3]);
    let (log, mark) = (sample.log(), sample.mark());
    let (all, starts) = (lines(&log), offsets(&log));
    for index in 0..all.len() {
        let (seq, offset) = (index as u64 + 1, starts[index]);
        let mut dropped = all.clone();
        dropped.remove(index);
        let short = dropped.concat();
        if index + 1 == all.len() {
            located(&short, Some(&mark), seq, offset, "the last line dropped");
        } else {
            // Longer than before is as possible as shorter: fill up, so that the length alone does not tell.
            let mut filled = short.clone();
            filled.resize(log.len(), b' ');
            located(
                &filled,
                Some(&mark),
                seq,
                offset,
                &format!("line {seq} dropped, the file filled up"),
            );
            let bad = verify(&short, None).expect("not seen without the mark");
            assert_eq!((bad.seq, bad.offset), (seq, offset));
        }
        let mut doubled = all.clone();
        doubled.insert(index, all[index].clone());
        located(
            &doubled.concat(),
            Some(&mark),
            seq + 1,
            starts[index + 1],
            &format!("line {seq} doubled"),
        );
        if index + 1 < all.len() {
            let mut swapped = all.clone();
            swapped.swap(index, index + 1);
            located(
                &swapped.concat(),
                Some(&mark),
                seq,
                offset,
                &format!("lines {seq} and {} swapped", seq + 1),
            );
        }
        let mut inserted = all.clone();
        inserted.insert(index, b"\n".to_vec());
        located(
            &inserted.concat(),
            Some(&mark),
            seq,
            offset,
            &format!("an empty line before {seq}"),
        );
    }
}

fn verify(log: &[u8], mark: Option<&[u8]>) -> Option<thunes_tlog::FirstBad> {
    verify_file(&Sample::with_files(log, mark).paths.log)
        .expect("readable")
        .first_bad
}

#[test]
fn p6_a_back_dated_line_with_a_right_checksum_is_located() {
    let sample = Sample::with_batches(&[2, 2]);
    let (log, mark) = (sample.log(), sample.mark());
    let (all, starts) = (lines(&log), offsets(&log));
    for index in 0..all.len() {
        let mut changed = all.clone();
        changed[index] = reseal(&all[index], "\"ts\":\"2026", "\"ts\":\"2025");
        // The line itself is well formed now: the next one no longer follows it. Behind the last one stands the mark.
        let tells = (index + 1).min(all.len() - 1);
        located(
            &changed.concat(),
            Some(&mark),
            tells as u64 + 1,
            starts[tells],
            &format!("line {} back-dated", index + 1),
        );
    }
}

#[test]
fn p6_what_the_files_alone_cannot_show_is_known() {
    // A whole history rewritten together with its mark verifies: only something kept elsewhere can tell. The README says
    // so, and this test keeps it honest.
    let sample = Sample::with_batches(&[2]);
    assert_eq!(verify(&sample.log(), Some(&sample.mark())), None);
    let shorter = lines(&sample.log()).swap_remove(0);
    assert_eq!(
        verify(&shorter, None),
        None,
        "a log cut at a line's end, its mark removed"
    );
}

#[test]
fn a_spoiled_checksum_of_the_canary_is_found() {
    let sample = Sample::with_batches(&[2]);
    let mut writer = sample.open().expect("opens").writer;
    let mut batch = writer.begin();
    batch.push(&sample::entry(3).encode().expect("fits"));
    batch.spoil_last_crc();
    writer.append(batch).expect("written");
    sample::append_batches(&mut writer, &[1]);
    drop(writer);
    let bad = verify_file(&sample.paths.log)
        .expect("readable")
        .first_bad
        .expect("found");
    assert_eq!(bad.seq, 3);
    assert!(matches!(
        sample.open().map(|o| o.report),
        Err(OpenError::Tampered { seq: 3, .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: the start and the verifier name the same line.
    #[test]
    fn p6_recovery_and_verifier_agree(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4)
    ) {
        let sample = Sample::with_batches(&[1, 3]);
        let (mut log, mark) = (sample.log(), sample.mark());
        for (at, byte, kind) in edits {
            let at = at.index(log.len().max(1));
            match kind {
                0 if at < log.len() => log[at] = byte,
                1 if at < log.len() => { log.remove(at); }
                _ => log.insert(at, byte),
            }
        }
        let unchanged = log == sample.log();
        let tampered = Sample::with_files(&log, Some(&mark));
        let bad = verify_file(&tampered.paths.log).expect("readable").first_bad;
        prop_assert_eq!(bad.is_none(), unchanged);
        match tampered.open().map(|opened| opened.report) {
            Ok(report) => {
                // Only an end that was never marked durable may go.
                prop_assert_eq!(report.quarantined.map(|set| set.offset), bad.map(|bad| bad.offset));
                prop_assert_eq!(tampered.log(), sample.log());
            }
            Err(OpenError::Tampered { offset, seq, .. }) => {
                let bad = bad.expect("the verifier sees it too");
                prop_assert_eq!((offset, seq), (bad.offset, bad.seq));
            }
            Err(OpenError::Shortened { .. }) => prop_assert!(bad.is_some()),
            Err(other) => panic!("{other}"),
        }
    }
}
