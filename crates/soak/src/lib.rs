//! Crash tests of a whole environment of real processes: clients that trade without pause, services that are killed and
//! stopped at chosen and at random moments, an exchange that lies, a kill-switch that is turned on and off; and an oracle
//! that compares in the end what everybody says with the exchange's own ledger.

mod calls;
mod chaos;
mod collect;
mod environment;
mod error;
mod load;
mod operator;
pub mod oracle;
mod report;
mod run;
mod schedule;
mod sim;
mod tally;

pub use calls::Calls;
pub use chaos::{Killers, Life};
pub use collect::{collect, judge_when_settled};
pub use environment::{Windows, crash_plan};
pub use error::SoakError;
pub use load::{Load, LoadTotals};
pub use operator::{Operator, OperatorTotals};
pub use report::SoakReport;
pub use run::{Soak, SoakOptions, hits, rest};
pub use schedule::{LifePlan, Schedule};
pub use sim::SimAdmin;
pub use thunes_failpoint::available as failpoints_available;
