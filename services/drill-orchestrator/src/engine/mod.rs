//! Runs drills: a registry of typed actions, the context that they share, and the runner that journals every step.

mod action;
mod context;
mod drill_run;
mod registry;

pub use action::{answer, Action, ActionResult, Finding, Outcome};
pub use context::{short, verdict_name, Context, CrashState, ExternalTrade, Kill, SwitchedOn, TradeLoop};
pub use drill_run::{all_done, DrillRunner};
pub use registry::{action_names, build, catalog, entry, Entry};
