use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Report, render_html, render_junit, render_markdown};

/// Where a report's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFiles {
    pub json: PathBuf,
    pub html: PathBuf,
    pub markdown: PathBuf,
    pub junit: PathBuf,
}

/// A report cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportFileError {
    #[error("the report cannot be written to {path}: {source}; make the folder writable, or name another with --out")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the report {path} cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the report {path} is not one: {source}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the report cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

impl ReportFiles {
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            json: folder.join("report.json"),
            html: folder.join("report.html"),
            markdown: folder.join("report.md"),
            junit: folder.join("report.junit.xml"),
        }
    }
}

/// Writes the report to `folder`, each file whole or not at all; what an earlier run left is replaced.
///
/// # Errors
/// Names the path and the remedy.
pub fn write_report(folder: &Path, report: &Report) -> Result<ReportFiles, ReportFileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportFileError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = ReportFiles::in_folder(folder);
    let json = serde_json::to_string_pretty(report)? + "\n";
    // What is rendered is what was written, not what happens to be in memory.
    let source: Report = serde_json::from_str(&json)?;
    let contents = [
        (&files.html, render_html(&source)),
        (&files.markdown, render_markdown(&source)),
        (&files.junit, render_junit(&source)),
        (&files.json, json),
    ];
    for (path, content) in contents {
        replace(path, &content).map_err(failed(path))?;
    }
    Ok(files)
}

fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// Reads a `report.json`, or the one in a folder.
///
/// # Errors
/// When there is none or it is not a report.
pub fn read_report(path: &Path) -> Result<Report, ReportFileError> {
    let path = if path.is_dir() {
        ReportFiles::in_folder(path).json
    } else {
        path.to_owned()
    };
    let text = std::fs::read_to_string(&path).map_err(|source| ReportFileError::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| ReportFileError::Parse { path, source })
}
