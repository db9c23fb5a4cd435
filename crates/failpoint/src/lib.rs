//! Places where a crash test can end, stop or break a process, and the list of all of them. They act in debug builds only:
//! in a release binary passing a place does nothing.

mod pass;
mod registry;

pub use pass::{Action, FAILPOINTS_ENV, HITS_DIR_ENV, HITS_FILE, available, pass};
pub use registry::{ALL, Failpoint, Kind, Owner, find, of_service};
