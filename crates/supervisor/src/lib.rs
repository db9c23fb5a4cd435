//! Processes as targets: start, stop, kill, pause, restart, each confirmed by the kernel's word; and whole environments
//! of THUNES services made of them.

pub mod containers;
pub mod embedded;
mod error;
mod exit;
mod health;
mod log_tail;
mod parent;
mod procfs;
mod spawner;
mod spec;
mod target;
mod targets;

pub use error::SupervisorError;
pub use exit::Exit;
pub use health::{HealthProbe, check_health, wait_healthy};
pub use log_tail::{TAIL_LINES, tail_of};
pub use parent::{PARENT_PID_ENV, die_with_parent};
pub use procfs::{ProcessState, process_state};
pub use spec::ProcessSpec;
pub use target::Target;
pub use targets::{LogMark, Targets};
