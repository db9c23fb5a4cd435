use crate::line::{crc_digits, write_line};
use crate::scan::Head;
use crate::{Body, LeafHash};

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    /// Of its first byte in the file.
    pub offset: u64,
    /// In bytes, without the newline.
    pub length: u32,
    pub leaf: LeafHash,
}

/// Lines that go to disk together: one write, one sync.
#[derive(Debug)]
pub struct Batch {
    pub(crate) start: Head,
    pub(crate) end: Head,
    pub(crate) bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Batch {
    pub(crate) fn after(head: Head) -> Self {
        Self {
            start: head,
            end: head,
            bytes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Gives the event the next place.
    pub fn push(&mut self, body: &Body) -> Place {
        let start = self.bytes.len();
        let seq = self.end.seq + 1;
        write_line(seq, body, self.end.leaf.as_ref(), &mut self.bytes);
        let raw = &self.bytes[start..];
        let length = u32::try_from(raw.len()).expect("Entry::encode bounds the length of a line");
        let place = Place {
            seq,
            offset: self.end.bytes,
            length,
            leaf: LeafHash::of(raw),
        };
        self.bytes.push(b'\n');
        self.end = Head {
            seq,
            bytes: self.end.bytes + u64::from(length) + 1,
            leaf: Some(place.leaf),
        };
        self.places.push(place);
        place
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many bytes will be written.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The lines' places, in their order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The raw line of a place in this batch.
    pub fn raw(&self, seq: u64) -> Option<(Place, &[u8])> {
        let index = usize::try_from(seq.checked_sub(self.start.seq + 1)?).ok()?;
        let place = *self.places.get(index)?;
        let start = usize::try_from(place.offset - self.start.bytes).ok()?;
        Some((place, self.bytes.get(start..start + place.length as usize)?))
    }

    /// Makes the checksum of the last line wrong. For canaries: an environment broken on purpose, in which the
    /// verification must fail.
    pub fn spoil_last_crc(&mut self) {
        let Some(place) = self.places.last_mut() else { return };
        let start = self.bytes.len() - 1 - place.length as usize;
        let digit = start + crc_digits(place.length as usize).start;
        self.bytes[digit] = if self.bytes[digit] == b'0' { b'1' } else { b'0' };
        place.leaf = LeafHash::of(&self.bytes[start..self.bytes.len() - 1]);
        self.end.leaf = Some(place.leaf);
    }
}
