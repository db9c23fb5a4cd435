use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the writer needs of the log's file; a test puts a failing disk in its place.
pub trait LogFile: Send {
    /// Writes all bytes at `offset`, with one call to the system where it takes them.
    ///
    /// # Errors
    /// Some bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when what was written is on the disk (fdatasync).
    ///
    /// # Errors
    /// What was written is in an unknown state from then on; asking again can answer falsely.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

impl LogFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }
}

/// Makes a new name in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a folder and what leads to it; each new name is durable afterwards.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    create_folder(parent)?;
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_folder(parent)
}
