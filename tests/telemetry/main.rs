//! What leaves the system about itself: traces, metrics and logs, as receivers see them that we did not write.

mod collector;
mod cost;
mod otlp;
mod prometheus;
mod shipped;
mod trail;

/// The binary that cargo built for these tests.
const THUNES: &str = env!("CARGO_BIN_EXE_thunes");

/// The files that are shipped for observing the system.
fn shipped_folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability")
}
