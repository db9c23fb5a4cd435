//! The decisions: synchronous and pure, the time is passed in.

pub mod decide;
pub mod halts;
pub mod leases;
pub mod limits;
pub mod reservations;
pub mod triggers;
