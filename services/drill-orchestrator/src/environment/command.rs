use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thunes_runtime::clock;

use super::Terminal;
use crate::error::ActionError;

/// A command at an operator's terminal: `thunes` is on its PATH and finds this environment.
#[derive(Debug)]
pub struct Command {
    env: Vec<(String, String)>,
    program: PathBuf,
    args: Vec<String>,
    current_dir: PathBuf,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct CommandOutcome {
    pub shown: String,
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub duration_ms: i64,
}

impl Command {
    /// `program ARGS` in this environment.
    pub fn new(terminal: &Terminal, program: impl Into<PathBuf>, args: &[&str]) -> Self {
        let named = program.into();
        // Without a shell and its PATH, our own name is the only one that means something.
        let program = match &terminal.only_program {
            Some(own) if named.as_os_str() == "thunes" => own.clone(),
            _ => named,
        };
        Self {
            env: terminal.env.clone(),
            program,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            current_dir: terminal.current_dir.clone(),
        }
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.to_owned(), value.display().to_string()));
        self
    }

    /// Runs it to its end, and kills it at `within`.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn run(self, within: Duration) -> Result<CommandOutcome, ActionError> {
        let shown = std::iter::once(self.program.display().to_string())
            .chain(self.args.clone())
            .collect::<Vec<_>>()
            .join(" ");
        let begun = clock::instant();
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.current_dir)
            .kill_on_drop(true);
        // What this process was started with is not what an operator's shell has.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNES_")) {
            command.env_remove(name);
        }
        command
            .envs(self.env)
            .env("THUNES_PARENT_PID", std::process::id().to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = tokio::time::timeout(within, command.output()).await;
        let output = output
            .map_err(|_| ActionError::TimedOut {
                what: format!("`{shown}` to end"),
                waited_ms: clock::elapsed_ms(begun),
                last: "it still ran, and was killed".to_owned(),
            })?
            .map_err(ActionError::io(format!("`{shown}` cannot be run")))?;
        Ok(CommandOutcome {
            shown,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            duration_ms: clock::elapsed_ms(begun),
        })
    }
}

impl CommandOutcome {
    /// For people.
    pub fn describe(&self) -> String {
        let code = shown_code(self.code);
        let mut text = format!("$ {}\n{}", self.shown, self.stdout);
        if !self.stderr.is_empty() {
            text.push_str(&format!("\n[standard error]\n{}", self.stderr));
        }
        text.push_str(&format!("\n[{code} after {} ms]", self.duration_ms));
        text
    }
}

/// An exit code for people.
pub fn shown_code(code: Option<i32>) -> String {
    code.map_or("a signal".to_owned(), |code| format!("exit code {code}"))
}
