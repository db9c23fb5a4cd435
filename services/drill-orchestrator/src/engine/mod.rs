//! Runs drills: a registry of typed actions, the context that they share, and the runner that journals every step.

mod action;
mod context;
mod drill_run;
mod registry;

pub use action::{Action, ActionResult, Outcome, answer};
pub use context::{Context, CutState, ExternalTrade, Kill, SwitchedOn, TradeLoop, short, verdict_name};
pub use drill_run::{DrillRunner, all_done};
pub use registry::{Entry, action_names, build, catalog, entry};
