//! One gateway, risk and an exchange over a network and a disk that a seed drives: time is simulated, nothing waits.
//!
//! The decisions are those of the services: fence, leases, switch, reservations, what is heard of an order, when an absence
//! is proof, what may be sold. What stands around them here (stores, streams, retries) is a copy in memory of the real thing.

mod exchange;
mod gateway;
mod queue;
mod risk;
mod world;

pub use world::simulate;

/// A rule left out on purpose. Some seed must break each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The rules as they are.
    None,
    /// "No such order" is believed at once.
    AbsenceBelievedAtOnce,
    /// An order whose answer did not come is sent again.
    BlindResend,
    /// An order whose answer did not come has failed.
    SilenceIsFailure,
    /// A halt is confirmed although requests are on their way.
    ConfirmWithRequestsInFlight,
    /// The lease is checked with one reading of the clock, the request signed with a later one.
    TwoReadings,
    /// What orders in doubt may still sell is not held back.
    DoubtfulSalesNotHeldBack,
    /// Exposure is given back as soon as a gateway does not list its order.
    ExposureFreedAtOnce,
}

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Broken promises; empty when all hold.
    pub broken: Vec<String>,
    /// What happened, in order.
    pub trace: Vec<String>,
    /// How often things happened that the promises are about.
    pub tally: Tally,
}

/// Counts over one or many seeds, so that a simulation in which nothing happens is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub accepted: u64,
    pub refused_late: u64,
    pub in_doubt: u64,
    pub found: u64,
    pub never_arrived: u64,
    pub activations_answered: u64,
    pub gateway_crashes: u64,
    pub gateway_pauses: u64,
    pub risk_crashes: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused_late += other.refused_late;
        self.in_doubt += other.in_doubt;
        self.found += other.found;
        self.never_arrived += other.never_arrived;
        self.activations_answered += other.activations_answered;
        self.gateway_crashes += other.gateway_crashes;
        self.gateway_pauses += other.gateway_pauses;
        self.risk_crashes += other.risk_crashes;
    }
}
