use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::disk::{create_folder, sync_folder};
use crate::{LineFault, LogPaths};

const SUFFIX: &str = ".part";

/// A damaged end of the log that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where its bytes are now.
    pub path: PathBuf,
    /// Its name in the quarantine folder: the same bytes at the same place always get the same.
    pub name: String,
    /// Where in the log it began.
    pub offset: u64,
    pub bytes: u64,
    /// The sequence that should have stood there.
    pub seq: u64,
    /// Hex.
    pub sha256: String,
    pub why: LineFault,
}

/// Copies everything from `offset` to the end of the log into the quarantine folder and makes the copy durable. The log
/// itself is not touched; a crash in between only means that the same copy is made again.
pub(crate) fn set_aside(
    paths: &LogPaths,
    log: &mut File,
    offset: u64,
    seq: u64,
    why: LineFault,
) -> io::Result<Quarantined> {
    create_folder(&paths.quarantine)?;
    let draft = paths.quarantine.join("copying.tmp");
    let mut copy = File::create(&draft)?;
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    let mut buffer = vec![0u8; 256 * 1024];
    log.seek(SeekFrom::Start(offset))?;
    loop {
        let count = log.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        copy.write_all(&buffer[..count])?;
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
    copy.sync_all()?;
    let sha256 = hex::encode(hash.finalize());
    let name = format!("seq-{seq}-at-{offset}-{}{SUFFIX}", &sha256[..16]);
    let path = paths.quarantine.join(&name);
    fs::rename(&draft, &path)?;
    sync_folder(&paths.quarantine)?;
    Ok(Quarantined {
        path,
        name,
        offset,
        bytes,
        seq,
        sha256,
        why,
    })
}

/// The names of all that was ever set aside, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn quarantined_files(paths: &LogPaths) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(&paths.quarantine) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(SUFFIX) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
