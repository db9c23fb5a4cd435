use std::io;
use std::path::PathBuf;

use crate::LineFault;

/// The log cannot be opened for writing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another writer (process {holder}) holds the log: {path} is locked; stop it first, only one may write")]
    Locked { path: PathBuf, holder: String },
    #[error("{what} {path}: {source}; {}", remedy(.source))]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "the audit log {path} was changed outside of this service: at byte {offset}, where sequence {seq} should stand: \
         {why}. A crash cannot do this, so nothing was changed and nothing is served. Keep the whole folder as evidence; \
         then restore the log from a copy that verifies"
    )]
    Tampered {
        path: PathBuf,
        offset: u64,
        seq: u64,
        why: LineFault,
    },
    #[error(
        "the audit log {path} is {found} bytes long, but {marked} bytes (up to sequence {seq}) were durable: it was cut \
         at byte {found}. Nothing was changed; keep the whole folder as evidence, then restore the log from a copy"
    )]
    Shortened {
        path: PathBuf,
        found: u64,
        marked: u64,
        seq: u64,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// A batch did not become durable. The writer takes nothing more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log {path} cannot be written ({what}): {message}; {remedy}. Nothing of this batch was acknowledged")]
pub struct AppendError {
    pub path: PathBuf,
    pub what: &'static str,
    pub message: String,
    pub remedy: &'static str,
}

impl AppendError {
    pub(crate) fn new(path: &std::path::Path, what: &'static str, source: &io::Error) -> Self {
        Self {
            path: path.to_owned(),
            what,
            message: source.to_string(),
            remedy: remedy(source),
        }
    }
}

/// A line cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} was damaged after it was written: sequence {seq} at byte {offset}: {why}")]
    Damaged {
        path: PathBuf,
        seq: u64,
        offset: u64,
        why: LineFault,
    },
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on that file system, then start again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable for this user, or choose another data_dir"
        }
        _ => "check the disk, then start again",
    }
}
