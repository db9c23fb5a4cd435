use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Lines of a log that an error shows.
pub const TAIL_LINES: usize = 12;
const TAIL_BYTES_MAX: u64 = 16 * 1024;

/// The last lines that were written to `log` after its byte `from`; empty when there are none.
pub fn tail_of(log: &Path, from: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL_BYTES_MAX).max(from.min(end))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_this_run_are_shown() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let log = folder.path().join("log");
        let lines: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, lines.join("\n")).expect("written");
        let shown = tail_of(&log, 0);
        assert!(shown.starts_with("line 38") && shown.ends_with("line 49"), "{shown}");
        let late = std::fs::metadata(&log).expect("log").len() - 7;
        assert_eq!(tail_of(&log, late), "line 49");
        assert_eq!(tail_of(&log, u64::MAX), "");
        assert_eq!(tail_of(&folder.path().join("none"), 0), "");
    }
}
