use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;

use crate::LeafHash;
use crate::disk::sync_folder;
use crate::leaf::prev_text;
use crate::line::crc_text;
use crate::scan::Head;

/// Two slots, written in turn, each within one disk sector: an update that a crash cuts short leaves the one before.
const SLOT_BYTES: usize = 512;
const SLOTS: usize = 2;

/// How far the log was durable when the mark was last written. Everything before it was synced; bytes after it are the
/// batch that was under way, or, after a power loss (the mark itself is not synced each time), a few batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub bytes: u64,
    pub seq: u64,
    /// Of the last line; none for an empty log.
    pub leaf: Option<LeafHash>,
}

/// What the mark's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkState {
    Good(Mark),
    Missing,
    /// Neither slot can be read.
    Damaged,
}

impl MarkState {
    pub fn mark(&self) -> Option<Mark> {
        match self {
            Self::Good(mark) => Some(*mark),
            Self::Missing | Self::Damaged => None,
        }
    }
}

impl From<Head> for Mark {
    fn from(head: Head) -> Self {
        Self {
            bytes: head.bytes,
            seq: head.seq,
            leaf: head.leaf,
        }
    }
}

impl Mark {
    /// `{"bytes":…,"seq":…,"leaf_hash":"…","crc":"…"}`, filled up with spaces, and a newline. The crc covers the bytes
    /// before `,"crc":`, as in the log's own lines.
    fn slot(&self) -> [u8; SLOT_BYTES] {
        let front = format!(
            "{{\"bytes\":{},\"seq\":{},\"leaf_hash\":\"{}\"",
            self.bytes,
            self.seq,
            prev_text(self.leaf.as_ref())
        );
        let text = format!("{front},\"crc\":\"{}\"}}", crc_text(front.as_bytes()));
        let mut slot = [b' '; SLOT_BYTES];
        slot[..text.len()].copy_from_slice(text.as_bytes());
        slot[SLOT_BYTES - 1] = b'\n';
        slot
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(slot).ok()?;
        let leaf = match value.get("leaf_hash")?.as_str()? {
            "" => None,
            text => Some(LeafHash::parse(text)?),
        };
        let mark = Self {
            bytes: value.get("bytes")?.as_u64()?,
            seq: value.get("seq")?.as_u64()?,
            leaf,
        };
        (mark.slot() == slot).then_some(mark)
    }
}

/// Reads the mark: the further one of the two slots.
pub(crate) fn read_mark(path: &Path) -> io::Result<MarkState> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(MarkState::Missing),
        file => file?.take((SLOT_BYTES * SLOTS) as u64).read_to_end(&mut bytes)?,
    };
    let marks = bytes.chunks(SLOT_BYTES).filter_map(Mark::parse);
    Ok(marks
        .max_by_key(|mark| (mark.bytes, mark.seq))
        .map_or(MarkState::Damaged, MarkState::Good))
}

/// The mark as the writer moves it on.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: File,
    next_slot: usize,
}

impl MarkFile {
    /// Opens the mark, sets both slots to `mark` and makes them durable.
    pub(crate) fn start(path: &Path, mark: Mark) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut started = Self { file, next_slot: 0 };
        for _ in 0..SLOTS {
            started.update(mark)?;
            // One after the other, so that a crash here leaves one of them whole.
            started.file.sync_all()?;
        }
        started.file.set_len((SLOT_BYTES * SLOTS) as u64)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(started)
    }

    /// Moves the mark on. It is not synced: a process that dies loses nothing of it, and after a power loss an older
    /// mark only makes recovery look at more lines.
    pub(crate) fn update(&mut self, mark: Mark) -> io::Result<()> {
        self.file
            .write_all_at(&mark.slot(), (self.next_slot * SLOT_BYTES) as u64)?;
        self.next_slot = (self.next_slot + 1) % SLOTS;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_update_of_the_mark_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("x.mark");
        assert_eq!(read_mark(&path).expect("read"), MarkState::Missing);
        let at = |seq| Mark {
            bytes: seq * 100,
            seq,
            leaf: Some(LeafHash::of(&seq.to_le_bytes())),
        };
        let mut file = MarkFile::start(&path, at(1)).expect("start");
        for seq in 2..6 {
            file.update(at(seq)).expect("update");
            let whole = std::fs::read(&path).expect("read");
            assert_eq!(read_mark(&path).expect("read"), MarkState::Good(at(seq)));
            let slot = (1 - file.next_slot) * SLOT_BYTES;
            for byte in slot..slot + SLOT_BYTES {
                let mut torn = whole.clone();
                torn[byte] ^= 0x55;
                std::fs::write(&path, torn).expect("write");
                assert_eq!(
                    read_mark(&path).expect("read"),
                    MarkState::Good(at(seq - 1)),
                    "byte {byte}"
                );
            }
            std::fs::write(&path, whole).expect("write");
        }
        std::fs::write(&path, b"nothing of the kind").expect("write");
        assert_eq!(read_mark(&path).expect("read"), MarkState::Damaged);
    }
}
