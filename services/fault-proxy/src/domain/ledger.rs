use std::time::{Duration, Instant};

use serde::Serialize;

use crate::domain::Fault;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    Server,
    Client,
}

/// What faults hit. A connection or a byte that two settings of a fault hit counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Connections that were there and were ended by `cut`.
    pub cut_connections: u64,
    /// New connections that were ended by `cut`.
    pub refused_connections: u64,
    /// Connections that `reset` ended at a byte.
    pub reset_connections: u64,
    /// Connections that were accepted in a `black_hole`, or on which it held a byte.
    pub held_connections: u64,
    /// Bytes that a `black_hole` took in or found waiting; more may wait in the kernel.
    pub held_bytes: u64,
    /// Chunks that a `delay` took in or found waiting and not yet due.
    pub delayed_chunks: u64,
}

/// What a link has counted since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Everything that was accepted, also what was ended at once.
    pub connections: u64,
    /// Not in [`Hits`]: connections beyond the bound, ended at once.
    pub over_limit: u64,
    /// Connections that were ended because the upstream could not be connected.
    pub upstream_failed: u64,
    pub last_upstream_error: Option<String>,
    /// Given to the server's socket, or to the client's.
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    #[serde(flatten)]
    pub hits: Hits,
}

/// A fault and when it was set (UTC, milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveFault {
    pub fault: Fault,
    pub since_ms: i64,
}

/// Whether something may pass now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    Now,
    At(Instant),
    /// Not before the fault changes.
    Held,
}

/// The fault of one link and its counters, which change together under one lock.
#[derive(Debug, Default)]
pub struct Ledger {
    active: Option<ActiveFault>,
    /// Rises whenever a fault is set or cleared.
    generation: u64,
    counters: Counters,
    since_fault: Hits,
}

impl Ledger {
    /// Replaces the fault; the hits since the fault begin at 0.
    pub fn set(&mut self, fault: Fault, since_ms: i64) {
        self.active = Some(ActiveFault { fault, since_ms });
        self.generation += 1;
        self.since_fault = Hits::default();
    }

    /// Heals the link. What the last fault hit stays readable until the next one is set.
    pub fn clear(&mut self) {
        if self.active.take().is_some() {
            self.generation += 1;
        }
    }

    pub fn active(&self) -> Option<ActiveFault> {
        self.active
    }

    pub fn fault(&self) -> Option<Fault> {
        self.active.map(|active| active.fault)
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the present fault has hit, or the last one where none is set.
    pub fn since_fault(&self) -> Hits {
        self.since_fault
    }

    /// Counts what no fault did.
    pub fn count(&mut self, record: impl FnOnce(&mut Counters)) {
        record(&mut self.counters);
    }

    /// Counts a hit of the present fault.
    pub fn hit(&mut self, record: impl Fn(&mut Hits)) {
        assert!(self.active.is_some(), "only a fault hits");
        record(&mut self.counters.hits);
        record(&mut self.since_fault);
    }

    /// Counts bytes that a socket took.
    pub fn passed(&mut self, toward: Toward, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match toward {
            Toward::Server => self.counters.bytes_to_server += bytes,
            Toward::Client => self.counters.bytes_to_client += bytes,
        }
    }

    /// Whether what arrived then may pass now.
    pub fn passing(&self, arrived: Instant, now: Instant) -> Passing {
        match self.fault() {
            None | Some(Fault::Reset) => Passing::Now,
            Some(Fault::Cut | Fault::BlackHole) => Passing::Held,
            Some(Fault::Delay { ms }) => {
                let due = arrived + Duration::from_millis(u64::from(ms));
                if due <= now { Passing::Now } else { Passing::At(due) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_for_ever_and_for_the_present_fault() {
        let mut ledger = Ledger::default();
        ledger.set(Fault::BlackHole, 5);
        ledger.hit(|hits| hits.held_bytes += 3);
        ledger.set(Fault::BlackHole, 6);
        ledger.hit(|hits| hits.held_bytes += 4);
        assert_eq!(
            (ledger.counters().hits.held_bytes, ledger.since_fault().held_bytes),
            (7, 4)
        );
        ledger.clear();
        assert_eq!(ledger.since_fault().held_bytes, 4, "readable after the heal");
        let generation = ledger.generation();
        ledger.clear();
        assert_eq!(ledger.generation(), generation, "nothing changed");
    }

    #[test]
    fn a_delay_counts_from_the_arrival_and_a_heal_lets_everything_pass() {
        let mut ledger = Ledger::default();
        let arrived = Instant::now();
        let due = arrived + Duration::from_millis(50);
        ledger.set(Fault::Delay { ms: 50 }, 0);
        assert_eq!(ledger.passing(arrived, arrived), Passing::At(due));
        assert_eq!(ledger.passing(arrived, due), Passing::Now);
        ledger.set(Fault::BlackHole, 0);
        assert_eq!(ledger.passing(arrived, due), Passing::Held);
        ledger.clear();
        assert_eq!(ledger.passing(arrived, arrived), Passing::Now);
    }
}
