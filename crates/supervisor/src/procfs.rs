use std::path::Path;

/// What the kernel says a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// Running, or waiting for something.
    Alive,
    /// Every thread is stopped by a signal.
    Stopped,
    /// Ended, its parent has not asked for the status yet.
    Zombie,
    /// There is no such process.
    Gone,
}

/// The state of `pid` as /proc has it.
pub fn process_state(pid: u32) -> ProcessState {
    let Some(state) = stat(Path::new(&format!("/proc/{pid}/stat"))).map(|stat| stat.state) else {
        return ProcessState::Gone;
    };
    match state {
        'Z' | 'X' | 'x' => ProcessState::Zombie,
        'T' if all_threads_stopped(pid) => ProcessState::Stopped,
        _ => ProcessState::Alive,
    }
}

fn all_threads_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    // A thread that ends while we look has no stat any more, and does not count.
    threads
        .flatten()
        .filter_map(|thread| stat(&thread.path().join("stat")))
        .all(|stat| stat.state == 'T')
}

/// The parent of `pid`, by /proc.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    Some(stat(Path::new(&format!("/proc/{pid}/stat")))?.parent)
}

struct Stat {
    state: char,
    parent: u32,
}

/// The name in parentheses may hold anything, parentheses too; so the fields count from the last one.
fn stat(path: &Path) -> Option<Stat> {
    let text = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_has_its_parent() {
        let me = std::process::id();
        assert_eq!(process_state(me), ProcessState::Alive);
        assert_eq!(parent_of(me), Some(std::os::unix::process::parent_id()));
        assert_eq!(process_state(u32::MAX), ProcessState::Gone);
    }
}
