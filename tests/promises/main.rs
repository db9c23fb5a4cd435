//! The promises of THUNES, each attacked over real processes: SIGKILL and SIGSTOP at random and at chosen moments, an
//! exchange that answers late, twice or never. A test is named after the promise that it tries to break.

mod crash_matrix;
mod p1_each_trigger;
mod p1_fence;
mod p1_levels;
mod p1_network_disk_clock;
mod p1_schedules;
mod p1_scopes;
mod p1_triggers;
mod p2_unknown_means_no;
mod p3_full_disk;
mod p3_survival;
mod p4_sent_once;
mod p4_stop_races;
mod p5_fills;
mod p6_audit;
mod p7_events;
mod p8_money;
mod p9_opening;
mod p9_reconciliation;
mod p9_wipe;
mod soak;

/// The binary that cargo built for these tests.
const THUNES: &str = env!("CARGO_BIN_EXE_thunes");
