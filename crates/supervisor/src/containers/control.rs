use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::containers::{Container, ContainerError, LogLine, NetworkName, ServiceName};

/// Bounds of what a container is given to end by itself.
pub const STOP_WITHIN_MIN: Duration = Duration::from_millis(1);
pub const STOP_WITHIN_MAX: Duration = Duration::from_secs(60);

pub type Answer<'a, T> = BoxFuture<'a, Result<T, ContainerError>>;

/// Exactly what can be done to containers, directly or through the guard. A service is named as in the compose file. Each
/// call that changes something answers with what the engine reported afterwards; what it did not report is an error.
pub trait ContainerControl: fmt::Debug + Send + Sync {
    /// All containers that bear the label, sorted by service. An error when there is none.
    fn list(&self) -> Answer<'_, Vec<Container>>;

    fn inspect<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container>;

    /// SIGKILL: ended, with exit code 137, and not for want of memory.
    fn kill<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container>;

    /// The container's stop signal (SIGTERM), and SIGKILL after `within`, rounded up to seconds. A paused one is resumed.
    fn stop<'a>(&'a self, service: &'a ServiceName, within: Duration) -> Answer<'a, Container>;

    /// Running; whether it is ready is another question.
    fn start<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container>;

    /// No process of it runs. Paused already is no error.
    fn pause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container>;

    /// Not paused already is no error.
    fn unpause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container>;

    /// Takes it off `network`, or off all; what it had there is saved first. Returns the networks.
    fn disconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>>;

    /// Puts it back, with the aliases and addresses that it was given there. Returns the networks; none when it is on all.
    fn reconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>>;

    /// The lines of both streams from `since_ms` of the Unix epoch until now, in the order of their times.
    fn logs<'a>(&'a self, service: &'a ServiceName, since_ms: i64) -> Answer<'a, Vec<LogLine>>;
}
