//! The fence as a model: risk, gateways that want the same account, an exchange, and everything that can happen between
//! them in any order.

mod model;
mod world;

pub use model::FenceModel;
pub use world::{Step, World};

/// A rule left out on purpose. The checker must find a schedule that each of them breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The rules as they are.
    None,
    /// The gateway counts its lease from the answer instead of from before it asked.
    LeaseFromAnswer,
    /// The gateway confirms a halt although requests are on their way.
    ConfirmWithRequestsInFlight,
    /// The gateway checks the lease with one reading of the clock and signs with a later one.
    TwoReadings,
    /// Risk waits for the end of a lease, and not for the receive window after it.
    NoGrace,
    /// A restarted risk forgets who may hold a lease.
    RestartForgetsHolder,
    /// A second gateway gets the account at once.
    TakeoverAtOnce,
    /// The exchange takes orders whose receive window is over.
    NoReceiveWindow,
}
