//! Places where a crash test can end or break the process. They exist in debug builds only: a release binary has none.

/// What a test asked for at this place. Always [`Action::Pass`] in release builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// The place's own kind of damage, such as losing what it should write.
    Break,
}

/// Passes the place `name`. `THUNES_FAILPOINTS="a=kill;b=break;c=kill@3;d=stop"` makes the process kill itself with
/// SIGKILL at `a`, damage what `b` does, kill itself at the third passing of `c`, and stop itself (SIGSTOP) at `d`.
#[cfg(debug_assertions)]
pub fn pass(name: &str) -> Action {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};

    static PLAN: LazyLock<Mutex<HashMap<String, (String, u64)>>> = LazyLock::new(|| {
        let text = std::env::var("THUNES_FAILPOINTS").unwrap_or_default();
        let entries = text.split(';').filter_map(|entry| {
            let (name, action) = entry.split_once('=')?;
            let (action, nth) = action.split_once('@').unwrap_or((action, "1"));
            Some((
                name.trim().to_owned(),
                (action.trim().to_owned(), nth.trim().parse().ok()?),
            ))
        });
        Mutex::new(entries.collect())
    });
    let Ok(mut plan) = PLAN.lock() else { return Action::Pass };
    let Some((action, nth)) = plan.get_mut(name) else {
        return Action::Pass;
    };
    if *nth > 1 {
        *nth -= 1;
        return Action::Pass;
    }
    match action.as_str() {
        "kill" => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            Action::Pass
        }
        "stop" => {
            *nth = u64::MAX;
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            // The stop takes hold of the other threads a moment later.
            std::thread::sleep(std::time::Duration::from_millis(50));
            Action::Pass
        }
        "break" => Action::Break,
        _ => Action::Pass,
    }
}

/// Passes the place; a release build has no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_name: &str) -> Action {
    Action::Pass
}

/// Whether this build has failpoints.
pub const fn available() -> bool {
    cfg!(debug_assertions)
}
