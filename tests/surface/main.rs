//! What people and programs touch: the gRPC surface, the command line as processes, and everything that they can get
//! wrong.

mod bad_input;
mod bad_state;
mod command_line;
mod fault_proxy;
mod guard;
mod process_targets;
mod reflection;
mod up;

/// The binary that cargo built for these tests.
const THUNES: &str = env!("CARGO_BIN_EXE_thunes");
