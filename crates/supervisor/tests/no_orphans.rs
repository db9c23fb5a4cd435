//! No child outlives its supervisor, whatever ends that one. The supervisors and children here are this very test
//! program, run again with a role in its environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use thunes_supervisor::{PARENT_PID_ENV, ProcessSpec, ProcessState, Target, die_with_parent, process_state};

const ROLE_ENV: &str = "NO_ORPHANS_ROLE";
const FOLDER_ENV: &str = "NO_ORPHANS_FOLDER";
const CHILDREN: usize = 3;
const LONG: Duration = Duration::from_secs(30);

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn gone(pid: u32) -> bool {
    // Nobody may be there to reap it in a container without an init: a zombie has ended, too.
    matches!(process_state(pid), ProcessState::Gone | ProcessState::Zombie)
}

fn pids(folder: &Path) -> Vec<u32> {
    let read = |n| {
        std::fs::read_to_string(folder.join(format!("alive-{n}")))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    (0..CHILDREN).filter_map(read).collect()
}

fn supervisor(role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "role", "--nocapture", "--ignored"])
        .env(ROLE_ENV, role)
        .env(FOLDER_ENV, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

/// Not a test: what this program does when it runs as a supervisor or as a child.
#[test]
#[ignore = "a role that the other tests start"]
fn role() {
    let Ok(role) = std::env::var(ROLE_ENV) else { return };
    let folder = PathBuf::from(std::env::var(FOLDER_ENV).expect("a folder"));
    match role.as_str() {
        "supervisor" => supervise(&folder, "child"),
        "late-supervisor" => supervise(&folder, "late-child"),
        "child" => {
            die_with_parent().expect("bound to the supervisor");
            live(&folder);
        }
        "late-child" => {
            // Tells that it lives before it is bound to its parent, and binds only when the parent is dead.
            tell(&folder);
            // Not when the parent looks dead: its first thread is a zombie before its last one, whose end is what
            // the kernel tells the children of.
            let parent: u32 = std::env::var(PARENT_PID_ENV).expect("a parent").parse().expect("a pid");
            until("this process has another parent", || {
                std::os::unix::process::parent_id() != parent
            });
            die_with_parent().expect("bound to the supervisor");
            std::fs::write(folder.join("outlived"), "").expect("written");
        }
        other => panic!("no such role: {other}"),
    }
}

fn tell(folder: &Path) {
    let number = std::env::var("NO_ORPHANS_NUMBER").expect("a number");
    let fresh = folder.join(format!("fresh-{number}"));
    std::fs::write(&fresh, std::process::id().to_string()).expect("written");
    std::fs::rename(fresh, folder.join(format!("alive-{number}"))).expect("renamed");
}

/// Lives longer than the tests wait, and not for ever: a failed test must not litter the machine.
fn live(folder: &Path) {
    tell(folder);
    std::thread::sleep(2 * LONG);
}

/// Starts each child from a thread with a runtime of its own that ends right afterwards.
fn supervise(folder: &Path, child_role: &str) {
    let mut targets = Vec::new();
    for number in 0..CHILDREN {
        let spec = ProcessSpec::new(
            format!("child-{number}"),
            std::env::current_exe().expect("this program"),
            folder,
        )
        .args(["--exact", "role", "--nocapture", "--ignored"])
        .env(ROLE_ENV, child_role)
        .env(FOLDER_ENV, folder.display().to_string())
        .env("NO_ORPHANS_NUMBER", number.to_string());
        let start = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let target = Target::new(spec);
            runtime.block_on(target.start()).expect("started");
            target
        };
        targets.push(std::thread::spawn(start).join().expect("the starting thread"));
    }
    until("all children live", || pids(folder).len() == CHILDREN);
    std::fs::write(folder.join("supervising"), "").expect("written");
    std::thread::sleep(LONG);
    drop(targets);
}

#[test]
fn no_child_outlives_a_supervisor_that_is_killed_by_sigkill() {
    let folder = tempfile::tempdir().expect("folder");
    let mut supervisor = supervisor("supervisor", folder.path());
    until("the supervisor is at work", || {
        folder.path().join("supervising").exists()
    });
    let children = pids(folder.path());
    // The threads that asked for these children have ended long ago.
    for &child in &children {
        assert_eq!(
            process_state(child),
            ProcessState::Alive,
            "a child outlives the thread that asked for it"
        );
    }
    // One is stopped: it must die all the same.
    Command::new("kill")
        .args(["-STOP", &children[0].to_string()])
        .status()
        .expect("stopped");

    supervisor.kill().expect("killed");
    supervisor.wait().expect("reaped");
    for child in children {
        until("the child is gone", || gone(child));
    }
}

#[test]
fn a_child_whose_supervisor_died_before_it_could_bind_itself_ends() {
    let folder = tempfile::tempdir().expect("folder");
    let mut supervisor = supervisor("late-supervisor", folder.path());
    until("the supervisor is at work", || {
        folder.path().join("supervising").exists()
    });
    let children = pids(folder.path());
    supervisor.kill().expect("killed");
    supervisor.wait().expect("reaped");
    for child in children {
        until("the child is gone", || gone(child));
    }
    assert!(
        !folder.path().join("outlived").exists(),
        "no child went on after its supervisor"
    );
}
