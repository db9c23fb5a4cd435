use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::SupervisorError;

/// A child that is being spawned holds a copy of the lock until it runs its own program.
const RETRY_FOR: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Keeps two environments out of one data folder. The kernel drops it whatever ends this process.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) async fn take(data_dir: &Path) -> Result<Self, SupervisorError> {
        let folder = data_dir.join("run");
        let path = folder.join("lock");
        let failed = |source| SupervisorError::Write {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let begun = Instant::now();
        while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if begun.elapsed() > RETRY_FOR {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if known {
                    holder.trim().to_owned()
                } else {
                    format!("unknown ({errno})")
                };
                return Err(SupervisorError::DataDirInUse {
                    path: data_dir.to_owned(),
                    holder,
                });
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}
