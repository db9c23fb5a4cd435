//! Which events the log has already. Everything here can be rebuilt from the log's own `event_id`s.

use std::collections::{HashMap, VecDeque};

use thunes_tlog::Origin;

/// Requests whose ids are remembered; the oldest go first.
pub(crate) const REQUESTS_KEPT_MAX: usize = 100_000;

/// The log's sequences of what is known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Per producer and incarnation: the sequence of its count 1, 2, 3, …
    counted: HashMap<(String, String), Vec<u64>>,
    requests: HashMap<String, RequestLines>,
    /// The request ids, oldest first.
    order: VecDeque<String>,
}

/// The lines that a request became.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RequestLines {
    pub seqs: Vec<u64>,
    /// A crash tore the batch inside this request, so that the rest of it is still to come.
    pub torn: bool,
}

/// What a producer's count is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// It stands at this sequence.
    At(u64),
    /// It is the next one.
    Next,
    /// Others are missing before it.
    Gap { expected: u64 },
}

/// The log contradicts itself although its chain is whole: a defect of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sequence {seq} is event {event_id}, but {expected} events of that origin stand before it")]
pub(crate) struct Inconsistent {
    pub seq: u64,
    pub event_id: String,
    pub expected: u64,
}

impl Known {
    /// What this count is. The first of an incarnation must be 1.
    pub(crate) fn count(&self, producer: &str, incarnation: &str, producer_seq: u64) -> Count {
        let seqs = self.counted.get(&(producer.to_owned(), incarnation.to_owned()));
        let high = seqs.map_or(0, Vec::len) as u64;
        match producer_seq
            .checked_sub(1)
            .and_then(|index| seqs?.get(usize::try_from(index).ok()?))
        {
            Some(seq) => Count::At(*seq),
            None if producer_seq == high + 1 => Count::Next,
            None => Count::Gap { expected: high + 1 },
        }
    }

    pub(crate) fn request(&self, request_id: &str) -> Option<&RequestLines> {
        self.requests.get(request_id)
    }

    /// Takes a line in, in the order of the log.
    pub(crate) fn note(&mut self, origin: &Origin, seq: u64) -> Result<(), Inconsistent> {
        let inconsistent = |expected: usize| Inconsistent {
            seq,
            event_id: origin.to_string(),
            expected: expected as u64,
        };
        match origin {
            Origin::Counted {
                producer,
                incarnation,
                producer_seq,
            } => {
                let seqs = self.counted.entry((producer.clone(), incarnation.clone())).or_default();
                if *producer_seq != seqs.len() as u64 + 1 {
                    return Err(inconsistent(seqs.len()));
                }
                seqs.push(seq);
            }
            Origin::Request { request_id, index } => {
                if !self.requests.contains_key(request_id) {
                    self.remember(request_id);
                }
                let lines = self.requests.entry(request_id.clone()).or_default();
                // A request that was forgotten and came again begins anew.
                if *index == 0 {
                    lines.seqs.clear();
                }
                if *index as usize != lines.seqs.len() {
                    return Err(inconsistent(lines.seqs.len()));
                }
                lines.seqs.push(seq);
                lines.torn = false;
            }
            Origin::Single { .. } => {}
        }
        Ok(())
    }

    /// Says that a damaged end was cut off behind the line of this origin.
    pub(crate) fn note_torn_after(&mut self, last: &Origin) {
        if let Origin::Request { request_id, .. } = last
            && let Some(lines) = self.requests.get_mut(request_id)
        {
            lines.torn = true;
        }
    }

    fn remember(&mut self, request_id: &str) {
        self.order.push_back(request_id.to_owned());
        if self.order.len() > REQUESTS_KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(producer_seq: u64) -> Origin {
        Origin::Counted {
            producer: "risk".into(),
            incarnation: "a".into(),
            producer_seq,
        }
    }

    fn request(id: &str, index: u32) -> Origin {
        Origin::Request {
            request_id: id.into(),
            index,
        }
    }

    #[test]
    fn p7_a_count_is_known_next_or_a_gap() {
        let mut known = Known::default();
        assert_eq!(known.count("risk", "a", 2), Count::Gap { expected: 1 });
        assert_eq!(known.count("risk", "a", 1), Count::Next);
        known.note(&counted(1), 10).expect("first");
        known.note(&counted(2), 12).expect("second");
        assert_eq!(known.count("risk", "a", 1), Count::At(10));
        assert_eq!(known.count("risk", "a", 2), Count::At(12));
        assert_eq!(known.count("risk", "a", 3), Count::Next);
        assert_eq!(known.count("risk", "a", 4), Count::Gap { expected: 3 });
        assert_eq!(known.count("risk", "a", u64::MAX), Count::Gap { expected: 3 });
        assert_eq!(
            known.count("risk", "b", 3),
            Count::Gap { expected: 1 },
            "another database counts anew"
        );
        assert!(
            known.note(&counted(2), 13).is_err(),
            "the log never holds a count twice"
        );
    }

    #[test]
    fn a_torn_request_may_be_completed_and_no_other() {
        let mut known = Known::default();
        known.note(&request("r", 0), 1).expect("first");
        assert!(!known.request("r").expect("known").torn);
        known.note_torn_after(&request("r", 0));
        assert!(known.request("r").expect("known").torn);
        known.note(&request("r", 1), 3).expect("the rest");
        assert_eq!(
            known.request("r"),
            Some(&RequestLines {
                seqs: vec![1, 3],
                torn: false
            })
        );
        assert!(known.note(&request("r", 5), 4).is_err());
    }

    #[test]
    fn remembered_requests_are_bounded() {
        let mut known = Known::default();
        for number in 0..=REQUESTS_KEPT_MAX {
            known
                .note(&request(&number.to_string(), 0), number as u64 + 1)
                .expect("noted");
        }
        assert_eq!(known.requests.len(), REQUESTS_KEPT_MAX);
        assert_eq!(known.order.len(), REQUESTS_KEPT_MAX);
        assert_eq!(known.request("0"), None);
        assert!(known.request("1").is_some());
    }
}
