use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

/// Spawns that may wait for the thread; the next one waits in line.
const WAITING_MAX: usize = 64;

struct Job {
    command: Command,
    answer: oneshot::Sender<io::Result<Spawned>>,
}

/// A child and a handle that names it for ever: signals through it can never hit another process that got its pid.
/// Dropped before the child was taken out, as when the caller gave up, it ends the child.
#[derive(Debug)]
pub(crate) struct Spawned {
    child: Option<Child>,
    handle: OwnedFd,
}

impl Spawned {
    pub(crate) fn into_parts(mut self) -> io::Result<(Child, OwnedFd)> {
        let handle = self.handle.try_clone()?;
        let child = self.child.take().ok_or(io::ErrorKind::InvalidData)?;
        Ok((child, handle))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
    }
}

/// Spawns `command` from a thread that lives as long as this process.
///
/// A child's death signal fires when the *thread* that spawned it ends, and threads of a runtime come and go.
pub(crate) async fn spawn(command: Command) -> io::Result<(Child, OwnedFd)> {
    let (answer, answered) = oneshot::channel();
    let gone = || io::Error::other("the thread that spawns processes is gone");
    spawner()?.send(Job { command, answer }).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())??.into_parts()
}

fn spawner() -> io::Result<&'static SyncSender<Job>> {
    static SPAWNER: OnceLock<Result<SyncSender<Job>, io::ErrorKind>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = sync_channel::<Job>(WAITING_MAX);
        std::thread::Builder::new()
            .name("thunes-spawner".into())
            .spawn(move || {
                for Job { mut command, answer } in queue {
                    // Comes back when the caller gave up, and is ended then.
                    drop(answer.send(spawn_here(&mut command)));
                }
            })
            .map(|_| jobs)
            .map_err(|e| e.kind())
    });
    spawner.as_ref().map_err(|kind| io::Error::from(*kind))
}

fn spawn_here(command: &mut Command) -> io::Result<Spawned> {
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let opened = pid.ok_or(io::ErrorKind::InvalidData.into()).and_then(|pid| {
        // Nobody has waited for the child yet, so the pid is still its own.
        pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)
    });
    match opened {
        Ok(handle) => Ok(Spawned {
            child: Some(child),
            handle,
        }),
        Err(error) => {
            end(child);
            Err(error)
        }
    }
}

fn end(mut child: Child) {
    // Both fail only for a child that has ended.
    let _ = child.kill();
    let _ = child.wait();
}
