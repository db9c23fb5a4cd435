use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::embedded::Service;
use crate::{Exit, SupervisorError};

/// A place in a service's log: what is logged later lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogMark(
    /// Bytes of a process's log file, or milliseconds of the Unix epoch for a container's.
    pub u64,
);

type Answer<'a, T> = BoxFuture<'a, Result<T, SupervisorError>>;

/// The services of an environment as something that can be ended, stopped and cut off, whatever they run in. Each call is
/// confirmed by what the kernel or the container engine then reports, never by its own success.
pub trait Targets: fmt::Debug + Send + Sync {
    /// `processes` or `containers`.
    fn kind(&self) -> &'static str;

    /// What there is, in the order of the start.
    fn services(&self) -> Vec<Service>;

    fn is_running(&self, service: Service) -> Answer<'_, bool>;

    /// SIGKILL. An error when it does not run, or ended otherwise.
    fn kill(&self, service: Service) -> Answer<'_, Exit>;

    /// SIGTERM, and SIGKILL after `within`.
    fn stop(&self, service: Service, within: Duration) -> Answer<'_, Exit>;

    /// Starts what is down; returns how long it took from the start until it was ready.
    fn start(&self, service: Service) -> Answer<'_, Duration>;

    /// No thread of it runs until [`Targets::resume`].
    fn pause(&self, service: Service) -> Answer<'_, ()>;

    fn resume(&self, service: Service) -> Answer<'_, ()>;

    fn is_paused(&self, service: Service) -> Answer<'_, bool>;

    /// How the last run ended; `None` while it runs and before the first start.
    fn exit(&self, service: Service) -> Answer<'_, Option<Exit>>;

    /// The present end of its log.
    fn log_mark(&self, service: Service) -> Answer<'_, LogMark>;

    /// What it logged since, with all lines whole.
    fn logs_since(&self, service: Service, mark: LogMark) -> Answer<'_, String>;

    /// Takes it off every network that it is on; returns their names. Processes have none: an error.
    fn disconnect(&self, service: Service) -> Answer<'_, Vec<String>>;

    /// Puts it back on every network that it was taken off, under the names that it had; returns the networks. Nothing to
    /// do is no error.
    fn reconnect(&self, service: Service) -> Answer<'_, Vec<String>>;
}
