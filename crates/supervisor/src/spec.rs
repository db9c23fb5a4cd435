use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What to run, and where its output goes.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// For messages; unique among the targets of one environment.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Set on top of this process's own environment.
    pub env: Vec<(String, String)>,
    /// Variables of this process that the child must not see.
    pub env_remove: Vec<String>,
    /// Standard output and standard error, appended.
    pub log_file: PathBuf,
    /// Holds the pid while the process runs.
    pub pid_file: PathBuf,
    /// Where it runs; this process's own folder when it is `None`.
    pub current_dir: Option<PathBuf>,
}

impl ProcessSpec {
    /// A process `name` whose log is DIR/logs/NAME.log and whose pid file is DIR/run/NAME.pid.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, data_dir: &Path) -> Self {
        let name = name.into();
        Self {
            log_file: data_dir.join("logs").join(format!("{name}.log")),
            pid_file: data_dir.join("run").join(format!("{name}.pid")),
            name,
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            current_dir: None,
        }
    }

    #[must_use]
    pub fn args<I, A>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set_env(name, value);
        self
    }

    /// Sets a variable, in place of an earlier value.
    pub fn set_env(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.into()));
    }
}
