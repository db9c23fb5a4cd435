use std::collections::VecDeque;
use std::time::Instant;

/// Bytes that may wait in one direction of a connection; the sender is not read from while it is full.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Chunks that may wait in it: a chunk of one byte costs more than a byte.
pub const QUEUE_CHUNKS_MAX: usize = 1024;

/// What waits to be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Bytes(Vec<u8>),
    /// The sender has ended its half.
    Fin,
    /// The sender has broken the connection off.
    Reset,
}

/// One direction's items in the order of their arrival.
#[derive(Debug, Default)]
pub struct Queue {
    items: VecDeque<(Instant, Item)>,
    /// Bytes of the first item that were passed on already.
    passed: usize,
    bytes: usize,
    chunks: usize,
}

impl Queue {
    /// How many bytes may be taken in now.
    pub fn room(&self) -> usize {
        if self.chunks < QUEUE_CHUNKS_MAX {
            QUEUE_BYTES_MAX - self.bytes
        } else {
            0
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The caller has asked for [`Queue::room`] before it read the bytes.
    pub fn push(&mut self, arrived: Instant, item: Item) {
        if let Item::Bytes(bytes) = &item {
            assert!(bytes.len() <= self.room(), "a queue has a bound");
            self.bytes += bytes.len();
            self.chunks += 1;
        }
        self.items.push_back((arrived, item));
    }

    /// When the first item arrived.
    pub fn first_arrived(&self) -> Option<Instant> {
        self.items.front().map(|(arrived, _)| *arrived)
    }

    /// The first item; of bytes those that were not passed on yet.
    pub fn first(&self) -> Option<First<'_>> {
        self.items.front().map(|(_, item)| match item {
            Item::Bytes(bytes) => First::Bytes(&bytes[self.passed..]),
            Item::Fin => First::Fin,
            Item::Reset => First::Reset,
        })
    }

    /// Takes away the first `count` bytes, all of them from the first item.
    pub fn advance(&mut self, count: usize) {
        let Some((_, Item::Bytes(bytes))) = self.items.front() else {
            panic!("only bytes are passed on in parts");
        };
        self.passed += count;
        self.bytes -= count;
        assert!(self.passed <= bytes.len(), "no more than there was");
        if self.passed == bytes.len() {
            self.items.pop_front();
            self.passed = 0;
            self.chunks -= 1;
        }
    }

    /// Takes away a first item that is not bytes.
    pub fn pop_end(&mut self) {
        let end = self.items.pop_front();
        assert!(!matches!(end, Some((_, Item::Bytes(_)))), "bytes are never dropped");
    }

    /// How many chunks wait of which `then` is true for their arrival.
    pub fn chunks_of(&self, then: impl Fn(Instant) -> bool) -> u64 {
        let late = |(arrived, item): &&(Instant, Item)| matches!(item, Item::Bytes(_)) && then(*arrived);
        u64::try_from(self.items.iter().filter(late).count()).unwrap_or(u64::MAX)
    }

    /// Whether the sender has broken the connection off.
    pub fn ends_in_reset(&self) -> bool {
        matches!(self.items.back(), Some((_, Item::Reset)))
    }

    /// Forgets everything: the receiver is gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The first item of a queue.
#[derive(Debug, PartialEq, Eq)]
pub enum First<'a> {
    Bytes(&'a [u8]),
    Fin,
    Reset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_parts() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.push(now, Item::Bytes(vec![1, 2, 3]));
        queue.push(now, Item::Bytes(vec![4]));
        queue.push(now, Item::Fin);
        let mut out = Vec::new();
        while let Some(First::Bytes(bytes)) = queue.first() {
            out.push(bytes[0]);
            queue.advance(1);
        }
        assert_eq!((out, queue.bytes()), (vec![1, 2, 3, 4], 0));
        assert_eq!(queue.first(), Some(First::Fin));
        queue.pop_end();
        assert_eq!(queue.first(), None);
    }

    #[test]
    fn a_queue_is_full_at_its_bytes_and_at_its_chunks() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(now, Item::Bytes(vec![0; QUEUE_BYTES_MAX - 1]));
        assert_eq!(queue.room(), 1);
        queue.push(now, Item::Bytes(vec![0]));
        assert_eq!(queue.room(), 0);
        queue.push(now, Item::Fin);

        let mut queue = Queue::default();
        for _ in 0..QUEUE_CHUNKS_MAX {
            assert!(queue.room() > 0);
            queue.push(now, Item::Bytes(vec![0]));
        }
        assert_eq!(queue.room(), 0);
        queue.advance(1);
        assert!(queue.room() > 0);
    }
}
