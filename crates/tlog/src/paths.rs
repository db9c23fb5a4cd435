use std::path::{Path, PathBuf};

/// The files of one log, all in the folder `logs` of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPaths {
    /// `DIR/logs`.
    pub folder: PathBuf,
    /// `DIR/logs/audit_trail.jsonl`: the log, the only truth.
    pub log: PathBuf,
    /// `DIR/logs/audit_trail.mark`: how far it was durable; helps recovery, proves nothing.
    pub mark: PathBuf,
    /// `DIR/logs/audit_trail.lock`: held by the one writer.
    pub lock: PathBuf,
    /// `DIR/logs/quarantine`: damaged ends that recovery set aside.
    pub quarantine: PathBuf,
}

impl LogPaths {
    /// The log of a data folder.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        let folder = data_dir.join("logs");
        let log = folder.join("audit_trail.jsonl");
        Self {
            mark: Self::mark_of(&log),
            lock: log.with_extension("lock"),
            quarantine: folder.join("quarantine"),
            folder,
            log,
        }
    }

    /// The commit mark that belongs to a log file.
    pub(crate) fn mark_of(log: &Path) -> PathBuf {
        log.with_extension("mark")
    }
}
