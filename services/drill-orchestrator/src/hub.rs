use std::sync::{Mutex, MutexGuard, PoisonError};

use thunes_proto::drill::v1 as proto;
use thunes_runtime::clock;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::progress::ProgressEvent;
use crate::wire;

/// Events that a slow watcher may be behind; then it gets the state anew instead.
const BEHIND_MAX: usize = 1024;

/// The run that goes on, as watchers see it.
#[derive(Debug)]
pub(crate) struct Hub {
    live: Mutex<Option<Live>>,
}

#[derive(Debug)]
struct Live {
    run: proto::DrillRun,
    cancel: CancellationToken,
    events: broadcast::Sender<proto::WatchDrillRunResponse>,
}

/// A watcher's place: the state now, and everything after it.
#[derive(Debug)]
pub(crate) struct Watching {
    pub now: proto::DrillRun,
    pub events: broadcast::Receiver<proto::WatchDrillRunResponse>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { live: Mutex::new(None) }
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, run_id: &str, cancel: CancellationToken) {
        let run = proto::DrillRun {
            run_id: run_id.to_owned(),
            state: proto::RunState::Running.into(),
            started_at_ms: clock::now_ms(),
            ..proto::DrillRun::default()
        };
        *self.live() = Some(Live {
            run,
            cancel,
            events: broadcast::channel(BEHIND_MAX).0,
        });
    }

    /// The run that goes on, whatever its id.
    pub(crate) fn current(&self) -> Option<proto::DrillRun> {
        self.live().as_ref().map(|live| live.run.clone())
    }

    /// The state of that run, if it is the one that goes on.
    pub(crate) fn run(&self, run_id: &str) -> Option<proto::DrillRun> {
        self.current().filter(|run| run.run_id == run_id)
    }

    /// State and place are taken in one step, so that no event falls between them.
    pub(crate) fn watch(&self, run_id: &str) -> Option<Watching> {
        let live = self.live();
        let live = live.as_ref().filter(|live| live.run.run_id == run_id)?;
        Some(Watching {
            now: live.run.clone(),
            events: live.events.subscribe(),
        })
    }

    /// Asks the run to stop; None when it is not the one that goes on.
    pub(crate) fn cancel(&self, run_id: &str, reason: &str) -> Option<proto::DrillRun> {
        let mut live = self.live();
        let live = live.as_mut().filter(|live| live.run.run_id == run_id)?;
        live.cancel.cancel();
        live.run.state = proto::RunState::RollingBack.into();
        live.run.note = format!("stopped on request: {reason}");
        live.send(&format!("stopping after the present step: {reason}"));
        Some(live.run.clone())
    }

    pub(crate) fn tell(&self, event: &ProgressEvent) {
        if let Some(live) = self.live().as_mut() {
            live.take(event);
            live.send(&event.to_string());
        }
    }

    /// The last word: the run has ended, as it is in the journal now.
    pub(crate) fn end(&self, run: proto::DrillRun) {
        if let Some(mut live) = self.live().take() {
            live.run = run;
            live.send("ended");
        }
    }
}

impl Live {
    fn take(&mut self, event: &ProgressEvent) {
        match event {
            ProgressEvent::DrillStarted { drill, .. } => {
                self.run.drills.push(proto::DrillResult {
                    id: drill.clone(),
                    ..proto::DrillResult::default()
                });
            }
            ProgressEvent::CriterionDecided { criterion, .. } => {
                if let Some(drill) = self.run.drills.last_mut() {
                    drill.criteria.push(wire::criterion(criterion));
                }
            }
            ProgressEvent::DrillEnded {
                verdict, duration_ms, ..
            } => {
                if let Some(drill) = self.run.drills.last_mut() {
                    drill.verdict = wire::verdict(*verdict).into();
                    drill.duration_ms = *duration_ms;
                }
            }
            ProgressEvent::Recovered { .. }
            | ProgressEvent::RunStarted { .. }
            | ProgressEvent::ServiceStarting { .. }
            | ProgressEvent::ServiceReady { .. }
            | ProgressEvent::EnvironmentReady { .. }
            | ProgressEvent::StepStarted { .. }
            | ProgressEvent::StepEnded { .. }
            | ProgressEvent::RollingBack { .. }
            | ProgressEvent::RunEnded { .. } => {}
        }
    }

    fn send(&self, message: &str) {
        let response = proto::WatchDrillRunResponse {
            heartbeat: false,
            message: message.to_owned(),
            run: Some(self.run.clone()),
        };
        // Nobody may be watching.
        let _ = self.events.send(response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    #[test]
    fn a_watcher_gets_the_state_and_then_every_event_to_the_end() {
        let hub = Hub::new();
        assert!(hub.watch("r").is_none());
        hub.begin("r", CancellationToken::new());
        let drill = "T1".to_owned();
        hub.tell(&ProgressEvent::DrillStarted {
            drill: drill.clone(),
            title: "t".into(),
            steps: 1,
        });
        let mut watching = hub.watch("r").expect("runs");
        assert_eq!(watching.now.drills.len(), 1);
        hub.tell(&ProgressEvent::DrillEnded {
            drill,
            verdict: Verdict::Pass,
            duration_ms: 5,
        });
        hub.end(proto::DrillRun {
            run_id: "r".into(),
            state: proto::RunState::Ended.into(),
            ..Default::default()
        });
        let told = watching.events.try_recv().expect("the end of the drill");
        assert_eq!(told.run.expect("run").drills[0].verdict(), proto::Verdict::Pass);
        assert_eq!(
            watching.events.try_recv().expect("the end").run.expect("run").state(),
            proto::RunState::Ended
        );
        assert!(hub.current().is_none());
    }

    #[test]
    fn only_the_run_that_goes_on_can_be_cancelled() {
        let (hub, cancel) = (Hub::new(), CancellationToken::new());
        hub.begin("r", cancel.clone());
        assert!(hub.cancel("other", "x").is_none());
        assert!(!cancel.is_cancelled());
        assert_eq!(
            hub.cancel("r", "x").expect("runs").state(),
            proto::RunState::RollingBack
        );
        assert!(cancel.is_cancelled());
    }
}
