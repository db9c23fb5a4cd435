//! The decisions: synchronous and pure, the time is passed in.

pub mod fence;
pub mod filters;
pub mod holdings;
pub mod order;
pub mod plan;
pub mod reconcile;
pub mod stop_plan;
