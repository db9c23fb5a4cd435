use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

const SIGKILL: i32 = 9;

/// How a process ended, by its wait status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Set when it ended by itself.
    pub code: Option<i32>,
    /// Set when a signal ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// Ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }

    /// Ended by SIGKILL, so that it ran nothing of its own on the way out.
    pub fn is_sigkill(self) -> bool {
        self.signal == Some(SIGKILL)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self {
            code: status.code(),
            signal: status.signal(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(SIGKILL)) => f.write_str("killed by SIGKILL"),
            (None, Some(15)) => f.write_str("ended by SIGTERM"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => f.write_str("ended, its wait status is not known"),
        }
    }
}
