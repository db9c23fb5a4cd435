use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::embedded::{Environment, Service};
use crate::{Exit, SupervisorError};

/// How a service that crashed is started again.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    pub backoff_min: Duration,
    /// Each restart within `window` doubles the wait, up to this.
    pub backoff_max: Duration,
    /// After this many restarts within `window` the service stays down.
    pub restarts_max: usize,
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            restarts_max: 8,
            window: Duration::from_secs(120),
        }
    }
}

/// What the policy did.
#[derive(Debug)]
pub enum RestartEvent {
    /// It ended by itself with code 0, as after SIGTERM from an operator, and stays down.
    Stopped {
        service: Service,
    },
    Crashed {
        service: Service,
        exit: Exit,
        restart_in: Duration,
    },
    Restarted {
        service: Service,
        pid: u32,
        took: Duration,
    },
    RestartFailed {
        service: Service,
        error: SupervisorError,
    },
    /// It crashed too often and stays down.
    GaveUp {
        service: Service,
        restarts: usize,
    },
}

impl RestartPolicy {
    /// The wait before the next restart, or `None` when there were too many.
    fn next(&self, recent: &mut VecDeque<Instant>, now: Instant) -> Option<Duration> {
        while recent.front().is_some_and(|at| now.duration_since(*at) > self.window) {
            recent.pop_front();
        }
        if recent.len() >= self.restarts_max {
            return None;
        }
        let doublings = u32::try_from(recent.len()).unwrap_or(u32::MAX).min(20);
        recent.push_back(now);
        Some(self.backoff_min.saturating_mul(1 << doublings).min(self.backoff_max))
    }

    /// Keeps the services of `environment` running until `stop`. Every end is a crash to it, also one that the caller
    /// causes, except exit code 0. Cancel `stop` before stopping the environment.
    pub async fn keep_running(
        self,
        environment: Arc<Environment>,
        stop: CancellationToken,
        events: mpsc::Sender<RestartEvent>,
    ) {
        let keepers = environment.services().into_iter().map(|service| {
            let (environment, stop, events) = (&environment, &stop, &events);
            async move {
                stop.run_until_cancelled(self.keep_one(environment, service, events))
                    .await;
            }
        });
        join_all(keepers).await;
    }

    async fn keep_one(&self, environment: &Environment, service: Service, events: &mpsc::Sender<RestartEvent>) {
        let Ok(target) = environment.target(service) else {
            return;
        };
        let mut recent = VecDeque::new();
        while let Ok(exit) = target.wait_exit().await {
            // Nobody needs to listen.
            let tell = async |event| drop(events.send(event).await);
            if exit.is_success() {
                return tell(RestartEvent::Stopped { service }).await;
            }
            let Some(restart_in) = self.next(&mut recent, Instant::now()) else {
                return tell(RestartEvent::GaveUp {
                    service,
                    restarts: recent.len(),
                })
                .await;
            };
            tell(RestartEvent::Crashed {
                service,
                exit,
                restart_in,
            })
            .await;
            tokio::time::sleep(restart_in).await;
            match environment.restart(service).await {
                Ok(took) => {
                    let pid = target.pid().unwrap_or_default();
                    tell(RestartEvent::Restarted { service, pid, took }).await;
                }
                Err(error) => {
                    // One that runs but is never ready counts as crashed, too.
                    let _ = target.kill().await;
                    tell(RestartEvent::RestartFailed { service, error }).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_then_the_policy_gives_up() {
        let policy = RestartPolicy {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_millis(350),
            restarts_max: 4,
            window: Duration::from_secs(10),
        };
        let mut recent = VecDeque::new();
        let now = Instant::now();
        let waits: Vec<_> = (0..5)
            .map(|_| policy.next(&mut recent, now).map(|wait| wait.as_millis()))
            .collect();
        assert_eq!(waits, [Some(100), Some(200), Some(350), Some(350), None]);
        let later = now + Duration::from_secs(11);
        assert_eq!(
            policy.next(&mut recent, later).map(|wait| wait.as_millis()),
            Some(100),
            "old crashes are forgotten"
        );
    }
}
