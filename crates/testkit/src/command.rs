use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    /// None when a signal ended it.
    pub exit: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// # Panics
    /// When it ended otherwise, or panicked.
    pub fn assert_exit(&self, code: i32) -> &Self {
        assert_eq!(
            self.exit,
            Some(code),
            "standard output:\n{}\nstandard error:\n{}",
            self.out,
            self.err
        );
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// # Panics
    /// When it said nothing of the kind.
    pub fn assert_says(&self, part: &str) -> &Self {
        let said = self.out.contains(part) || self.err.contains(part);
        assert!(
            said,
            "{part:?} is not in\nstandard output:\n{}\nstandard error:\n{}",
            self.out, self.err
        );
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// Runs `program ARGS` in `folder`, without the settings of this process.
///
/// # Panics
/// When it cannot be run, or does not end.
pub async fn thunes(program: &Path, folder: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNES_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{args:?} does not end"))
        .expect("the binary runs");
    Said {
        exit: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
