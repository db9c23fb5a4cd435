//! Where each line stands and what it is about, in memory: 32 bytes a line, rebuilt from the log at every start.

use std::collections::HashMap;

use thunes_tlog::Place;

#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u64,
    ts_ms: i64,
    length: u32,
    type_id: u32,
    service_id: u32,
}

/// A line's place, by which it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub seq: u64,
    pub offset: u64,
    pub length: u32,
}

/// Each name once.
#[derive(Debug, Default)]
struct Names(HashMap<String, u32>);

impl Names {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.0.get(name) {
            return *id;
        }
        let id = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(name.to_owned(), id);
        id
    }

    /// None means that every name matches.
    fn ids(&self, names: &[String]) -> Option<Vec<u32>> {
        (!names.is_empty()).then(|| names.iter().filter_map(|name| self.0.get(name).copied()).collect())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    types: Names,
    services: Names,
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Alternatives; none means all.
    pub event_types: Vec<String>,
    /// Alternatives; none means all.
    pub services: Vec<String>,
    /// Inclusive.
    pub from_ms: i64,
    /// Exclusive; 0 means no bound.
    pub to_ms: i64,
}

/// One look into the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Where to begin.
    pub seq: u64,
    pub newest_first: bool,
    /// How many lines to look at.
    pub slots_max: usize,
    /// How many lines to find.
    pub found_max: usize,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub spots: Vec<Spot>,
    /// Where the next look begins; none at the end.
    pub next: Option<u64>,
}

impl Index {
    pub(crate) fn push(&mut self, place: &Place, event_type: &str, service: &str, ts_ms: i64) {
        assert_eq!(place.seq, self.last_seq() + 1, "the index follows the log line by line");
        let (type_id, service_id) = (self.types.id(event_type), self.services.id(service));
        self.slots.push(Slot {
            offset: place.offset,
            ts_ms,
            length: place.length,
            type_id,
            service_id,
        });
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.slots.len() as u64
    }

    pub(crate) fn spot(&self, seq: u64) -> Option<Spot> {
        let slot = self.slots.get(usize::try_from(seq.checked_sub(1)?).ok()?)?;
        Some(Spot {
            seq,
            offset: slot.offset,
            length: slot.length,
        })
    }

    /// Looks for matching lines; at most `slots_max` lines are looked at, so that nobody waits long behind it.
    pub(crate) fn look(&self, filter: &Filter, look: Look) -> Found {
        let (types, services) = (self.types.ids(&filter.event_types), self.services.ids(&filter.services));
        let mut found = Found {
            spots: Vec::new(),
            next: None,
        };
        let mut seq = look.seq;
        for _ in 0..look.slots_max {
            let Some(spot) = self.spot(seq) else { return found };
            let slot = self.slots[usize::try_from(seq - 1).expect("a spot was found at this index")];
            let matches = types.as_ref().is_none_or(|ids| ids.contains(&slot.type_id))
                && services.as_ref().is_none_or(|ids| ids.contains(&slot.service_id))
                && slot.ts_ms >= filter.from_ms
                && (filter.to_ms == 0 || slot.ts_ms < filter.to_ms);
            if matches {
                if found.spots.len() == look.found_max {
                    break;
                }
                found.spots.push(spot);
            }
            seq = if look.newest_first { seq - 1 } else { seq + 1 };
        }
        found.next = self.spot(seq).map(|spot| spot.seq);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        let leaf = thunes_tlog::LeafHash::of(b"");
        for seq in 1..=10u64 {
            let place = Place {
                seq,
                offset: seq * 100,
                length: 99,
                leaf,
            };
            let event_type = if seq % 2 == 0 { "EVEN" } else { "ODD" };
            index.push(
                &place,
                event_type,
                if seq > 5 { "risk" } else { "gateway" },
                seq as i64 * 1000,
            );
        }
        index
    }

    fn seqs(filter: &Filter, newest_first: bool) -> Vec<u64> {
        let index = index();
        let mut seqs = Vec::new();
        let mut next = Some(if newest_first { 10 } else { 1 });
        while let Some(seq) = next {
            let found = index.look(
                filter,
                Look {
                    seq,
                    newest_first,
                    slots_max: 3,
                    found_max: 2,
                },
            );
            seqs.extend(found.spots.iter().map(|spot| spot.seq));
            next = found.next;
        }
        seqs
    }

    #[test]
    fn each_filter_must_match_and_its_values_are_alternatives() {
        let all = Filter::default();
        assert_eq!(seqs(&all, false), (1..=10).collect::<Vec<_>>());
        assert_eq!(seqs(&all, true), (1..=10).rev().collect::<Vec<_>>());
        let even = Filter {
            event_types: vec!["EVEN".into(), "UNKNOWN".into()],
            ..Filter::default()
        };
        assert_eq!(seqs(&even, true), [10, 8, 6, 4, 2]);
        let both = Filter {
            services: vec!["risk".into()],
            ..even.clone()
        };
        assert_eq!(seqs(&both, false), [6, 8, 10]);
        let timed = Filter {
            from_ms: 3000,
            to_ms: 5000,
            ..Filter::default()
        };
        assert_eq!(seqs(&timed, false), [3, 4], "from is inclusive, to is exclusive");
        let none = Filter {
            event_types: vec!["UNKNOWN".into()],
            ..Filter::default()
        };
        assert!(seqs(&none, false).is_empty());
    }
}
