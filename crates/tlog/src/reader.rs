use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{LeafHash, Line, ReadError};

/// Reads single lines by their place, while a writer goes on; any number of readers may share it.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: File,
}

impl LogReader {
    /// Opens the log for reading.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Reads and checks the line of that sequence.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written there.
    pub fn line(&self, seq: u64, offset: u64, length: u32) -> Result<(Line, LeafHash, String), ReadError> {
        let mut raw = vec![0u8; length as usize];
        let failed = |source| ReadError::Io {
            path: self.path.clone(),
            source,
        };
        self.file.read_exact_at(&mut raw, offset).map_err(failed)?;
        let damaged = |why| ReadError::Damaged {
            path: self.path.clone(),
            seq,
            offset,
            why,
        };
        let line = Line::parse(&raw).map_err(damaged)?;
        if line.seq != seq {
            return Err(damaged(crate::LineFault::Sequence {
                expected: seq,
                found: line.seq,
            }));
        }
        let leaf = LeafHash::of(&raw);
        let text = String::from_utf8(raw).expect("Line::parse refuses what is not UTF-8");
        Ok((line, leaf, text))
    }
}
