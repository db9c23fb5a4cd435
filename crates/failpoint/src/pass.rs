/// What the places of this process do: `THUNES_FAILPOINTS="a=kill;b=break;c=kill@3;d=stop"`.
pub const FAILPOINTS_ENV: &str = "THUNES_FAILPOINTS";
/// The folder whose file [`HITS_FILE`] gets a line for every place that acts, before it does: it outlives SIGKILL.
pub const HITS_DIR_ENV: &str = "THUNES_FAILPOINT_HITS";
/// One line for each action: place, action and process id, with a space between.
pub const HITS_FILE: &str = "failpoint-hits.log";

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
        let text = std::env::var(FAILPOINTS_ENV).unwrap_or_default();
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
            note_hit(name, action);
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way: this thread must not get past the place before it comes.
            loop {
                std::thread::park();
            }
        }
        "stop" => {
            *nth = u64::MAX;
            note_hit(name, action);
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            // The stop takes hold of the other threads a moment later.
            std::thread::sleep(std::time::Duration::from_millis(50));
            Action::Pass
        }
        "break" => {
            note_hit(name, action);
            Action::Break
        }
        _ => Action::Pass,
    }
}

/// One write of one line to a file that is open for appending: it is whole, and in the system's memory before the signal.
#[cfg(debug_assertions)]
fn note_hit(name: &str, action: &str) {
    use std::io::Write;

    let Some(folder) = std::env::var_os(HITS_DIR_ENV).filter(|folder| !folder.is_empty()) else {
        return;
    };
    let path = std::path::Path::new(&folder).join(HITS_FILE);
    let line = format!("{name} {action} {}\n", std::process::id());
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!(
            "the hit of failpoint {name} could not be written to {}: {error}",
            path.display()
        );
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
