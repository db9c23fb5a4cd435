use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Ends what a run that was cut off left in its folder: processes that its pid files name and whose own environment says
/// that they belong to this folder. Returns what was ended.
pub fn end_leftovers(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("run")) else {
        return Vec::new();
    };
    let mut ended = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let pid = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        // The handle is taken before the check, so that a reused pid cannot slip in between.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if belongs(pid, data_dir) && pidfd_send_signal(&handle, Signal::KILL).is_ok() {
            ended.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    ended
}

fn belongs(pid: Pid, data_dir: &Path) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else {
        return false;
    };
    let wanted = data_dir.as_os_str().as_encoded_bytes();
    environment.split(|byte| *byte == 0).any(|entry| {
        let value = entry.iter().position(|byte| *byte == b'=').map(|at| &entry[at + 1..]);
        entry.starts_with(b"THUNES_") && value == Some(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_only_processes_of_that_very_folder_are_ended() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir_all(folder.path().join("run")).expect("run");
        let sleeper = |data_dir: &Path| {
            let child = std::process::Command::new("sleep")
                .arg("60")
                .env("THUNES_DATA_DIR", data_dir)
                .spawn()
                .expect("sleep");
            // The kernel shows the new program's environment a moment after the program was started.
            let begun = std::time::Instant::now();
            let shown = || std::fs::read(format!("/proc/{}/environ", child.id())).is_ok_and(|all| !all.is_empty());
            while !shown() {
                assert!(
                    begun.elapsed() < std::time::Duration::from_secs(5),
                    "no environment is shown"
                );
                std::thread::yield_now();
            }
            child
        };
        let (mut ours, mut other) = (sleeper(folder.path()), sleeper(Path::new("elsewhere")));
        for (name, pid) in [("ours", ours.id()), ("other", other.id()), ("gone", 4_000_000)] {
            std::fs::write(
                folder.path().join("run").join(format!("{name}.pid")),
                format!("{pid}\n"),
            )
            .expect("pid file");
        }
        assert_eq!(end_leftovers(folder.path()), ["ours"]);
        assert!(!ours.wait().expect("reaped").success());
        assert_eq!(
            other.try_wait().expect("asked"),
            None,
            "a stranger's process is left alone"
        );
        other.kill().expect("end of the test");
        other.wait().expect("reaped");
    }
}
