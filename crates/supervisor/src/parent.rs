use std::io;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::procfs::parent_of;

/// The environment variable by which a supervised process learns the pid of the supervisor that it must not outlive.
pub const PARENT_PID_ENV: &str = "THUNES_PARENT_PID";

/// A process without a parent to live for ends with this code.
const EXIT_ORPHANED: i32 = 125;
/// How far up the ancestors are asked; a chain of shells is shorter.
const ANCESTORS_MAX: usize = 64;

/// Makes this process die with the supervisor that started it, whatever ends that one. Does nothing in a process that
/// no supervisor started. The first thing to call in `main`: what forks earlier can outlive everybody.
///
/// # Errors
/// When the kernel refuses, or the variable does not hold a pid.
pub fn die_with_parent() -> io::Result<()> {
    let Some(value) = std::env::var_os(PARENT_PID_ENV) else {
        return Ok(());
    };
    let expected: u32 = value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{PARENT_PID_ENV} = {value:?} is not a pid")))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // From here on the signal comes. Was the parent gone before that? Then this process has another parent now. A
    // process started through a shell inherits the variable; the supervisor is further up then.
    if is_ancestor(expected) {
        return Ok(());
    }
    eprintln!("the supervisor (pid {expected}) that started this process is gone; ending");
    std::process::exit(EXIT_ORPHANED);
}

fn is_ancestor(pid: u32) -> bool {
    let first = std::os::unix::process::parent_id();
    std::iter::successors(Some(first), |&child| parent_of(child))
        .take(ANCESTORS_MAX)
        .any(|ancestor| ancestor == pid)
}
