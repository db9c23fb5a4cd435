//! The fence and the machine of orders in doubt, checked without processes: as a model whose every schedule is tried, and
//! as a simulation of seeded ones. Both drive the decisions that the services run. See the crate's README.

mod fence;
mod simulation;

pub use fence::{FenceModel, Flaw, Step, World};
pub use simulation::{Fault, Outcome, Tally, simulate};
