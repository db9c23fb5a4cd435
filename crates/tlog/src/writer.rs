use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::disk::{create_folder, sync_folder};
use crate::error::OpenError;
use crate::mark::{MarkFile, read_mark};
use crate::recovery::recover;
use crate::scan::Head;
use crate::{AppendError, Batch, LogFile, LogPaths, RecoveryReport, Scanned};

/// The one writer of a log.
pub struct LogWriter {
    paths: LogPaths,
    log: Box<dyn LogFile>,
    mark: MarkFile,
    head: Head,
    poison: Option<AppendError>,
    /// Its lock ends with this file.
    _lock: File,
}

/// A log that was opened for writing.
pub struct Opened {
    pub writer: LogWriter,
    pub report: RecoveryReport,
}

impl LogWriter {
    /// Opens or creates the log of a data folder: takes the lock, checks every line, sets a damaged end aside. Shows
    /// each good line to `visit`, in their order.
    ///
    /// # Errors
    /// When another writer holds it, the file system refuses, or the log was tampered with; then nothing was changed.
    pub fn open(paths: &LogPaths, visit: &mut dyn FnMut(Scanned<'_>)) -> Result<Opened, OpenError> {
        Self::open_with(paths, visit, |file| Box::new(file))
    }

    /// Like [`LogWriter::open`], with another disk under the appends; for tests.
    ///
    /// # Errors
    /// See [`LogWriter::open`].
    pub fn open_with(
        paths: &LogPaths,
        visit: &mut dyn FnMut(Scanned<'_>),
        disk: impl FnOnce(File) -> Box<dyn LogFile>,
    ) -> Result<Opened, OpenError> {
        create_folder(&paths.folder).map_err(OpenError::io("cannot create the folder", &paths.folder))?;
        let lock = take_lock(&paths.lock)?;
        let mark = read_mark(&paths.mark).map_err(OpenError::io("cannot read the commit mark", &paths.mark))?;
        if let Some(marked) = mark.mark().filter(|marked| marked.bytes > 0 && !paths.log.exists()) {
            let path = paths.log.clone();
            return Err(OpenError::Shortened {
                path,
                found: 0,
                marked: marked.bytes,
                seq: marked.seq,
            });
        }
        let mut log = open_log(paths)?;
        let (head, report) = recover(paths, &mut log, mark, visit)?;
        // Lines that a killed process left are in the system's memory, but perhaps not on the disk.
        log.sync_all()
            .map_err(OpenError::io("cannot make durable", &paths.log))?;
        thunes_failpoint::pass("tlog.open.before_mark");
        let mark = MarkFile::start(&paths.mark, head.into())
            .map_err(OpenError::io("cannot write the commit mark", &paths.mark))?;
        let writer = Self {
            paths: paths.clone(),
            log: disk(log),
            mark,
            head,
            poison: None,
            _lock: lock,
        };
        Ok(Opened { writer, report })
    }

    /// The durable end of the log.
    pub fn head(&self) -> Head {
        self.head
    }

    pub fn paths(&self) -> &LogPaths {
        &self.paths
    }

    /// A batch that will stand at the end of the log.
    pub fn begin(&self) -> Batch {
        Batch::after(self.head)
    }

    /// Writes a batch and makes it durable.
    ///
    /// # Errors
    /// See [`LogWriter::write`].
    pub fn append(&mut self, batch: Batch) -> Result<Batch, AppendError> {
        self.write(batch)?.commit()
    }

    /// Writes a batch; it is durable only after [`Pending::commit`].
    ///
    /// # Errors
    /// When the disk refuses. The log then ends where it did, as far as the disk lets itself be asked, and the writer
    /// takes nothing more: what it cannot know it does not guess.
    pub fn write(&mut self, batch: Batch) -> Result<Pending<'_>, AppendError> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        assert_eq!(
            batch.start, self.head,
            "a batch begins at the end of the log that it was begun for"
        );
        if let Err(source) = self.log.write_all_at(&batch.bytes, self.head.bytes) {
            let error = self.fail("write", &source);
            if let Err(source) = self.log.set_len(self.head.bytes) {
                tracing::warn!(path = %self.paths.log.display(), %source, "half a batch stays; the next start sets it aside");
            }
            return Err(error);
        }
        Ok(Pending {
            writer: self,
            batch: Some(batch),
        })
    }

    fn fail(&mut self, what: &'static str, source: &io::Error) -> AppendError {
        let error = AppendError::new(&self.paths.log, what, source);
        self.poison = Some(error.clone());
        error
    }
}

/// A batch that is written but perhaps not durable. Dropping it uncommitted ends the writer.
pub struct Pending<'a> {
    writer: &'a mut LogWriter,
    batch: Option<Batch>,
}

impl Pending<'_> {
    /// Makes the batch durable and moves the commit mark. After that it may be acknowledged.
    ///
    /// # Errors
    /// When the disk refuses. The sync is never tried again: a second one can succeed although the bytes are lost.
    pub fn commit(mut self) -> Result<Batch, AppendError> {
        let batch = self
            .batch
            .take()
            .expect("only commit takes the batch, and it consumes the pending write");
        let writer = &mut *self.writer;
        writer
            .log
            .sync_data()
            .map_err(|source| writer.fail("fdatasync", &source))?;
        thunes_failpoint::pass("tlog.commit.before_mark");
        writer.head = batch.end;
        let mark = writer.head.into();
        writer
            .mark
            .update(mark)
            .map_err(|source| writer.fail("commit mark", &source))?;
        Ok(batch)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.batch.is_some() {
            self.writer.fail(
                "abandoned batch",
                &io::Error::other("the batch was written and then given up"),
            );
        }
    }
}

fn open_log(paths: &LogPaths) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(&paths.log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(OpenError::io("cannot open", &paths.log)),
    }
    let created = options
        .create_new(true)
        .open(&paths.log)
        .map_err(OpenError::io("cannot create", &paths.log))?;
    created
        .sync_all()
        .map_err(OpenError::io("cannot make durable", &paths.log))?;
    sync_folder(&paths.folder).map_err(OpenError::io("cannot make durable", &paths.folder))?;
    Ok(created)
}

fn take_lock(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options
        .open(path)
        .map_err(OpenError::io("cannot open the lock", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let failed = OpenError::io("cannot write the lock", path);
            let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            written.map_err(failed)?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = std::fs::read_to_string(path).unwrap_or_default();
            let holder = if holder.is_empty() {
                "unknown".to_owned()
            } else {
                holder
            };
            Err(OpenError::Locked {
                path: path.to_owned(),
                holder,
            })
        }
        Err(errno) => Err(OpenError::io("cannot lock", path)(errno.into())),
    }
}
